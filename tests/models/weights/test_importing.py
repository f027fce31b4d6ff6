"""Weights in the layouts of other programs, made of timm's and torchvision's networks with random weights."""

import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from command_line import done, refused
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models.vision_transformer import checkpoint_filter_fn

from samecar.config import ModelSettings
from samecar.errors import SamecarError
from samecar.models import build_embedder
from samecar.models.layers.instance_norm import add_instance_norm
from samecar.models.weights.importing import describe, import_weights


def shake(model):
    """Gives every tensor numbers of its own, so that none can be taken for another."""
    generator = torch.Generator().manual_seed(0)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            spread = torch.rand(tensor.shape, generator=generator)
            tensor.copy_((spread - 0.5) * 0.1 if tensor.ndim > 1 or "mean" in key else 0.8 + 0.4 * spread)
    return model.eval()


def embed(path, backbone, size=64, **settings):
    settings = ModelSettings(backbone=backbone, weights=str(path), height=size, width=size, **settings)
    with torch.no_grad():
        return build_embedder(settings, 0).eval()(pictures(size))


def pictures(size=64):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def pooled(model, size=64):
    with torch.no_grad():
        return model.forward_features(pictures(size)).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def resnet():
    return shake(timm.create_model("test_resnet", num_classes=7))


def prefixed(state, prefix):
    return {prefix + key: tensor for key, tensor in state.items()}


NARROW = {"depth": 2, "embed_dim": 48, "num_heads": 2}

HEADS = {
    "report's author": ("resnet18.", {"embedding.0.weight": (9, 512), "classifier.weight": (7, 9)}),
    "fast-reid": ("backbone.", {"heads.bottleneck.0.weight": (512,), "heads.weight": (7, 512), "pixel_mean": (3,)}),
    "strong baseline": ("base.", {"bottleneck.weight": (512,), "classifier.weight": (7, 512)}),
    "torchreid": ("", {"classifier.weight": (7, 512), "classifier.bias": (7,)}),
    "timm": ("", {}),
}


@pytest.mark.parametrize("program", HEADS)
def test_residual_networks_of_every_program_embed_as_they_did(program, resnet, tmp_path):
    prefix, heads = HEADS[program]
    state = {key: tensor for key, tensor in resnet.state_dict().items() if not key.startswith("fc.")}
    state = prefixed(state, prefix) | {key: torch.rand(shape) for key, shape in heads.items()}
    torch.save({"state_dict": prefixed(state, "module."), "epoch": 3, "rank1": 0.9}, tmp_path / "file.pth.tar.pth")
    imported = import_weights(tmp_path / "file.pth.tar.pth", tmp_path / "out.safetensors", backbone="test_resnet")
    assert (imported.layout, imported.share) == (program, 1)
    assert {match.source for match in imported.tensors if match.state == "left over"} == set(heads)
    assert torch.equal(embed(imported.path, "test_resnet"), pooled(resnet))


def test_ibn_networks_of_fast_reid(tmp_path):
    """The first normalisation of a block is two there, one for each half of the channels."""
    model = timm.create_model("resnet10t", num_classes=0)
    add_instance_norm(model, "ibn-a")
    shake(model)
    assert "layer1.0.bn1.IN.weight" in model.state_dict()
    torch.save({"model": prefixed(model.state_dict(), "backbone.")}, tmp_path / "fast.pth")
    imported = import_weights(tmp_path / "fast.pth", tmp_path / "out.safetensors", backbone="resnet10t")
    assert imported.options["model.instance_norm"] == imported.instance_norm == "ibn-a"
    features = embed(imported.path, "resnet10t", instance_norm="ibn-a")
    assert torch.isfinite(features).all()
    assert torch.equal(features, pooled(model))


def author_mobilenet(path):
    theirs = shake(torchvision.models.mobilenet_v3_small())
    state = prefixed(theirs.features.state_dict(), "backbone.features.")
    torch.save({"state_dict": state | {"backbone.classifier.0.weight": torch.rand(5, 576)}}, path)
    return theirs


@pytest.mark.slow
def test_the_authors_mobilenet_is_torchvisions_below_a_prefix(tmp_path):
    theirs, name = author_mobilenet(tmp_path / "author.pth"), "mobilenetv3_small_100"
    imported = import_weights(tmp_path / "author.pth", tmp_path / "out.safetensors", backbone=name)
    assert (imported.layout, imported.share) == ("report's author", 1)
    with torch.no_grad():
        expected = theirs.features(pictures()).mean(dim=(2, 3))
    torch.testing.assert_close(embed(imported.path, name), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_networks_are_found_by_names_and_shapes(tmp_path):
    author_mobilenet(tmp_path / "mobilenet.pth")
    cadene = shake(timm.create_model("legacy_seresnext50_32x4d", num_classes=0))
    torch.save(prefixed(cadene.state_dict(), "model."), tmp_path / "cadene.pth")
    expected = {
        "mobilenet": ("mobilenetv3_small_100", "report's author"),
        "cadene": ("legacy_seresnext50_32x4d", "report's author"),
    }
    for name, found in expected.items():
        imported = import_weights(tmp_path / f"{name}.pth", tmp_path / f"{name}.safetensors")
        assert (imported.backbone, imported.layout) == found
    written = load_file(tmp_path / "cadene.safetensors")
    assert all(torch.equal(written[key], tensor) for key, tensor in cadene.state_dict().items())


CLIP_WORDS = (
    ("patch_embed.proj.", "conv1."),
    ("norm_pre.", "ln_pre."),
    ("blocks.", "transformer.resblocks."),
    ("norm1.", "ln_1."),
    ("norm2.", "ln_2."),
    ("attn.qkv.", "attn.in_proj_"),
    ("attn.proj.", "attn.out_proj."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
)


def clip_state(model):
    """A timm transformer's tensors as CLIP has them."""
    state = {}
    for key, tensor in model.state_dict().items():
        if key == "cls_token":
            key, tensor = "class_embedding", tensor[0, 0]
        elif key == "pos_embed":
            key, tensor = "positional_embedding", tensor[0]
        elif key.startswith("head."):
            if key == "head.bias":
                continue
            key, tensor = "proj", tensor.T
        elif key.startswith("norm."):
            key = key.replace("norm.", "ln_post.")
        for ours, theirs in CLIP_WORDS:
            key = key.replace(ours, theirs)
        state[key] = tensor.clone()
    return state


@pytest.fixture(scope="module")
def clip():
    """A small transformer of CLIP's kind."""
    model = timm.create_model("vit_base_patch32_clip_quickgelu_224", img_size=96, num_classes=16, **NARROW)
    torch.nn.init.zeros_(model.head.bias)
    for tensor in model.parameters():
        if tensor is not model.head.bias:
            torch.nn.init.normal_(tensor, std=0.02)
    return model.eval()


@pytest.fixture
def shallow(monkeypatch):
    """timm's transformers with two narrow layers, whatever is asked for."""
    create = timm.create_model

    def create_shallow(name, *arguments, **options):
        return create(name, *arguments, **(NARROW if name.startswith("vit_") else {}), **options)

    monkeypatch.setattr(timm, "create_model", create_shallow)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(("prefix", "layout"), [("image_encoder.", "CLIP-ReID"), ("visual.", "CLIP"), ("", "CLIP")])
def test_clip_towers(prefix, layout, clip, tmp_path):
    backbone = "vit_base_patch32_clip_quickgelu_224"
    state = prefixed(clip_state(clip), prefix)
    others = {"text_encoder.positional_embedding": torch.rand(77, 8), "bottleneck.weight": torch.rand(48)}
    torch.save(state | others, tmp_path / "clip.pth")
    imported = import_weights(tmp_path / "clip.pth", tmp_path / "out.safetensors", backbone=backbone)
    assert (imported.layout, imported.share) == (layout, 1)
    assert {match.source for match in imported.tensors if match.state == "left over"} == set(others)
    written = load_file(imported.path)
    assert torch.equal(written["head.weight"], clip.head.weight)
    assert not written["head.bias"].any()
    # An independent reader of the same layout: timm's own.
    theirs = checkpoint_filter_fn(prefixed(clip_state(clip), "visual."), clip)
    assert theirs.keys() == written.keys()
    assert all(torch.equal(written[key], theirs[key]) for key in theirs)
    with torch.no_grad():
        expected = clip.forward_head(clip.forward_features(pictures(96)), pre_logits=True)
    torch.testing.assert_close(embed(imported.path, backbone, size=96), expected)


@pytest.mark.usefixtures("shallow")
def test_transreid_with_local_branches_gives_its_global_feature(tmp_path):
    model = shake(timm.create_model("vit_small_patch16_224", img_size=64, num_classes=0))
    state = model.state_dict()
    last = {key: tensor for key, tensor in state.items() if key.startswith("blocks.1.")}
    norm = {key: tensor for key, tensor in state.items() if key.startswith("norm.")}
    file = prefixed(state, "base.") | {"base.sie_embed": torch.rand(20, 1, 48), "bottleneck.weight": torch.rand(48)}
    file |= {key.replace("blocks.1.", "b1.0."): tensor for key, tensor in last.items()}
    file |= {key.replace("norm.", "b1.1."): tensor for key, tensor in norm.items()}
    for key in [*last, *norm]:
        file[f"base.{key}"] = torch.zeros_like(state[key])  # never trained: the network does not use them
    torch.save(file, tmp_path / "transreid.pth")
    imported = import_weights(
        tmp_path / "transreid.pth", tmp_path / "out.safetensors", backbone="vit_small_patch16_224"
    )
    assert (imported.layout, imported.share) == ("TransReID", 1)
    left = {match.source for match in imported.tensors if match.state == "left over"}
    assert left == {"base.sie_embed", "bottleneck.weight", *(f"base.{key}" for key in [*last, *norm])}
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(pictures()), pre_logits=True)
    torch.testing.assert_close(embed(imported.path, "vit_small_patch16_224"), expected)


@pytest.mark.usefixtures("shallow")
def test_positions_of_people_are_made_square(tmp_path):
    model = shake(timm.create_model("vit_small_patch16_224", img_size=(128, 64), num_classes=0))
    positions = torch.arange(8.0)[:, None].expand(8, 4).reshape(1, 32, 1).expand(1, 32, 48)  # each its row's number
    state = model.state_dict() | {"pos_embed": torch.cat([torch.full((1, 1, 48), 9.0), positions], dim=1)}
    torch.save(prefixed(state, "base."), tmp_path / "people.pth")
    give = {"backbone": "vit_small_patch16_224"}
    with pytest.raises(SamecarError, match=r"positions of 32 patches, which are no square; give .* --grid 8x4"):
        import_weights(tmp_path / "people.pth", tmp_path / "out.safetensors", **give)
    with pytest.raises(SamecarError, match="--grid 8x8 is 64 patches, but the file has positions of 32"):
        import_weights(tmp_path / "people.pth", tmp_path / "out.safetensors", grid=(8, 8), **give)
    assert not (tmp_path / "out.safetensors").exists()
    imported = import_weights(tmp_path / "people.pth", tmp_path / "out.safetensors", grid=(8, 4), **give)
    assert [match.key for match in imported.tensors if match.state == "resized"] == ["pos_embed"]
    resized = load_file(imported.path)["pos_embed"]
    assert resized.shape == (1, 1 + 64, 48)
    assert (resized[0, 0] == 9).all()
    rows = resized[0, 1:, 0].reshape(8, 8)
    torch.testing.assert_close(rows, torch.arange(8.0)[:, None].expand(8, 8), atol=1e-4, rtol=0)


@pytest.mark.usefixtures("shallow")
def test_torchvisions_transformer(tmp_path):
    theirs = torchvision.models.VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=192)
    generator = torch.Generator().manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    torch.save(theirs.eval().state_dict(), tmp_path / "vit.pth")
    imported = import_weights(tmp_path / "vit.pth", tmp_path / "out.safetensors", backbone="vit_small_patch16_224")
    assert (imported.layout, imported.share) == ("torchvision", 1)
    theirs.heads = torch.nn.Identity()
    with torch.no_grad():
        expected = theirs(pictures())
    torch.testing.assert_close(embed(imported.path, "vit_small_patch16_224"), expected, atol=1e-5, rtol=1e-5)


def test_a_grid_is_of_transformers_alone(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(SamecarError, match="--grid is of a vision transformer's positions, and 'test_resnet' has none"):
        import_weights(tmp_path / "weights.pth", tmp_path / "out.safetensors", backbone="test_resnet", grid=(2, 2))


def test_a_few_missing_tensors_begin_anew_and_many_are_refused(resnet, tmp_path):
    state = dict(resnet.state_dict())
    removed = [key for key in state if key.startswith("layer1.0.")]
    torch.save({key: tensor for key, tensor in state.items() if key not in removed}, tmp_path / "some.pth")
    imported = import_weights(tmp_path / "some.pth", tmp_path / "out.safetensors", backbone="test_resnet")
    trained = [key for key in removed if not key.endswith("num_batches_tracked")]
    assert [match.key for match in imported.tensors if match.state == "missing"] == trained
    sizes = {key: tensor.numel() for key, tensor in state.items() if not re.search(r"^fc\.|num_batches", key)}
    assert imported.share == pytest.approx(1 - sum(sizes[key] for key in trained) / sum(sizes.values()))
    again = import_weights(tmp_path / "some.pth", tmp_path / "again.safetensors", backbone="test_resnet")
    one, two = load_file(imported.path), load_file(again.path)
    assert all(torch.equal(one[key], two[key]) for key in one)
    few = {key: tensor for key, tensor in state.items() if not key.startswith("layer4.")}
    torch.save(few, tmp_path / "few.pth")
    with pytest.raises(SamecarError, match=r"few.pth holds \d\d.\d % of the parameters of 'test_resnet', and 95% are"):
        import_weights(tmp_path / "few.pth", tmp_path / "few.safetensors", backbone="test_resnet")
    assert not (tmp_path / "few.safetensors").exists()


def test_what_the_file_says_of_itself(resnet, tmp_path):
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    imported = import_weights(tmp_path / "weights.pth", tmp_path / "out.safetensors", backbone="test_resnet")
    with safe_open(imported.path, "pt") as file:
        facts = file.metadata()
    assert facts["licence"] == "not stated"
    assert (facts["source"], facts["source_layout"], facts["backbone"]) == ("weights.pth", "timm", "test_resnet")
    assert facts["source_sha256"] == imported.sha256
    assert len(imported.sha256) == 64
    assert describe(imported)["counts"]["missing"] == 0


class Code:
    """What a pickle could hold."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_bad_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "code": Code()}, "code.pth")
    torch.save({"a.weight": torch.rand(3)}, "other.pth")
    out = tmp_path / "out.safetensors"
    for file, sentence in (
        ("code.pth", "the file 'code.pth' holds more than tensors, which is not read because it could run code"),
        ("none.pth", "the file 'none.pth' is not a file; give the path of one$"),
        ("other.pth", "other.pth holds 0.0 % of the parameters of 'test_resnet'"),
    ):
        with pytest.raises(SamecarError, match=sentence):
            import_weights(file, out, backbone="test_resnet")
    with pytest.raises(SamecarError, match=r"--out weights.pth ends in '.pth'; give a name that ends in .safetensors"):
        import_weights("other.pth", "weights.pth")
    with pytest.raises(SamecarError, match=r"fits no network that is guessed; its keys are such as a.weight; name its"):
        import_weights("other.pth", out)
    with pytest.raises(SamecarError, match=r"model.backbone 'no-such' is not a timm model"):
        import_weights("other.pth", out, backbone="no-such")
    assert not Path("ran").exists()
    assert not out.exists()


def test_the_command_says_what_fitted(tmp_path):
    model = shake(timm.create_model("test_resnet", num_classes=3))
    torch.save(prefixed(model.state_dict(), "backbone.") | {"heads.weight": torch.rand(3)}, tmp_path / "file.pth")
    out = tmp_path / "out.safetensors"
    told = done("import-weights", tmp_path / "file.pth", "--backbone", "test_resnet", "-o", out)
    assert "fast-reid" in told
    assert "100.0 % of test_resnet's parameters" in " ".join(told.split())
    assert "model.backbone=test_resnet" in told
    assert torch.equal(embed(out, "test_resnet"), pooled(model))
    sentence = refused("import-weights", tmp_path / "file.pth", "--backbone", "test_resnet", "-o", out, "--grid", "8")
    assert sentence == "--grid is '8'; give rows and columns, such as 16x8"
