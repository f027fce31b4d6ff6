"""Identity batches: some vehicles, a few pictures of each."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.config import BatchSettings
from samecar.data.manifest import Manifest
from samecar.errors import SamecarError, check_seed
from samecar.labels import find_labelled


class Draw(NamedTuple):
    """One picture of a batch: its row, and the 63-bit seed of what happens to it at random."""

    row: int
    seed: int


def plan_batches(training: Manifest, settings: BatchSettings, seed: int) -> "IdentityBatches":
    """Batches of a manifest's pictures, as a recipe wants them.

    Raises:
        SamecarError: as in `IdentityBatches`.
    """
    cameras = training.camera_id if settings.camera_aware else None
    return IdentityBatches(training.vehicle_id, settings.size, settings.pictures_per_vehicle, seed, cameras)


class IdentityBatches:
    """Batches of `batch_size / pictures_per_vehicle` vehicles with `pictures_per_vehicle` pictures each.

    In every epoch each vehicle's pictures are shuffled and cut into chunks of `pictures_per_vehicle`; what is left over
    waits for another epoch, and a vehicle with too few pictures fills its one chunk by repeating them, each time with
    another seed. A batch takes a chunk each of vehicles drawn without replacement from those that have chunks left; the
    epoch ends when these are fewer than a batch needs.

    With `cameras` the chunks are not cut at random but dealt, see `deal_over_cameras`; an epoch is as long.

    Batches depend on `seed` and the epoch alone, not on epochs before. An object of this class is what a
    `PictureLoader` reads by.

    Args:
        vehicle_ids: (pictures,).
        batch_size: pictures in a batch.
        pictures_per_vehicle: pictures of each vehicle in a batch.
        seed: 0 or more.
        cameras: (pictures,) "" where it is not known; given, a vehicle's pictures in a batch are of several cameras.

    Raises:
        SamecarError: the batch size is no multiple, there are fewer vehicles than a batch needs, a picture is
            unlabelled, the seed is negative, or cameras are given but none is known.
    """

    def __init__(
        self,
        vehicle_ids: NDArray[np.str_],
        batch_size: int,
        pictures_per_vehicle: int,
        seed: int = 1,
        cameras: NDArray[np.str_] | None = None,
    ) -> None:
        if batch_size < 1 or pictures_per_vehicle < 1 or batch_size % pictures_per_vehicle:
            raise SamecarError(
                f"batch size {batch_size} is not a multiple of {pictures_per_vehicle} pictures of each vehicle; "
                "change batch.size or batch.pictures_per_vehicle"
            )
        check_seed(seed)
        unlabelled = int((~find_labelled(vehicle_ids)).sum())
        if unlabelled:
            raise SamecarError(f"{unlabelled:,} training pictures have no vehicle_id; label them or leave them out")
        if cameras is not None and not (cameras != "").any():
            raise SamecarError(
                "batch.camera_aware is true but no training picture has a camera_id; give a source that knows cameras, "
                "or leave batch.camera_aware out"
            )
        self.pictures_per_vehicle = pictures_per_vehicle
        self._cameras = cameras
        self.vehicles_per_batch = batch_size // pictures_per_vehicle
        self.seed = seed
        self.epoch = 0
        order = np.argsort(vehicle_ids, kind="stable")
        _, starts = np.unique(vehicle_ids[order], return_index=True)
        self._rows_of_vehicles = np.split(order, starts[1:])
        vehicles = len(starts)
        if vehicles < self.vehicles_per_batch:
            raise SamecarError(
                f"a batch of {batch_size} with {pictures_per_vehicle} pictures of each vehicle needs "
                f"{self.vehicles_per_batch} vehicles, but only {vehicles} are there to train on; "
                f"lower batch.size to {vehicles * pictures_per_vehicle} or less"
                if vehicles
                else "there are no pictures to train on; the train split is empty"
            )
        self._planned: tuple[int, NDArray[np.int64]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that iteration goes through; 0 or more."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in the chosen epoch."""
        return len(self._plan())

    def __iter__(self) -> Iterator[list[Draw]]:
        plan = self._plan()
        seeds = np.random.default_rng([self.seed, self.epoch, 1]).integers(2**63, size=plan.shape)
        for rows, row_seeds in zip(plan.tolist(), seeds.tolist(), strict=True):
            yield [Draw(row, seed) for row, seed in zip(rows, row_seeds, strict=True)]

    def _plan(self) -> NDArray[np.int64]:
        """Rows of the chosen epoch; (batches, batch_size)."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._new_plan(np.random.default_rng([self.seed, self.epoch, 0])))
        return self._planned[1]

    def _new_plan(self, generator: np.random.Generator) -> NDArray[np.int64]:
        chunks = [self._chunks(generator.permutation(rows)) for rows in self._rows_of_vehicles]
        left = np.array([len(of_vehicle) for of_vehicle in chunks])  # (vehicles,) chunks not yet drawn
        available = np.arange(len(chunks))
        batches = []
        while len(available) >= self.vehicles_per_batch:
            drawn = generator.choice(available, self.vehicles_per_batch, replace=False)
            left[drawn] -= 1
            batches.append(np.concatenate([chunks[vehicle][left[vehicle]] for vehicle in drawn]))
            if not left[drawn].all():
                available = available[left[available] > 0]
        return np.stack(batches)

    def _chunks(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Shuffled rows of one vehicle cut up; (chunks, pictures_per_vehicle)."""
        size = self.pictures_per_vehicle
        if self._cameras is not None:
            return deal_over_cameras(rows, self._cameras[rows], size)
        whole = len(rows) // size * size
        kept = rows[:whole] if whole else np.resize(rows, size)
        return kept.reshape(-1, size)


class BatchesPart:
    """What one of several processes reads of each batch: an equal part of its vehicles, in the batch's order.

    The parts of all processes, one behind the other, are the batch. An object of this class is a batch sampler too.

    Args:
        batches: of all processes together.
        part: number of the process, from 0.
        parts: how many processes there are.

    Raises:
        SamecarError: the vehicles of a batch cannot be parted so, or a part would be a single picture.
    """

    def __init__(self, batches: IdentityBatches, part: int, parts: int) -> None:
        vehicles, pictures = batches.vehicles_per_batch, batches.pictures_per_vehicle
        self._size = vehicles // parts * pictures
        if vehicles % parts or (self._size == 1 and parts > 1):
            fitting = [str(count) for count in range(1, vehicles + 1) if not vehicles % count]
            fitting = fitting[:-1] if pictures == 1 and len(fitting) > 1 else fitting
            single = "" if vehicles % parts else ", and batch normalisation needs two pictures at least"
            raise SamecarError(
                f"{parts} processes cannot share a batch of {vehicles} vehicles equally{single}: batch.size is "
                f"{vehicles * pictures} and batch.pictures_per_vehicle {pictures}; take {', '.join(fitting)} processes "
                "or change batch.size"
            )
        self._batches = batches
        self._start = part * self._size

    def __len__(self) -> int:
        """Batches in the chosen epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        for draws in self._batches:
            yield draws[self._start : self._start + self._size]


def deal_over_cameras(rows: NDArray[np.int64], cameras: NDArray[np.str_], size: int) -> NDArray[np.int64]:
    """Cuts one vehicle's pictures into chunks that come from as many cameras as they can.

    There are as many chunks as without cameras, one for each `size` pictures, but one at least. Pictures that are too
    many are left out where a camera has the most. The others are dealt like cards, camera after camera, so that each
    camera's go to as many chunks as it has pictures. If the vehicle has fewer pictures than `size` they are repeated,
    the cameras taking turns.

    Where that leaves a chunk with fewer than two known cameras though the vehicle was seen by two, pictures of another
    one take the place of some of its own: those that the chunks have used least, so they are repeated in other chunks.

    Args:
        rows: (pictures,) in random order.
        cameras: (pictures,) of these rows; "" is not known, and counts as one camera in dealing.
        size: of a chunk, 2 or more.

    Returns:
        (chunks, size) rows.
    """
    camera_of = dict(zip(rows.tolist(), cameras.tolist(), strict=True))
    groups: dict[str, list[int]] = {}
    for row, camera in camera_of.items():
        groups.setdefault(camera, []).append(row)
    count = max(1, len(rows) // size)
    for _ in range(len(rows) - count * size):
        max(groups.values(), key=len).pop()
    if len(rows) < size:
        turns = sorted((turn, number) for number, group in enumerate(groups.values()) for turn in range(len(group)))
        in_turns = [list(groups.values())[number][turn] for turn, number in turns]
        return np.resize(np.array(in_turns, dtype=np.int64), (1, size))
    dealt = np.array([row for group in groups.values() for row in group], dtype=np.int64)
    chunks = [chunk.tolist() for chunk in dealt.reshape(size, count).T]
    _mix_cameras(chunks, camera_of)
    return np.array(chunks, dtype=np.int64)


def _mix_cameras(chunks: list[list[int]], camera_of: dict[int, str]) -> None:
    """Puts a second known camera into each chunk that lacks one, if the vehicle was seen by two; changes `chunks`."""
    known = [row for row, camera in camera_of.items() if camera]
    if len({camera_of[row] for row in known}) < 2:
        return
    used = Counter(row for chunk in chunks for row in chunk)
    for chunk in chunks:
        while len(present := {camera_of[row] for row in chunk} - {""}) < 2:
            others = [row for row in known if camera_of[row] not in present]
            chosen = min(others, key=used.__getitem__)  # of equals the first, and rows are in random order
            unknown = [place for place, row in enumerate(chunk) if not camera_of[row]]
            chunk[unknown[0] if unknown else 0] = chosen
            used[chosen] += 1
