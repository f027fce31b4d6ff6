"""From rows to batches of tensors; a picture's random changes depend on its draw alone, not on who reads it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from samecar.data.chance import DrawFrom
from samecar.data.kept_pictures import KeptPictures
from samecar.data.manifest import Manifest
from samecar.data.picture_batches import put_together, read_ahead, rows_in_order
from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.data.sampling import BatchesPart, Draw, IdentityBatches
from samecar.data.transforms import PictureTransform, Prepared, evaluation_transform
from samecar.errors import SamecarError, first_few
from samecar.preprocessing import Preprocessing

FAILURE_LIMIT: Final = 0.01
"""Share of a set's pictures that may be unreadable before training stops."""


class Sample(NamedTuple):
    """A picture that was read, its row, and numbers as in `Batch`."""

    prepared: Prepared
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


class PictureDataset:
    """Reads and transforms the pictures of a manifest, one at a time; several threads may use it.

    Args:
        manifest: which pictures.
        transform: from a picture to what the model takes.
        labels: (pictures,) class numbers; all -1 if not given.
        cameras: (pictures,) numbers of cameras, such as `known_numbers` gives; all -1 if not given.
        views: (pictures,) numbers of views, likewise.
        kept: its pictures, if they were kept for this transform.
    """

    def __init__(
        self,
        manifest: Manifest,
        transform: PictureTransform,
        labels: NDArray[np.int64] | None = None,
        cameras: NDArray[np.int64] | None = None,
        views: NDArray[np.int64] | None = None,
        kept: KeptPictures | None = None,
    ) -> None:
        self.manifest = manifest
        self.transform = transform
        self.labels = self._numbers("labels", labels)
        self.cameras = self._numbers("cameras", cameras)
        self.views = self._numbers("views", views)
        self._kept = kept

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, draw: Draw | int) -> Sample | Failure:
        """A picture, changed at random as the draw's seed says; a plain row number is for transforms without chance."""
        row = draw.row if isinstance(draw, Draw) else draw
        seeded = DrawFrom(draw.seed) if isinstance(draw, Draw) else nullcontext()
        found = None if self._kept is None else self._kept.find(row)
        if found is not None:
            with seeded:
                return self._sample(row, self.transform.prepare_resized(found))
        try:
            picture = read_picture(self.manifest.absolute_path(row), self.transform.preprocessing.decoded_size)
        except UnreadablePictureError as error:
            return Failure(row, error.reason)
        with seeded:
            return self._sample(row, self.transform.prepare(picture))

    def _sample(self, row: int, prepared: Prepared) -> Sample:
        return Sample(prepared, row, int(self.labels[row]), int(self.cameras[row]), int(self.views[row]))

    def _numbers(self, name: str, given: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if given is None:
            return np.full(len(self.manifest), -1)
        if given.shape != (len(self.manifest),):
            raise ValueError(f"{name} have shape {given.shape}; ({len(self.manifest)},) is needed")
        return given


@dataclass(frozen=True)
class Delivery:
    """Where batches are brought, and how their pictures lie there.

    Attributes:
        device: of the model. What becomes of a picture's numbers is computed there.
        channels_last: whether colours of a pixel lie side by side in memory; else each colour is a plane.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    channels_last: bool = False

    def deliver(self, batches: Iterable[Sequence[Sample | Failure]], transform: PictureTransform) -> Iterator[Batch]:
        """Makes batches of what was read; to a GPU they are brought beside its work, so that it does not wait."""
        if self.device.type != "cuda":
            for items in batches:
                yield self.collate(items, transform)
            return
        beside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        for items in batches:
            with torch.cuda.stream(beside):
                batch = self.collate(items, transform)
            working = torch.cuda.current_stream(self.device)
            working.wait_stream(beside)
            batch.pictures.record_stream(working)  # so that its memory is not given to another batch too early
            yield batch

    def collate(self, items: Sequence[Sample | Failure], transform: PictureTransform) -> Batch:
        """Puts items together, their pictures where the delivery brings them; see `Batch`."""
        samples = [item for item in items if isinstance(item, Sample)]
        failures = tuple(item for item in items if isinstance(item, Failure))
        labels, rows, cameras, views = (
            torch.tensor([getattr(sample, name) for sample in samples], dtype=torch.int64)
            for name in ("label", "row", "camera", "view")
        )
        # Numbers stay here, where processes that share a batch tell them to each other without waiting for a GPU.
        numbers = self._pin(labels), failures, rows, self._pin(cameras), self._pin(views)
        if not samples:
            return Batch(torch.empty(0, 3, 0, 0, device=self.device), *numbers)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        prepared = [sample.prepared for sample in samples]
        pixels = self._pin(torch.from_numpy(put_together([one.pixels for one in prepared])))
        pixels = pixels.to(self.device, non_blocking=True)
        return Batch(transform.finish(pixels.contiguous(memory_format=layout), prepared), *numbers)

    def _pin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Puts a tensor where a GPU can fetch it by itself."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor


class Groups(Protocol):
    """What each batch is made of, such as `IdentityBatches`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sequence[Draw | int]]: ...


class PictureLoader:
    """Gives `Batch` objects; threads read ahead.

    Pictures that cannot be read are missing from their batch and named in `Batch.failures`; hand these to a
    `FailureLog`.

    Args:
        dataset: what is read.
        groups: the draws or rows of each batch; looked at anew each time.
        workers: threads that read; 0 reads in this one. They change nothing but the speed.
        delivery: where batches are brought.
    """

    def __init__(
        self,
        dataset: PictureDataset,
        groups: Groups,
        workers: int = 0,
        delivery: Delivery | None = None,
    ) -> None:
        self.dataset = dataset
        self.workers = workers
        self.delivery = delivery or Delivery()
        self._groups = groups

    def __len__(self) -> int:
        """Batches."""
        return len(self._groups)

    def __iter__(self) -> Iterator[Batch]:
        with closing(read_ahead(self._groups, self.dataset.__getitem__, self.workers)) as batches:
            yield from self.delivery.deliver(batches, self.dataset.transform)


def training_loader(
    manifest: Manifest,
    labels: NDArray[np.int64],
    transform: PictureTransform,
    batches: IdentityBatches | BatchesPart,
    workers: int = 0,
    delivery: Delivery | None = None,
    kept: KeptPictures | None = None,
) -> PictureLoader:
    """Gives the batches of an epoch; call `batches.set_epoch` before each.

    Args:
        manifest: the training pictures.
        labels: (pictures,) class numbers.
        transform: from a picture to what the model takes.
        batches: which pictures, in which order.
        workers: threads that read; 0 reads in this one.
        delivery: where batches are brought.
        kept: pictures that need not be read.
    """
    dataset = PictureDataset(
        manifest,
        transform,
        labels,
        cameras=known_numbers(manifest.camera_id),
        views=known_numbers(manifest.view),
        kept=kept,
    )
    return PictureLoader(dataset, batches, workers, delivery)


def unchanged_loader(
    manifest: Manifest, labels: NDArray[np.int64], preprocessing: Preprocessing, batch_size: int, workers: int = 0
) -> PictureLoader:
    """Gives all training pictures once, in the manifest's order and without random changes.

    Args:
        manifest: the training pictures.
        labels: (pictures,) class numbers.
        preprocessing: what the model takes.
        batch_size: pictures in a batch; the last one may be smaller.
        workers: threads that read; 0 reads in this one.
    """
    dataset = PictureDataset(manifest, evaluation_transform(preprocessing), labels)
    return PictureLoader(dataset, rows_in_order(len(manifest), batch_size), workers)


def evaluation_loader(
    manifest: Manifest,
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int = 0,
    delivery: Delivery | None = None,
) -> "EvaluationLoader":
    """Gives all pictures in the manifest's order.

    Args:
        manifest: which pictures.
        preprocessing: what the model takes.
        batch_size: pictures in a batch; the last one may be smaller.
        workers: threads that read; 0 reads in this one.
        delivery: where batches are brought.
    """
    dataset = PictureDataset(manifest, evaluation_transform(preprocessing))
    return EvaluationLoader(PictureLoader(dataset, rows_in_order(len(manifest), batch_size), workers, delivery))


class EvaluationLoader:
    """Pictures in order, as tensors (batch, 3, height, width).

    Iteration raises `UnreadablePictureError` at a picture that cannot be read.
    """

    def __init__(self, loader: PictureLoader) -> None:
        self.dataset = loader.dataset
        self._loader = loader

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
