import os
from importlib.util import find_spec
from pathlib import Path

# Two test processes share the cores; threads of one would only wait for those of the other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

# How long an example takes says more of what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a network

pytest.register_assert_rewrite("engine_contract", "browsing")

TINY = [
    "model.backbone=test_resnet",
    "model.weights=none",
    "model.height=32",
    "model.width=32",
    "batch.size=8",
    "batch.pictures_per_vehicle=2",
    "training.epochs=2",
    "optimizer.learning_rate=1e-3",
]
"""Changes that make any recipe quick."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Where torch is not installed, files without tests marked `light` cannot even be read."""
    if find_spec("torch") is not None or not collection_path.name.startswith("test_"):
        return None
    return "pytest.mark.light" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a real browser or a real database server is slow."""
    for item in items:
        if {"browser", "postgres", "postgres_servers"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def paint_picture(path: Path, vehicle: int, camera: int, index: int) -> None:
    """Paints a picture whose colours tell the vehicle, and whose brightness and noise tell camera and index."""
    colours = np.random.default_rng(vehicle).integers(40, 216, (2, 3))
    picture = np.where(np.arange(40)[:, None, None] < 20, colours[0], colours[1]) * np.ones((40, 40, 1))
    noise = np.random.default_rng([vehicle, camera, index]).normal(0, 8, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(picture + 10 * camera + noise, 0, 255).astype(np.uint8)).save(path)


def paint_source(folder: Path, train: int, test: int) -> str:
    """Paints vehicles to train on and others to test on, each seen once by two cameras; gives the source."""
    for vehicle in range(train + test):
        split = "train" if vehicle < train else "gallery"
        for camera in (1, 2):
            paint_picture(folder / split / f"v{vehicle:02d}_c{camera}.png", vehicle, 3 * camera, 0)
        if split == "gallery":
            paint_picture(folder / "query" / f"v{vehicle:02d}_c1.png", vehicle, 3, 0)
    return f"folder:{folder}/{{split}}/{{vehicle_id}}_{{camera_id}}.png"


@pytest.fixture(scope="session")
def painted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve vehicles, eight to train and four to test, seen by two cameras in three pictures each.

    `train/`, `query/` and `gallery/` hold files named VEHICLE_CAMERA_INDEX.png.
    """
    root = tmp_path_factory.mktemp("painted")
    for vehicle in range(12):
        for camera in range(2):
            for index in range(3):
                name = f"v{vehicle:02d}_c{camera}_{index}.png"
                if vehicle < 8:
                    paint_picture(root / "train" / name, vehicle, camera, index)
                else:
                    paint_picture(root / "gallery" / name, vehicle, camera, index)
                    if index == 0:
                        paint_picture(root / "query" / name, vehicle, camera, index)
    return root


@pytest.fixture(scope="session")
def painted_source(painted_folder: Path) -> str:
    """The painted folder as a source."""
    return f"folder:{painted_folder}/{{split}}/{{vehicle_id}}_{{camera_id}}_*.png"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny model."""
    from tiny_run import tiny_run

    return tiny_run(tmp_path_factory.mktemp("tiny") / "run").folder


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of six vehicles by two cameras."""
    folder = tmp_path_factory.mktemp("crops")
    for vehicle in range(6):
        for camera in (1, 2):
            paint_picture(folder / f"v{vehicle}_c{camera}.png", vehicle, camera, 0)
    return folder


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server with pgvector."""
    from postgres_server import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_servers(postgres):
    """Three PostgreSQL servers with pgvector, whose administrators have the same password."""
    with postgres.neighbour() as second, postgres.neighbour() as third:
        yield postgres, second, third


@pytest.fixture(scope="module")
def databases(postgres_servers):
    """A database on each of three servers, and one for a coordinator; their password is in the environment."""
    from spread_places import Databases

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", postgres_servers[0].password)
        yield Databases(postgres_servers)


@pytest.fixture(scope="session")
def painted_gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of painted pictures, made by `galleries.make_gallery`, that no test changes."""
    from galleries import make_gallery

    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture
def own_gallery(painted_gallery: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    from galleries import copy_gallery

    return copy_gallery(painted_gallery, tmp_path)
