"""Token models: overlapping patches, positions that are resized, and which tokens are the feature."""

from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import Embedder, build_embedder
from samecar.models.saved import load_model_tensors, save_model

DINOV3 = "vit_small_patch16_dinov3"
"""Has no learned positions, but turns queries and keys by where their patches lie."""


def compose(backbone: str = "test_vit", **options: object) -> Embedder:
    settings = {"backbone": backbone, "weights": "none", "height": 64, "width": 64} | options
    return build_embedder(ModelSettings.model_validate(settings), 3).eval()


def embed(model: Embedder, pictures: Tensor) -> Tensor:
    with torch.no_grad():
        return model(pictures)


def test_256_pixels_give_21_by_21_patches_of_16_with_stride_12() -> None:
    model = compose(height=256, width=256, patch_stride=12).backbone.model
    with torch.no_grad():
        assert model.forward_features(torch.rand(1, 3, 256, 256)).shape == (1, 1 + 21 * 21, 64)


def test_patches_overlap() -> None:
    model = compose(height=64, width=88, patch_stride=12).backbone.model
    pictures = torch.rand(2, 3, 64, 88)
    with torch.no_grad():
        tokens = model.patch_embed(pictures).reshape(2, 5, 7, 64)
        for row, column in [(0, 0), (2, 3), (4, 6)]:
            patch = pictures[:, :, 12 * row : 12 * row + 16, 12 * column : 12 * column + 16]
            expected = torch.einsum("bcij,dcij->bd", patch, model.patch_embed.proj.weight) + model.patch_embed.proj.bias
            torch.testing.assert_close(tokens[:, row, column], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "backbone",
    ["test_vit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("test_vit2", "test_vit3"))],
)
def test_a_stride_as_long_as_the_patch_changes_nothing(backbone: str) -> None:
    torch.manual_seed(1)
    plain = compose(backbone)
    torch.manual_seed(1)
    model = compose(backbone, patch_stride=16)
    pictures = torch.rand(2, 3, 64, 64)
    assert torch.equal(embed(plain, pictures), embed(model, pictures))


@pytest.mark.parametrize(
    "backbone", ["test_vit", "test_vit3", pytest.param("deit3_small_patch16_224", marks=pytest.mark.slow)]
)
def test_positions_of_a_file_are_resized_as_timm_does(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    small = timm.create_model(backbone, img_size=64)
    save_file(small.state_dict(), tmp_path / "weights.safetensors")
    ours = compose(backbone, height=96, width=64, weights=str(tmp_path / "weights.safetensors"))
    theirs = timm.create_model(
        backbone,
        img_size=(96, 64),
        pretrained=True,
        num_classes=0,
        pretrained_cfg_overlay={"file": str(tmp_path / "weights.safetensors"), "num_classes": 1000},
    ).eval()
    pictures = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures), theirs(pictures))


def test_positions_of_overlapping_patches_are_resized_once(tmp_path: Path) -> None:
    source = timm.create_model("test_vit", img_size=64)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    model = compose(height=64, width=88, patch_stride=12, weights=str(tmp_path / "weights.safetensors"))
    square = source.pos_embed[:, 1:].detach().reshape(1, 4, 4, 64).permute(0, 3, 1, 2)
    expected = functional.interpolate(square, (5, 7), mode="bicubic", antialias=True)
    given = model.backbone.model.pos_embed.detach()
    assert torch.equal(given[:, :1], source.pos_embed[:, :1])
    torch.testing.assert_close(given[:, 1:].reshape(1, 5, 7, 64).permute(0, 3, 1, 2), expected)


def test_positions_of_no_square_are_refused_at_another_size(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit", img_size=(96, 64)).state_dict(), tmp_path / "weights.safetensors")
    path = str(tmp_path / "weights.safetensors")
    compose(height=96, width=64, weights=path)
    with pytest.raises(SamecarError, match=r"positions of 24 patches, which are no square, and the model has 4 × 4"):
        compose(weights=path)


@pytest.mark.parametrize(
    ("backbone", "names"),
    [("test_vit", ("class", "patch-mean", "class+patch-mean")), ("test_vit2", ("patch-mean",))],
)
def test_tokens_by_hand(backbone: str, names: tuple[str, ...]) -> None:
    pictures = torch.rand(2, 3, 64, 64)
    features = {}
    for tokens in names:
        torch.manual_seed(3)
        model = compose(backbone, tokens=tokens)
        features[tokens] = embed(model, pictures)
        network = model.backbone.model
        with torch.no_grad():
            rows = network.forward_features(pictures)
            first = network.fc_norm(rows[:, 0])
            rest = network.fc_norm(sum(rows[:, i] for i in range(1, 17)) / 16)
    expected = {"class": first, "patch-mean": rest, "class+patch-mean": torch.cat([first, rest], dim=1)}
    for tokens in names:
        torch.testing.assert_close(features[tokens], expected[tokens])


def test_what_timm_pools_is_one_of_them() -> None:
    pictures = torch.rand(2, 3, 64, 64)
    for backbone, tokens in (("test_vit", "class"), ("test_vit2", "patch-mean")):
        torch.manual_seed(4)
        pooled = embed(compose(backbone), pictures)
        torch.manual_seed(4)
        torch.testing.assert_close(embed(compose(backbone, tokens=tokens), pictures), pooled)


@pytest.mark.slow
def test_registers_are_no_patches() -> None:
    model = compose(DINOV3, height=32, width=48, tokens="patch-mean", patch_stride=8)
    pictures = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        rows = model.backbone.model.forward_features(pictures)
        assert rows.shape[1] == 1 + 4 + 3 * 5
        torch.testing.assert_close(model(pictures), rows[:, 5:].mean(dim=1))


def test_projection_is_a_second_feature() -> None:
    model = compose("vit_xsmall_patch16_clip_224", height=32, width=32, tokens="class", projection=True)
    head = model.backbone.model.head
    feature = embed(model, torch.rand(2, 3, 32, 32))
    assert feature.shape == (2, head.in_features + head.out_features) == (2, model.embedding_size)
    first = feature[:, : head.in_features]
    torch.testing.assert_close(feature[:, head.in_features :], first @ head.weight.T.detach() + head.bias.detach())


def test_projection_elsewhere_is_refused() -> None:
    with pytest.raises(SamecarError, match=r"model.projection needs .* model.backbone 'test_vit' is not"):
        compose(projection=True)
    with pytest.raises(ValidationError, match="projection reads the class token but tokens is 'patch-mean'"):
        ModelSettings(projection=True, tokens="patch-mean")


@pytest.mark.parametrize(
    ("backbone", "options", "sentence"),
    [
        ("test_resnet", {"patch_stride": 8}, "does not cut pictures into tokens"),
        ("test_vit", {"patch_stride": 17}, r"patches .* are 16 × 16 and pictures 64 × 64; give a stride of 1 to 16"),
        ("test_vit", {"patch_stride": 8, "height": 8}, "pictures 8 × 64"),
        ("test_resnet", {"tokens": "class"}, "'test_resnet' gives no tokens"),
        ("test_vit2", {"tokens": "class"}, "has no class token; choose tokens 'patch-mean'"),
    ],
)
def test_what_does_not_go_together_is_refused(backbone: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SamecarError, match=sentence):
        compose(backbone, **options)


@pytest.mark.parametrize(
    ("backbone", "tokens"),
    [("test_vit", "class+patch-mean"), pytest.param("test_vit3", "patch-mean", marks=pytest.mark.slow)],
)
def test_training_reaches_every_parameter_and_a_saved_model_is_the_same(
    backbone: str, tokens: str, tmp_path: Path
) -> None:
    model = compose(backbone, patch_stride=8, tokens=tokens, height=40, head="fc", embedding_size=8)
    model.outputs(torch.rand(2, 3, 40, 64)).logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    save_model(model, tmp_path)
    again = build_embedder(model.settings, 3, load_weights=False).eval()
    load_model_tensors(again, tmp_path / "model.safetensors")
    pictures = torch.rand(2, 3, 40, 64)
    assert torch.equal(embed(model, pictures), embed(again, pictures))
