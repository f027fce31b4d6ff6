"""How many vehicles a gallery shows, as far as its entries tell: what the prior of a search is made of."""

from dataclasses import dataclass

from samecar.retrieval.engine import Engine
from samecar.retrieval.records import EVERYTHING, Entry, Sighting, Summary

SAMPLE = 1000
"""Entries that are looked at; of a gallery that holds no more, all."""

PAGES = 10
"""From the first to the last number, evenly spaced, that a sample of a larger gallery is taken from."""


@dataclass(frozen=True)
class VehicleCount:
    """The number of vehicles of a gallery, counted or estimated.

    Names count where there are any, then tracks by camera, and each other picture counts as a vehicle of its own: the
    most that there can be, so that nothing is called more likely than it is.

    Attributes:
        vehicles: counted by name, and estimated of what has no name.
        pictures: entries of the gallery.
        pictures_per_vehicle: mean over vehicles that are known by name; 1 if none is.
        source: what told: labels, tracks and pictures, or some of these.
    """

    vehicles: float
    pictures: int
    pictures_per_vehicle: float
    source: str

    def among(self, searched: int) -> tuple[float, float]:
        """Vehicles, and pictures of each that is known by name, among some of the pictures.

        Args:
            searched: how many pictures; each vehicle may be among them as long as there are enough.
        """
        vehicles = max(1.0, min(self.vehicles, searched))
        return vehicles, max(1.0, self.pictures_per_vehicle * searched / max(self.pictures, 1))


def count_vehicles(engine: Engine, summary: Summary) -> VehicleCount:
    """Counts the vehicles of a gallery by its summary, and by entries of which up to `SAMPLE` are looked at."""
    sample = _sample_entries(engine, summary.pictures)
    if not sample:
        return VehicleCount(1.0, summary.pictures, 1.0, "pictures")
    unnamed = [entry.sighting for entry in sample if not entry.sighting.vehicle_id]
    tracked = [(sighting.camera_id, sighting.track_id) for sighting in unnamed if sighting.track_id]
    alone = len(unnamed) - len(tracked)
    scale = summary.pictures / len(sample)
    named = scale * (len(sample) - len(unnamed))
    sources = {"labels": summary.vehicles, "tracks": len(tracked), "pictures": alone}
    return VehicleCount(
        vehicles=max(1.0, summary.vehicles + scale * (len(set(tracked)) + alone)),
        pictures=summary.pictures,
        pictures_per_vehicle=max(1.0, named / summary.vehicles) if summary.vehicles else 1.0,
        source=_join_words([name for name, number in sources.items() if number]),
    )


def vehicle_key(entry: Entry) -> tuple[str, ...]:
    """What an entry's vehicle is told from others by: its name, else its track, else its own number."""
    sighting: Sighting = entry.sighting
    if sighting.vehicle_id:
        return "label", sighting.vehicle_id
    if sighting.track_id:
        return "track", sighting.camera_id, sighting.track_id
    return "picture", str(entry.id)


def _sample_entries(engine: Engine, pictures: int) -> list[Entry]:
    if pictures <= SAMPLE:
        return engine.listed(EVERYTHING, limit=SAMPLE)
    last = _find_last_number(engine, pictures)
    entries: dict[int, Entry] = {}
    for page in range(PAGES):
        found = engine.listed(EVERYTHING, beyond=last * page // PAGES, limit=SAMPLE // PAGES)
        entries |= {entry.id: entry for entry in found}
    return list(entries.values())


def _find_last_number(engine: Engine, pictures: int) -> int:
    """The number of the last entry, or a little more.

    Numbers have gaps where entries were removed, and are far apart where servers share them.
    """
    low, high = 0, pictures
    while engine.listed(EVERYTHING, beyond=high, limit=1):
        low, high = high, 2 * high
    while high - low > high // (2 * PAGES):
        middle = (low + high) // 2
        if engine.listed(EVERYTHING, beyond=middle, limit=1):
            low = middle
        else:
            high = middle
    return high


def _join_words(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
