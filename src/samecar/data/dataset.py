"""From rows to batches of tensors; a picture's random changes depend on its draw alone, not on worker processes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from samecar.data.manifest import Manifest
from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.data.sampling import BatchesPart, Draw, IdentityBatches
from samecar.data.transforms import PictureTransform, evaluation_transform
from samecar.data.workers import BatchLoader
from samecar.errors import SamecarError, first_few
from samecar.preprocessing import Preprocessing

FAILURE_LIMIT: Final = 0.01
"""Share of a set's pictures that may be unreadable before training stops."""


class Sample(NamedTuple):
    """A picture as the model takes it: float32 (3, height, width), its row, and numbers as in `Batch`."""

    picture: torch.Tensor
    row: int
    label: int
    camera: int = -1
    view: int = -1


class Failure(NamedTuple):
    """A picture that could not be read: its row and the reason."""

    row: int
    reason: str


class Batch(NamedTuple):
    """Pictures together.

    Attributes:
        pictures: (batch, 3, height, width) float32, normalised; (0, 3, 0, 0) if none could be read.
        labels: (batch,) int64, class numbers; -1 where the dataset was given none.
        failures: the pictures that are not in the batch because they could not be read.
        rows: (batch,) int64, rows of the manifest.
        cameras: (batch,) int64, numbers of the cameras among the sorted ones of the training pictures; -1 where the
            camera is not known, and outside of training.
        views: (batch,) int64, numbers of the seen sides of the vehicles, likewise.
    """

    pictures: torch.Tensor
    labels: torch.Tensor
    failures: tuple[Failure, ...]
    rows: torch.Tensor
    cameras: torch.Tensor
    views: torch.Tensor


def class_numbers(vehicle_ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """Numbers vehicles from 0 in the order of their sorted names; (pictures,) to (pictures,)."""
    return np.unique(vehicle_ids, return_inverse=True)[1].astype(np.int64)


def known_numbers(names: NDArray[np.str_], known: NDArray[np.str_] | None = None) -> NDArray[np.int64]:
    """Numbers names from 0 in the order of the sorted known ones; -1 is a name that is not among them.

    Args:
        names: (pictures,) of cameras or views; "" where nothing is known, which never has a number.
        known: the names that have numbers, such as the training pictures'; those of `names` if not given.

    Returns:
        (pictures,).
    """
    kept = np.unique(names if known is None else known)
    kept = kept[kept != ""]
    if not len(kept):
        return np.full(len(names), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(kept, names), len(kept) - 1)
    return np.where(kept[places] == names, places, -1).astype(np.int64)


class PictureDataset(Dataset[Any]):
    """Reads and transforms the pictures of a manifest.

    Args:
        manifest: which pictures.
        transform: a picture to a tensor.
        labels: (pictures,) class numbers; all -1 if not given.
        decoded_size: height and width below which no picture is decoded; larger JPEG pictures are decoded quicker.
        cameras: (pictures,) numbers of cameras, such as `known_numbers` gives; all -1 if not given.
        views: (pictures,) numbers of views, likewise.
    """

    def __init__(
        self,
        manifest: Manifest,
        transform: PictureTransform,
        labels: NDArray[np.int64] | None = None,
        decoded_size: tuple[int, int] | None = None,
        cameras: NDArray[np.int64] | None = None,
        views: NDArray[np.int64] | None = None,
    ) -> None:
        self.manifest = manifest
        self.transform = transform
        self.labels = self._numbers("labels", labels)
        self.cameras = self._numbers("cameras", cameras)
        self.views = self._numbers("views", views)
        self._decoded_size = decoded_size

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, draw: Draw | int) -> Sample | Failure:
        """A picture, changed at random as the draw's seed says; a plain row number is for transforms without chance."""
        row = draw.row if isinstance(draw, Draw) else draw
        try:
            picture = read_picture(self.manifest.absolute_path(row), self._decoded_size)
        except UnreadablePictureError as error:
            return Failure(row, error.reason)
        numbers = int(self.labels[row]), int(self.cameras[row]), int(self.views[row])
        if not isinstance(draw, Draw):
            return Sample(self.transform(picture), row, *numbers)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw.seed)  # torch.manual_seed would reseed the accelerators too
            return Sample(self.transform(picture), row, *numbers)

    def _numbers(self, name: str, given: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if given is None:
            return np.full(len(self.manifest), -1)
        if given.shape != (len(self.manifest),):
            raise ValueError(f"{name} have shape {given.shape}; ({len(self.manifest)},) is needed")
        return given


def collate(items: Sequence[Sample | Failure]) -> Batch:
    """Puts items together; see `Batch`."""
    samples = [item for item in items if isinstance(item, Sample)]
    failures = tuple(item for item in items if isinstance(item, Failure))
    pictures = torch.stack([sample.picture for sample in samples]) if samples else torch.empty(0, 3, 0, 0)
    labels, rows, cameras, views = (
        torch.tensor([getattr(sample, name) for sample in samples], dtype=torch.int64)
        for name in ("label", "row", "camera", "view")
    )
    return Batch(pictures, labels, failures, rows, cameras, views)


def training_loader(
    manifest: Manifest,
    labels: NDArray[np.int64],
    transform: PictureTransform,
    batches: IdentityBatches | BatchesPart,
    workers: int = 0,
    decoded_size: tuple[int, int] | None = None,
) -> BatchLoader:
    """Gives the `Batch` objects of an epoch; call `batches.set_epoch` before each.

    Pictures that cannot be read are missing from their batch and named in `Batch.failures`; hand these to a
    `FailureLog`.

    Args:
        manifest: the training pictures.
        labels: (pictures,) class numbers.
        transform: a picture to a tensor.
        batches: which pictures, in which order.
        workers: processes that read; 0 reads in this one. They change nothing but the speed.
        decoded_size: as in `PictureDataset`.
    """
    dataset = PictureDataset(
        manifest,
        transform,
        labels,
        decoded_size,
        cameras=known_numbers(manifest.camera_id),
        views=known_numbers(manifest.view),
    )
    return BatchLoader(dataset, collate, workers, batch_sampler=batches, persistent_workers=workers > 0)


def unchanged_loader(
    manifest: Manifest, labels: NDArray[np.int64], preprocessing: Preprocessing, batch_size: int, workers: int = 0
) -> BatchLoader:
    """Gives all training pictures once, in the manifest's order and without random changes, as `Batch` objects.

    Pictures that cannot be read are missing, as in `training_loader`.

    Args:
        manifest: the training pictures.
        labels: (pictures,) class numbers.
        preprocessing: what the model takes.
        batch_size: pictures in a batch; the last one may be smaller.
        workers: processes that read; 0 reads in this one.
    """
    dataset = PictureDataset(manifest, evaluation_transform(preprocessing), labels, preprocessing.decoded_size)
    return BatchLoader(dataset, collate, workers, batch_size=batch_size)


def evaluation_loader(
    manifest: Manifest, preprocessing: Preprocessing, batch_size: int, workers: int = 0
) -> "EvaluationLoader":
    """Gives all pictures in the manifest's order.

    Args:
        manifest: which pictures.
        preprocessing: what the model takes.
        batch_size: pictures in a batch; the last one may be smaller.
        workers: processes that read; 0 reads in this one.
    """
    dataset = PictureDataset(manifest, evaluation_transform(preprocessing), decoded_size=preprocessing.decoded_size)
    return EvaluationLoader(dataset, batch_size, workers)


class EvaluationLoader:
    """Pictures in order, as tensors (batch, 3, height, width).

    Iteration raises `UnreadablePictureError` at a picture that cannot be read, here and not in a worker process.
    """

    def __init__(self, dataset: PictureDataset, batch_size: int, workers: int) -> None:
        self.dataset = dataset
        self._loader = BatchLoader(dataset, collate, workers, batch_size=batch_size)

    def __len__(self) -> int:
        """Batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[torch.Tensor]:
        for batch in self._loader:
            for failure in batch.failures:
                raise UnreadablePictureError(self.dataset.manifest.absolute_path(failure.row), failure.reason)
            yield batch.pictures


class FailureLog:
    """Counts and names the pictures that training could not read, each once.

    Args:
        manifest: the training pictures.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._reasons: dict[int, str] = {}

    def readable(self) -> Manifest:
        """The set without the pictures that failed."""
        return self._manifest.select([row for row in range(len(self._manifest)) if row not in self._reasons])

    def __len__(self) -> int:
        """Pictures that failed."""
        return len(self._reasons)

    def add(self, failures: Iterable[Failure]) -> list[str]:
        """Takes in what a batch lacks.

        Returns:
            A sentence for each picture that failed for the first time.

        Raises:
            SamecarError: more than `FAILURE_LIMIT` of the set's pictures have failed.
        """
        new = {failure.row: failure.reason for failure in failures if failure.row not in self._reasons}
        self._reasons |= new
        if len(self) > FAILURE_LIMIT * len(self._manifest):
            raise SamecarError(
                f"{len(self):,} of {len(self._manifest):,} training pictures cannot be read, more than "
                f"{FAILURE_LIMIT:.0%}: {first_few(self.sentences())}; mend or remove them (see samecar data check)"
            )
        return [self._sentence(row) for row in new]

    def sentences(self) -> list[str]:
        """A sentence for each picture that failed, in the manifest's order."""
        return [self._sentence(row) for row in sorted(self._reasons)]

    def _sentence(self, row: int) -> str:
        return f"{self._manifest.path[row]} ({self._reasons[row]})"
