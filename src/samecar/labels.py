"""What is known of each picture of a set, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError

Column = NDArray[np.str_]


def _unknown() -> Column:
    return np.empty(0, np.str_)


@dataclass(frozen=True)
class Labels:
    """What is known of each picture; "" is unknown, and a column that is not given is unknown altogether.

    Attributes:
        vehicle_id: (pictures,).
        camera_id: (pictures,).
        track_id: (pictures,) pictures of one passage by one camera.
        type: (pictures,) of the vehicle.
        colour: (pictures,) of the vehicle.
        path: (pictures,) by which a picture is recognised in another run.
    """

    vehicle_id: Column
    camera_id: Column
    track_id: Column = field(default_factory=_unknown)
    type: Column = field(default_factory=_unknown)
    colour: Column = field(default_factory=_unknown)
    path: Column = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name in LABELS:
            column = getattr(self, name)
            if not len(column) and len(self.vehicle_id):
                object.__setattr__(self, name, np.full(len(self.vehicle_id), ""))
            elif column.shape != self.vehicle_id.shape:
                raise SamecarError(f"{name} has shape {column.shape}; vehicle_id has {self.vehicle_id.shape}")

    def __len__(self) -> int:
        return len(self.vehicle_id)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Labels":
        """The labels of some rows."""
        return Labels(**{name: getattr(self, name)[rows] for name in LABELS})

    def tracks(self) -> tuple[NDArray[np.int64], "Labels"]:
        """Which track each picture belongs to, (pictures,), and the labels of tracks, (tracks,).

        A track is what shares track, vehicle and camera; a picture without a track is one by itself.
        """
        alone = np.where(self.track_id == "", np.arange(len(self)).astype(np.str_), "")
        keys = np.stack([self.track_id, self.vehicle_id, self.camera_id, alone], axis=1)
        _, first, track = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return track.ravel(), self.select(first)

    @classmethod
    def concatenate(cls, parts: Sequence["Labels"]) -> "Labels":
        """The labels of several sets of pictures, one after the other."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in LABELS})


LABELS = tuple(column.name for column in fields(Labels))
