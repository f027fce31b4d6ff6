"""Vehicle ids that say that nobody knows the vehicle, such as -1: counted and named wherever a set is used."""

from samecar.data.manifest import Manifest
from samecar.errors import first_few
from samecar.labels import find_placeholders


def describe_placeholders(manifest: Manifest) -> str:
    """Says how many pictures have a vehicle_id that names no vehicle, and how it is written; "" where none has."""
    rows = find_placeholders(manifest.vehicle_id)
    if not rows.any():
        return ""
    written = first_few(sorted({repr(name) for name in manifest.vehicle_id[rows].tolist()}))
    return f"pictures whose vehicle_id names no vehicle ({written}) and which count as unlabelled: {rows.sum():,}"


def without_placeholders(manifest: Manifest) -> Manifest:
    """The pictures but for those whose vehicle_id names no vehicle; those without any vehicle_id stay."""
    rows = find_placeholders(manifest.vehicle_id)
    return manifest.select(~rows) if rows.any() else manifest
