"""Which pictures of a manifest are scored, and under which rules."""

import numpy as np

from samecar.data.copies import name_pictures
from samecar.data.manifest import Manifest
from samecar.errors import SamecarError
from samecar.evaluation.protocols import Protocol, Relevance, default_protocol, find_protocol, refuse_trackless
from samecar.labels import Labels

SEE_CHECK = "see `samecar data check`"
"""Ends a sentence about labels that cannot be scored."""


def of_test(manifest: Manifest) -> Manifest:
    """The query and gallery pictures.

    Raises:
        SamecarError: there are none.
    """
    test = manifest.select(np.flatnonzero(manifest.split != "train"))
    if not len(test):
        raise SamecarError(f"{manifest.name} has no query and gallery pictures; `samecar data split` makes some")
    return test


def protocol_of(manifest: Manifest) -> Protocol:
    """The rules of a manifest's source; a set without cameras and queries is scored as VehicleID, which is one."""
    if (manifest.camera_id != "").any() or (manifest.split == "query").any():
        return default_protocol(manifest.source)
    return find_protocol("vehicleid")


def is_test_set(manifest: Manifest) -> bool:
    """Whether a manifest has the splits that its protocol scores."""
    wanted = {"gallery"} if protocol_of(manifest).gallery == "one per vehicle" else {"query", "gallery"}
    return wanted <= set(manifest.split.tolist())


def refuse_unscorable(manifest: Manifest, protocol: Protocol) -> None:
    """Checks labels before the work of embedding, or of training, is spent on pictures that cannot be scored.

    Raises:
        SamecarError: query or gallery pictures are missing, no query has a match, or there are no tracks to rank.
    """
    test = of_test(manifest)
    labels = Labels(test.vehicle_id, test.camera_id, picture=name_pictures(test))
    if protocol.gallery == "one per vehicle":
        known = labels.select(labels.labelled)
        pictures = np.unique(np.stack([known.vehicle_id, known.picture]), axis=1)
        if np.unique(pictures[0], return_counts=True)[1].max(initial=0) < 2:
            raise SamecarError(f"no test vehicle of {manifest.name} has two pictures, query and match; {SEE_CHECK}")
        return
    query, gallery = (labels.select(test.split == split) for split in ("query", "gallery"))
    if not len(query) or not len(gallery):
        raise SamecarError(
            f"{manifest.name} has {len(query)} query and {len(gallery)} gallery pictures; protocol {protocol.name!r} "
            "needs both, and `samecar data split` makes them"
        )
    refuse_trackless(test.track_id[test.split == "gallery"], protocol)
    relevance = Relevance(query, gallery, protocol)
    if not any(len(relevance.of(row)[0]) for row in range(len(query))):
        raise SamecarError(
            f"none of {len(query)} queries of {manifest.name} has a match in the gallery under protocol "
            f"{protocol.name!r} (junk: {protocol.junk}); {SEE_CHECK}"
        )
