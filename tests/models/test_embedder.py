"""Compositions of an embedder, and what holds for all of them."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models import InceptionV3
from torch import nn

from samecar.config import ModelSettings, load_recipe
from samecar.errors import SamecarError
from samecar.models import Embedder, Outputs, build_embedder
from samecar.preprocessing import Preprocessing

ATTENTIONS = ["none", "se", "cbam"]
FUSIONS = ["none", "concatenate", "add", "global"]
HEADS = [
    "none",
    "fc",
    "fc-relu-dropout-bn-fc",
    "fc-relu-bn-fc",
    "fc-bn-relu-dropout-fc",
    "fc-bn-relu-fc",
    "fc-bn-fc",
]
FUSED_WIDTHS = {
    "test_resnet": {"none": 96, "concatenate": 192, "add": 96, "global": 384},
    "resnet18": {"none": 512, "concatenate": 1024, "add": 512, "global": 2048},
}


def compose(vehicles: int = 5, **options: object) -> Embedder:
    defaults = {"backbone": "test_resnet", "weights": "none", "height": 64, "width": 64}
    return build_embedder(ModelSettings.model_validate(defaults | options), vehicles)


def check_outputs(embedder: Embedder, width: int) -> None:
    outputs = embedder.outputs(torch.rand(2, 3, embedder.preprocessing.height, embedder.preprocessing.width))
    assert isinstance(outputs, Outputs)
    assert outputs.features.shape == (2, width)
    assert embedder.embedding_size == width
    assert outputs.logits.shape == (2, embedder.vehicles)


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "fusion"), list(itertools.product(ATTENTIONS, FUSIONS)))
def test_every_attention_fusion_and_head_go_together(attention: str, fusion: str) -> None:
    for head in HEADS:
        size = None if head == "none" else 24
        embedder = compose(attention=attention, fusion=fusion, head=head, embedding_size=size)
        check_outputs(embedder, size or FUSED_WIDTHS["test_resnet"][fusion])


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "fusion"), list(itertools.product(ATTENTIONS, FUSIONS)))
def test_resnet18_of_the_report(attention: str, fusion: str) -> None:
    embedder = compose(backbone="resnet18", attention=attention, fusion=fusion)
    check_outputs(embedder, FUSED_WIDTHS["resnet18"][fusion])
    attentive = [name for name, _ in embedder.named_modules() if name.endswith(".attention")]
    assert attentive == [f"backbone.model.layer{i}.attention" for i in range(1, 5) if attention != "none"]


@pytest.mark.parametrize("pooling", ["average", "max", "gem"])
def test_poolings(pooling: str) -> None:
    check_outputs(compose(pooling=pooling, height=64, width=96), 96)


@pytest.mark.parametrize(
    ("recipe", "width"),
    [
        ("report-baseline", 576),
        ("report-mobilenetv3-small", 1024),
        ("report-resnet18", 1024),
        ("report-se-resnet18-concatenation", 1024),
        ("report-se-resnext50", 512),
    ],
)
def test_models_of_the_report_are_compositions(recipe: str, width: int) -> None:
    changes = ["model.weights=none", "model.height=64", "model.width=64"]
    check_outputs(build_embedder(load_recipe(recipe, changes).model, 7), width)


def test_forward_gives_the_features_of_outputs() -> None:
    embedder = compose(head="fc", embedding_size=8).eval()
    pictures = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(embedder(pictures), embedder.outputs(pictures).features)


def test_without_vehicles_there_are_no_logits() -> None:
    embedder = compose(vehicles=0)
    assert embedder.outputs(torch.rand(2, 3, 64, 64)).logits is None
    assert not any(key.startswith("classifier") for key in embedder.state_dict())


def test_embedder_owns_what_is_done_to_pictures_before() -> None:
    embedder = compose(backbone="test_resnet", height=64, width=96)
    assert embedder.preprocessing == Preprocessing(64, 96, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
    assert embedder.preprocessing.decoded_size == (128, 192)


def test_zero_bias_leaves_head_and_classifier_without_bias() -> None:
    options = {"head": "fc-bn-relu-fc", "embedding_size": 8}
    linear = [module for module in compose(zero_bias=True, **options).modules() if isinstance(module, nn.Linear)]
    assert [layer.bias for layer in linear] == [None, None]
    assert all(module.bias is not None for module in compose(**options).modules() if isinstance(module, nn.Linear))


@pytest.mark.parametrize(("attention", "fusion"), [("none", "none"), ("se", "add"), ("cbam", "global")])
def test_training_reaches_every_parameter_and_changes_no_input(attention: str, fusion: str) -> None:
    embedder = compose(attention=attention, fusion=fusion, head="fc-bn-relu-fc", embedding_size=8, pooling="gem")
    pictures = torch.rand(4, 3, 64, 64)
    kept = pictures.clone()
    embedder.outputs(pictures).logits.square().sum().backward()
    assert [name for name, parameter in embedder.named_parameters() if parameter.grad is None] == []
    assert torch.equal(pictures, kept)


COMPANIED = [
    compose(attention="cbam", fusion="global", head="fc-bn-relu-dropout-fc", embedding_size=8).eval(),
    compose(attention="se", fusion="concatenate", pooling="gem").eval(),
]


@settings(max_examples=20)
@given(batch=st.integers(1, 5), seed=st.integers(0, 1000), embedder=st.sampled_from(COMPANIED))
def test_embedding_does_not_depend_on_batch_mates(batch: int, seed: int, embedder: Embedder) -> None:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randn(batch, 3, 64, 64, generator=generator)
    with torch.no_grad():
        together = embedder(pictures)
        alone = torch.cat([embedder(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("option", [{"attention": "se"}, {"fusion": "add"}, {"pooling": "gem"}])
def test_token_models_refuse_what_needs_maps(option: dict[str, str]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(
        SamecarError, match=f"model.{name} '{value}' needs the feature maps .* 'test_vit' does not give"
    ):
        compose(backbone="test_vit", **option)


def test_token_model_embeds() -> None:
    check_outputs(compose(backbone="test_vit", head="fc", embedding_size=16), 16)


@pytest.mark.skipif(not hasattr(InceptionV3, "forward_intermediates"), reason="timm before 1.0.31 gives no maps of it")
def test_sizes_at_which_stages_do_not_meet_are_refused() -> None:
    with pytest.raises(SamecarError, match=r"fusion 'global'.*multiples of 32"):
        compose(backbone="inception_v3", fusion="global", height=160, width=160)


def test_fusion_takes_sizes_that_are_no_multiples_of_the_reduction() -> None:
    check_outputs(compose(fusion="global", height=75, width=100), 384)


def test_negative_number_of_vehicles_is_refused() -> None:
    with pytest.raises(SamecarError, match="vehicles is -1"):
        compose(vehicles=-1)


def test_equal_seeds_give_equal_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(compose(attention="se", fusion="add", head="fc", embedding_size=8).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
