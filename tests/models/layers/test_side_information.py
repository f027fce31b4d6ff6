"""What a vision transformer is told of cameras and views: a naive restatement, and a run that is trained and scored."""

import json

import pytest
import torch
from conftest import TINY
from pydantic import ValidationError

from samecar.config import ModelSettings, load_recipe
from samecar.data import Manifest, open_source
from samecar.embedding.encoder import Encoder
from samecar.embedding.networks import embed
from samecar.errors import SamecarError
from samecar.experiment.evaluate import evaluate
from samecar.experiment.train import initial_model, train
from samecar.hardware import machine
from samecar.models import Embedder, build_embedder
from samecar.models.composite import CompositeEmbedder
from samecar.models.layers.side_information import SideInformation
from samecar.training import Run

HERE = machine("cpu", 0)
SIDE = ["model.backbone=test_vit", "model.side_information=camera", "training.epochs=1"]


def compose(**options: object) -> Embedder:
    settings = {"backbone": "test_vit", "weights": "none", "height": 32, "width": 32} | options
    return build_embedder(ModelSettings.model_validate(settings), 3).eval()


@pytest.mark.parametrize(("cameras", "views"), [(3, 0), (0, 2), (3, 2)])
def test_an_embedding_of_each_pair_and_means_of_what_is_unknown(cameras: int, views: int) -> None:
    side = SideInformation(cameras, views, 4, weight=2.5)
    assert side.table.shape == (max(1, cameras), max(1, views), 4)
    table = side.table.detach()
    given = [(camera, view) for camera in (-1, 0, 2) for view in (-1, 1)]
    added = side((torch.tensor([each[0] for each in given]), torch.tensor([each[1] for each in given])))
    assert added.shape == (6, 1, 4)
    for (camera, view), vector in zip(given, added[:, 0], strict=True):
        of_cameras = [camera] if cameras and camera >= 0 else range(max(1, cameras))
        of_views = [view] if views and view >= 0 else range(max(1, views))
        rows = [table[one, other] for one in of_cameras for other in of_views]
        torch.testing.assert_close(vector, 2.5 * sum(rows) / len(rows))
    torch.testing.assert_close(side(None)[0, 0], 2.5 * table.flatten(0, 1).mean(0))


def test_it_is_added_to_every_token_behind_the_positions() -> None:
    model = compose(side_information="camera", side_cameras=["c1", "c2"], tokens="class+patch-mean")
    network, table = model.backbone.model, model.backbone.reader.side.table
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        patches = network.patch_embed.proj(pictures).flatten(2).transpose(1, 2)
        tokens = torch.cat([network.cls_token.expand(2, -1, -1), patches], dim=1) + network.pos_embed
        tokens = tokens + 3.0 * torch.stack([table[1, 0], table[0, 0]])[:, None]
        for block in network.blocks:
            tokens = block(tokens)
        tokens = network.norm(tokens)
        expected = torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)
        unknown = torch.tensor([-1, -1])
        torch.testing.assert_close(model(pictures, (torch.tensor([1, 0]), unknown)), expected)


def test_without_weight_in_the_table_the_network_is_timms() -> None:
    torch.manual_seed(1)
    plain = compose()
    model = compose(side_information="camera+view", side_cameras=["c1"], side_views=["front", "rear"])
    tensors = plain.state_dict()
    model.load_state_dict({"backbone.reader.side.table": torch.zeros(1, 2, 64), **tensors})
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(pictures), plain(pictures))


def test_its_embeddings_are_new_layers_and_are_trained() -> None:
    model = compose(side_information="camera", side_cameras=["c1", "c2"]).train()
    (reader,) = model.backbone.inserted()
    assert [name for name, _ in reader.named_parameters()] == ["side.table"]
    model.outputs(torch.rand(2, 3, 32, 32), (torch.tensor([0, -1]), torch.tensor([-1, -1]))).logits.sum().backward()
    gradient = reader.side.table.grad
    assert gradient.abs().sum(dim=(1, 2)).min() > 0  # of the second camera through the mean


@pytest.mark.parametrize("backbone", ["test_resnet", pytest.param("vit_small_patch16_dinov3", marks=pytest.mark.slow)])
def test_other_networks_are_refused(backbone: str) -> None:
    with pytest.raises(SamecarError, match=r"model\.side_information 'camera' needs a plain vision transformer"):
        compose(backbone=backbone, side_information="camera", side_cameras=["c1"])


def test_options_that_nothing_reads_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"side_weight is 2\.0 but side_information is 'none'"):
        ModelSettings(side_weight=2.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, painted_source: str) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(load_recipe("report-baseline", [*TINY, *SIDE]), painted_source, folder, on=HERE)


def test_a_run_knows_its_cameras_by_name(run: Run, painted_source: str) -> None:
    names = sorted(set(open_source(painted_source).of_split("train").camera_id.tolist()))
    assert json.loads((run.folder / "run.json").read_text())["side"] == {"side_cameras": names, "side_views": []}
    assert json.loads((run.folder / "model" / "model.json").read_text())["model"]["side_cameras"] == names
    again = Run.open(run.folder).load_model()
    assert again.settings.side_cameras == tuple(names)
    assert again.backbone.reader.side.table.shape == (len(names), 1, 64)


def test_evaluation_tells_the_model_the_cameras_and_the_card_says_so(run: Run, painted_source: str) -> None:
    card = evaluate(run, painted_source, on=HERE).card
    assert card.side_information == "camera labels at test time (32 of 32 known)"


def test_the_camera_changes_an_embedding_and_the_name_decides(run: Run, painted_source: str) -> None:
    model, manifest = run.load_model(), open_source(painted_source).of_split("query")
    own = embed(model, manifest).matrix
    model.backbone.reader.side.table.data[0] += 1
    changed = [bool(row) for row in (embed(model, manifest).matrix != own).any(axis=1)]
    first = model.settings.side_cameras[0]
    assert changed == [camera == first for camera in manifest.camera_id.tolist()]
    assert any(changed)


def test_pictures_without_labels_are_refused_in_galleries(run: Run) -> None:
    with pytest.raises(
        SamecarError, match="which a gallery, a comparison and the service cannot tell it; use a model with"
    ):
        Encoder.open(run)
    with pytest.raises(SamecarError, match="which a fused or reduced model cannot tell it"):
        CompositeEmbedder([run.load_model()], [1.0])


def test_training_pictures_without_views_are_refused(painted_source: str) -> None:
    recipe = load_recipe("report-baseline", [*TINY, *SIDE, "model.side_information=camera+view"])
    manifest: Manifest = open_source(painted_source).of_split("train")
    with pytest.raises(SamecarError, match="no training picture has a view; give one in the manifest"):
        initial_model(recipe, 8, manifest)
    named = load_recipe("report-baseline", [*TINY, *SIDE, 'model.side_cameras=["c1"]'])
    with pytest.raises(SamecarError, match="are filled in by training; leave them out"):
        initial_model(named, 8, manifest)


def test_a_run_resumes_with_its_cameras(run: Run, painted_source: str) -> None:
    recipe = load_recipe("report-baseline", [*TINY, *SIDE])
    tensors = {name: tensor.clone() for name, tensor in run.load_model().state_dict().items()}
    again = train(recipe, painted_source, run.folder, resume=True, on=HERE)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in again.load_model().state_dict().items())
