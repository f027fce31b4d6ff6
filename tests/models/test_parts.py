"""Neck, branches and stripes: what an embedding is made of from the last map on."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from samecar.config import ModelSettings, parse_recipe
from samecar.embedding.encoder import Encoder
from samecar.errors import SamecarError
from samecar.models import Embedder, build_embedder
from samecar.models.describing import describe_embedding
from samecar.models.parts import cut_stripes, join_features
from samecar.models.saved import model_tensors, save_model


def compose(**options: object) -> Embedder:
    return copy.deepcopy(_composed(tuple(options.items())))


@cache
def _composed(options: tuple[tuple[str, object], ...]) -> Embedder:
    """Building takes longer than copying."""
    defaults = {"backbone": "test_resnet", "weights": "none", "height": 64, "width": 64}
    torch.manual_seed(1)
    return build_embedder(ModelSettings.model_validate(defaults | dict(options)), 5)


def pictures(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def test_neck_normalises_what_triplets_read_and_the_classifier_has_no_bias() -> None:
    embedder = compose(neck="batch-norm", head="fc", embedding_size=8).train()
    (part,) = embedder.outputs(pictures()).parts
    mean, variance = part.before.mean(dim=0), part.before.var(dim=0, unbiased=False)
    torch.testing.assert_close(part.after, (part.before - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close(part.logits, part.after @ embedder.classifier.weight.T)
    assert embedder.classifier.bias is None
    assert compose(neck="none").classifier.bias is not None


def test_the_neck_s_bias_stays_0_and_all_else_is_learned() -> None:
    embedder = compose(neck="batch-norm").train()
    optimizer = torch.optim.Adam(embedder.parameters(), 0.1, weight_decay=0.1)
    embedder.outputs(pictures()).logits.square().sum().backward()
    without = [name for name, parameter in embedder.named_parameters() if parameter.grad is None]
    assert without == ["neck.bias"]
    optimizer.step()
    assert embedder.neck.bias.abs().sum() == 0


@pytest.mark.parametrize("embedding", ["before", "after"])
def test_which_feature_is_the_embedding(embedding: str) -> None:
    embedder = compose(neck="batch-norm", embedding=embedding)
    embedder.outputs(pictures())  # running means that are not 0
    embedder.eval()
    with torch.no_grad():
        outputs = embedder.outputs(pictures())
        assert torch.equal(outputs.features, getattr(outputs.parts[0], embedding))
        assert torch.equal(embedder(pictures()), outputs.features)
    assert not torch.equal(outputs.parts[0].before, outputs.parts[0].after)


def test_without_a_neck_the_features_are_one() -> None:
    outputs = compose().outputs(pictures())
    assert outputs.parts[0].before is outputs.parts[0].after is outputs.features
    assert outputs.parts[0].logits is outputs.logits


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_branches_begin_as_copies_of_the_last_stage(backbone: str) -> None:
    embedder = compose(backbone=backbone, branches=3).eval()
    with torch.no_grad():
        whole = embedder.backbone.model.forward_features(pictures())
        maps = embedder.maps(pictures())
    assert len(maps) == 3
    for branch in maps:
        torch.testing.assert_close(branch, whole, atol=1e-5, rtol=1e-4)


def test_branches_are_learned_apart() -> None:
    embedder = compose(branches=2).train()
    first, second = embedder.outputs(pictures()).parts
    first.logits.square().sum().backward(retain_graph=True)
    reached = {name for name, parameter in embedder.named_parameters() if parameter.grad is not None}
    assert "backbone.model.layer4.0.conv1.weight" in reached
    assert not any(name.startswith(("backbone.branches.", "further.")) for name in reached)
    second.logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in embedder.parameters())


def test_embedding_of_branches_has_each_at_length_one() -> None:
    embedder = compose(branches=3, head="fc", embedding_size=8, neck="batch-norm").eval()
    with torch.no_grad():
        outputs = embedder.outputs(pictures())
    assert embedder.embedding_size == 24
    assert [(part.branch, part.stripe, part.width) for part in embedder.parts] == [(1, 0, 8), (2, 0, 8), (3, 0, 8)]
    for number, part in enumerate(outputs.parts):
        own = outputs.features[:, 8 * number : 8 * number + 8]
        torch.testing.assert_close(own, part.after / part.after.square().sum(dim=1, keepdim=True).sqrt())


def test_stripes_are_pooled_from_the_top_beside_the_whole_map() -> None:
    embedder = compose(stripes=2).eval()
    with torch.no_grad():
        maps = embedder.backbone.model.forward_features(pictures())  # (4, 96, 2, 2)
        outputs = embedder.outputs(pictures())
    means = [maps.mean(dim=(2, 3)), maps[:, :, :1].mean(dim=(2, 3)), maps[:, :, 1:].mean(dim=(2, 3))]
    torch.testing.assert_close(outputs.features, torch.cat(means, dim=1))
    assert [(part.branch, part.stripe) for part in embedder.parts] == [(1, 0), (1, 1), (1, 2)]
    assert all(part.logits.shape == (4, 5) for part in outputs.parts)
    layers = [embedder.classifier, *(part.classifier for part in embedder.further)]
    assert len({layer.weight.data_ptr() for layer in layers}) == 3


def test_a_height_that_leaves_a_rest_gives_upper_stripes_a_row_more() -> None:
    maps = torch.arange(7.0).view(1, 1, 7, 1)
    assert [piece.flatten().tolist() for piece in cut_stripes(maps, 3)[1:]] == [[0, 1, 2], [3, 4], [5, 6]]


def test_joining_features_keeps_lengths_unless_there_are_branches() -> None:
    features = [torch.tensor([[3.0]]), torch.tensor([[4.0]]), torch.tensor([[0.0]]), torch.tensor([[2.0]])]
    assert join_features(features[:2], 1).tolist() == [[3, 4]]
    torch.testing.assert_close(join_features(features, 2), torch.tensor([[0.6, 0.8, 0, 1]]))
    assert join_features([torch.zeros(1, 2), torch.ones(1, 2)], 2).isfinite().all()


COMPOSITIONS = {
    "branches": {"branches": 2, "attention": "se", "pooling": "gem", "neck": "batch-norm", "embedding": "before"},
    "all": {
        "neck": "batch-norm",
        "branches": 2,
        "stripes": 2,
        "fusion": "concatenate",
        "head": "fc",
        "embedding_size": 8,
    },
}


@pytest.mark.parametrize("options", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_training_reaches_every_part_and_a_saved_model_embeds_the_same(options: dict, tmp_path: Path) -> None:
    embedder = compose(**options).train()
    torch.stack([part.logits.square().sum() for part in embedder.outputs(pictures()).parts]).sum().backward()
    without = [name for name, parameter in embedder.named_parameters() if parameter.grad is None]
    assert all(name.endswith("neck.bias") for name in without)
    save_model(embedder.eval(), tmp_path)
    with torch.no_grad():
        expected = embedder(pictures())
    assert expected.shape == (4, embedder.embedding_size)
    loaded = Encoder.open(tmp_path, device="cpu").runtime.network
    with torch.no_grad():
        torch.testing.assert_close(loaded(pictures()), expected)


def test_weights_of_a_run_fill_all_but_the_classifiers(tmp_path: Path) -> None:
    options = {"neck": "batch-norm", "branches": 2, "stripes": 2}
    first = compose(**options)
    save_file(model_tensors(first), tmp_path / "model.safetensors")
    torch.manual_seed(9)
    settings = ModelSettings(
        backbone="test_resnet", weights=str(tmp_path / "model.safetensors"), height=64, width=64, **options
    )
    second = build_embedder(settings, 7).state_dict()
    for key, tensor in first.state_dict().items():
        assert ("classifier" in key) or torch.equal(second[key], tensor), key
    assert second["further.4.classifier.weight"].shape == (7, 96)


def test_old_models_keep_their_keys_and_draw_the_same_numbers() -> None:
    torch.manual_seed(1)
    keys = [key for key in compose(head="fc", embedding_size=8).state_dict() if not key.startswith("backbone.model.")]
    assert keys == ["head.0.weight", "head.0.bias", "classifier.weight", "classifier.bias"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbone": "test_vit", "branches": 2}, "model.branches is 2 but the last stage of VisionTransformer cannot"),
        ({"backbone": "test_vit", "stripes": 2}, "model.stripes 2 needs the feature maps"),
        (
            {"stripes": 3},
            "model.stripes is 3 but the last map of model.backbone 'test_resnet' is 2 high at model.height 64",
        ),
    ],
)
def test_what_a_backbone_cannot_give_is_refused(options: dict, sentence: str) -> None:
    if options.get("backbone") == "test_vit":
        options |= {"height": 160, "width": 160}
    with pytest.raises(SamecarError, match=sentence):
        compose(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"embedding": "before"}, "embedding is 'before' but neck is 'none'"),
        ({"stripes": 1}, "stripes is 1, which is the whole map; give 2 or more"),
        ({"branches": 0}, "model.branches is 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict, sentence: str) -> None:
    with pytest.raises(SamecarError, match=sentence):
        parse_recipe({"model": options}, "mine")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, None),
        ({"neck": "batch-norm"}, "after the neck"),
        ({"neck": "batch-norm", "embedding": "before"}, "before the neck"),
        (
            {"neck": "batch-norm", "branches": 4, "stripes": 2},
            "after the neck; 4 branches, each of length one; the whole map and 2 stripes",
        ),
    ],
)
def test_what_a_card_says_of_the_embedding(options: dict, said: str | None) -> None:
    assert describe_embedding(ModelSettings.model_validate(options)) == said
