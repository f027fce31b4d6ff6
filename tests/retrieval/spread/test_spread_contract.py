"""A gallery that is spread over three servers fulfils the contract of engines, by each rule."""

import pytest
from engine_contract import EngineContract
from spread_places import BY_CAMERA, CONTENT, SpreadPlace


@pytest.fixture(params=[CONTENT, BY_CAMERA], ids=["content", "camera"])
def place(databases, request):
    return SpreadPlace(databases, request.param, request.node.name)


@pytest.mark.slow
class TestSpread(EngineContract):
    pass
