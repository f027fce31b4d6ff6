import numpy as np
import pytest

from samecar.similarity.half_precision import widen

pytestmark = pytest.mark.light


def test_every_finite_number_is_itself():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 1024)  # (62, 1024)
    found = widen(finite, np.empty(finite.shape, np.float32))
    np.testing.assert_array_equal(found.view(np.uint32), finite.astype(np.float32).view(np.uint32))  # -0 is not 0 here


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (3, 5)])
def test_the_result_is_where_it_was_asked_for(shape):
    half = np.ones(shape, np.float16)
    out = np.empty(shape, np.float32)
    assert widen(half, out) is out
    assert (out == 1).all()
