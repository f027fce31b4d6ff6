"""Single pictures: every type in every colour, from several cameras, with what makes a vehicle an individual."""

import numpy as np
import pytest

from drawncars import draw_vehicle, picture
from drawncars.cameras import make_camera
from drawncars.identity import make_vehicle
from drawncars.palette import COLOURS, SHADES, TYPES
from drawncars.rasterizer import rasterize
from drawncars.shapes import MODELS_PER_TYPE, model_shape
from drawncars.texture import build_model


def vehicle_pixels(kind: str, colour: str, vehicle: int, camera: int) -> np.ndarray:
    """What a camera without a cast gets to see of a vehicle, nothing else; (pixels, 3), 0 to 255."""
    seen_by, model = make_camera(1, camera), build_model(1, vehicle, kind, colour, 48)
    view = picture._view(seen_by, picture._move(model.mesh, picture.Pose(0.0, -3.5, 0.1)))
    layer = picture._layer(seen_by, picture._crop(view.flat, 48, np.random.default_rng(1)), view, model.texture)
    return 255 * np.clip(layer.light[layer.covered], 0, 1) ** (1 / 2.2)


def share_of_colour(pixels: np.ndarray, colour: str) -> float:
    """The share of pixels, (pixels, 3), whose hue, or lightness where there is none, is that of a colour."""
    if colour in ("white", "gray", "black"):
        low, high = {"white": (140, 256), "gray": (45, 215), "black": (0, 75)}[colour]
        lightness = pixels.mean(axis=1)
        return float(((np.ptp(pixels, axis=1) < 60) & (lightness >= low) & (lightness < high)).mean())
    toward = pixels - pixels.mean(axis=1, keepdims=True)
    wanted = np.array(SHADES[colour], dtype=float)
    wanted = (wanted - wanted.mean(axis=1, keepdims=True)).T
    alike = toward @ wanted / (np.linalg.norm(toward, axis=1, keepdims=True) * np.linalg.norm(wanted, axis=0) + 1e-6)
    return float(((alike.max(axis=1) > 0.93) & (np.ptp(pixels, axis=1) > 14)).mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_every_type_comes_in_every_colour(kind: str, colour: str) -> None:
    image = draw_vehicle(kind, colour, vehicle=3, camera=2, size=48)
    assert max(image.size) == 48
    assert np.asarray(image).std() > 15
    shares = [share_of_colour(vehicle_pixels(kind, colour, 3, camera), colour) for camera in (1, 2)]
    assert max(shares) > 0.25


def test_a_picture_depends_on_vehicle_camera_and_place_and_on_nothing_else() -> None:
    first = np.asarray(draw_vehicle(size=64))
    assert np.array_equal(first, np.asarray(draw_vehicle("sedan", 5, size=64)))
    others = [draw_vehicle(size=64, **{option: 2}) for option in ("vehicle", "camera", "seed")]
    others.append(draw_vehicle(size=64, position=0.9))
    assert all(other.size != first.shape[1::-1] or not np.array_equal(first, np.asarray(other)) for other in others)


def test_a_vehicle_is_the_same_one_for_every_camera() -> None:
    """What tells an individual is made without any camera; its sides and its top are one texture."""
    vehicle = make_vehicle(1, 7, "suv", "white")
    assert vehicle == make_vehicle(1, 7, "suv", "white") == build_model(1, 7, "suv", "white", 64).vehicle
    assert vehicle != make_vehicle(1, 8, "suv", "white")


def test_two_cameras_see_the_same_paint() -> None:
    """A blue car stays blue and a red one red from the front and from behind."""
    for colour, other in (("blue", "red"), ("red", "blue")):
        for camera in (1, 2, 3, 4):
            pixels = vehicle_pixels("hatchback", colour, 11, camera)
            assert share_of_colour(pixels, colour) > 3 * share_of_colour(pixels, other)


def test_individuals_of_one_type_and_colour_differ() -> None:
    vehicles = [make_vehicle(1, number, "sedan", "gray") for number in range(40)]
    assert len({repr(vehicle) for vehicle in vehicles}) == 40
    assert any(vehicle.missing_cap >= 0 for vehicle in vehicles)
    assert any(vehicle.rack for vehicle in vehicles)
    assert any(vehicle.dents for vehicle in vehicles)
    assert any(vehicle.stripes for vehicle in vehicles)
    assert any(vehicle.roof != vehicle.paint for vehicle in vehicles)
    assert sum(bool(vehicle.stickers) for vehicle in vehicles) > 10


def test_the_longer_side_is_the_size_and_the_shape_is_the_vehicle_s_own() -> None:
    shapes = set()
    for camera in range(1, 9):
        width, height = draw_vehicle("bus", "green", camera=camera, size=96).size
        assert max(width, height) == 96
        assert 0.45 <= width / height <= 2.1
        shapes.add((width, height))
    assert len(shapes) > 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_meshes_are_sound(kind: str) -> None:
    for number in range(6):
        model = build_model(5, number, kind, "blue", 48)
        mesh = model.mesh
        assert np.isfinite(mesh.corners).all()
        assert np.allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-3)
        assert abs(mesh.corners[:, :, 2].min()) < 0.02, "the tyres touch the road"
        rows, columns = model.texture.shape[:2]
        assert ((mesh.texture > -1) & (mesh.texture < [columns + 1, rows + 1])).all()
        # Left and right are alike but for mirrored fittings; nothing sticks out far.
        assert np.abs(mesh.corners[:, :, 1]).max() < model.vehicle.shape.cabin.width / 2 + 0.35


def test_models_differ_within_a_type_and_types_have_their_proportions() -> None:
    for kind in TYPES:
        assert len({model_shape(kind, model).length for model in range(MODELS_PER_TYPE)}) > 1
    assert model_shape("bus", 0).length > model_shape("sedan", 0).length > model_shape("hatchback", 0).length
    assert model_shape("suv", 0).height > model_shape("sedan", 0).height


def test_the_nearest_triangle_wins_whatever_their_order() -> None:
    square = np.array([[[0, 0], [8, 0], [0, 8]], [[8, 0], [8, 8], [0, 8]]], dtype=np.float32)
    corners = np.concatenate([square, square / 2])
    nearness = np.repeat(np.array([0.5, 0.5, 1.0, 1.0], dtype=np.float32), 3).reshape(4, 3)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        seen = rasterize(corners[order], nearness[order], 8, 8)
        assert len(seen.pixels) == 64
        shown = np.array(order)[seen.triangles].reshape(8, 8)
        assert (shown[:4, :4] >= 2).all()
        assert (shown[4:] < 2).all()
        assert np.allclose(seen.weights.sum(axis=1), 1, atol=1e-5)


def test_values_run_straight_in_space_not_in_the_picture() -> None:
    """Half way between two corners in the picture the nearer one counts more."""
    corners = np.array([[[0, 0], [100, 0], [0, 100]]], dtype=np.float32)
    seen = rasterize(corners, np.array([[1.0, 0.25, 1.0]], dtype=np.float32), 100, 100)
    middle = seen.weights[np.flatnonzero(seen.pixels == 50)[0]]
    assert middle[1] == pytest.approx(0.2, abs=0.02)


def test_cameras_differ() -> None:
    cameras = [make_camera(1, number) for number in range(1, 21)]
    for quality in ("exposure", "contrast", "blur", "noise", "quality", "barrel"):
        assert len({getattr(camera, quality) for camera in cameras}) > 10
    assert len({camera.hidden_by for camera in cameras}) == 4
    assert len({tuple(np.sign(camera.position[:2])) for camera in cameras}) == 4
    assert max(camera.position[2] for camera in cameras) - min(camera.position[2] for camera in cameras) > 3


@pytest.mark.parametrize(
    ("option", "value"),
    [("kind", "tram"), ("kind", 10), ("colour", "pink"), ("camera", 0), ("position", 1.5), ("size", 8)],
)
def test_what_cannot_be_drawn_is_named(option: str, value: str | int | float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value!r}; choose"):
        draw_vehicle(**{option: value})
