"""Model files that are not what they should be: one sentence, before memory or time is spent on them."""

import json
import struct

import pytest
import torch
from conftest import TINY
from safetensors.torch import save

from samecar.config import load_recipe
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.building import SPARE, no_larger_than
from samecar.models.composite import describe_model
from samecar.models.saved import model_tensors, parse_description, parse_model


@pytest.fixture(scope="module")
def model():
    return build_embedder(load_recipe("report-baseline", TINY).model, 3)


def described(model, **changes):
    return parse_description(json.dumps({**describe_model(model), **changes}).encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"parts":' * 3000, "it is nested too deep"),
        (b"[1]", "is no description of a model"),
        (b'{"vehicles": %s, "model": {}}' % (b"9" * 5000), "5000 digits"),
        (b'{"vehicles": 1e999, "model": {}}', "is no description of a model"),
        (b'{"parts": [], "reduction": null}', "0 parts; 1 to 32 are allowed"),
        (b'{"parts": [%s1], "reduction": null}' % (b"1," * 5000), "5001 parts; 1 to 32 are allowed"),
        (b'{"vehicles": 3, "model": {"branches": 1000000}}', "branches: Input should be less than or equal to 16"),
        (b'{"vehicles": 3, "model": {"height": 1000000000}}', "height: Input should be less than or equal to 4096"),
    ],
)
def test_descriptions_that_are_none(content, said):
    with pytest.raises(SamecarError) as raised:
        parse_description(content)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("vehicles", [10**7, 10**12])
def test_a_model_that_is_larger_than_its_tensors_is_not_built(model, vehicles):
    content = save(model_tensors(model))
    with pytest.raises(SamecarError, match=r"far more numbers than the [\d,]+ of its tensors|cannot be built"):
        parse_model(described(model, vehicles=vehicles), content)


def test_a_network_of_another_thread_or_just_small_enough_is_let_pass():
    with no_larger_than(6 - SPARE):
        assert torch.nn.Linear(2, 2).weight.shape == (2, 2)
        with pytest.raises(SamecarError, match="far more numbers"):
            torch.nn.Linear(2, 2)
    assert torch.nn.Linear(2, 2).weight.shape == (2, 2)


def head(content: object) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        head({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}) + b"0000",
        head({"a": {"dtype": "F32", "shape": [2**32, 2**32, 2**32], "data_offsets": [0, 0]}}),
        head({"a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}),
        head({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}) + b"0",
        head({"a": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}) + b"00",
    ],
)
def test_tensors_that_are_none(model, content):
    with pytest.raises(SamecarError, match=r"^model.safetensors (cannot be read|belongs to another model)") as raised:
        parse_model(described(model), content)
    assert "\n" not in str(raised.value)


def test_tensors_of_another_type_of_number(model):
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in model_tensors(model).items()
    }
    with pytest.raises(SamecarError, match="belongs to another model"):
        parse_model(described(model), save(halves))
    parse_model(described(model), save(model_tensors(model)))
