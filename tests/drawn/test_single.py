"""The renderer's picture as samecar hands it out: the same picture, with samecar's errors."""

import inspect

import numpy as np
import pytest

import drawncars
import samecar
from samecar.drawn import draw_vehicle


def test_it_is_the_picture_of_the_renderer():
    assert samecar.draw_vehicle is draw_vehicle
    ours, theirs = draw_vehicle("van", 4, vehicle=3, size=48), drawncars.draw_vehicle("van", 4, vehicle=3, size=48)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_what_is_refused_is_an_error_of_samecar_in_the_same_words():
    with pytest.raises(samecar.SamecarError, match="kind is 'tram'; choose one of sedan, suv") as refused:
        draw_vehicle("tram")
    assert isinstance(refused.value.__cause__, ValueError)
    with pytest.raises(samecar.SamecarError, match="size is 8; choose a number from 32 to 1024"):
        draw_vehicle(size=8)


def test_its_help_is_that_of_the_renderer_but_for_the_error():
    assert inspect.signature(draw_vehicle) == inspect.signature(drawncars.draw_vehicle)
    assert "SamecarError: There is no such type" in draw_vehicle.__doc__
    assert "ValueError" not in draw_vehicle.__doc__
    assert "ValueError: There is no such type" in drawncars.draw_vehicle.__doc__
