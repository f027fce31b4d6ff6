"""What people have said of a gallery's sightings: vehicles that they know, and judgements on pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samecar.linking.sightings import Sightings
from samecar.retrieval.engine import Engine
from samecar.retrieval.judged import join_pairs


@dataclass(frozen=True, eq=False)
class PeopleSaid:
    """What people have said, as far as it does not contradict itself.

    Attributes:
        together: groups of sightings that are one vehicle.
        vehicles: (sightings,) number of the vehicle where people know its name; -1 where they do not.
        different: pairs of sightings that are not one vehicle.
        notes: a sentence for each contradiction.
    """

    together: tuple[tuple[int, ...], ...]
    vehicles: NDArray[np.int64]
    different: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]

    @classmethod
    def nothing(cls, sightings: Sightings) -> "PeopleSaid":
        """Where nobody is asked."""
        return cls((), np.full(len(sightings), -1), (), ())


def ask_people(engine: Engine, sightings: Sightings) -> PeopleSaid:
    """Reads known vehicles and judgements.

    Judgements join pictures as `samecar gallery export --judgements` does; a group whose judgements or known vehicles
    contradict one another is joined by its known vehicles alone, and is named.
    """
    contents = [sighting.content for sighting in sightings.all]
    known = {sighting.content: sighting.vehicle_id for sighting in sightings.all if sighting.vehicle_id}
    pairs = _judged_pairs(engine, sightings)
    joined, notes = join_pairs([(contents[one], contents[other], same) for one, other, same in pairs], known)
    called = {**known, **{content: name for content, name in joined.items() if name}}
    names = [called.get(content, "") for content in contents]
    groups: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        if name:
            groups.setdefault(name, []).append(number)
    numbers = {name: place for place, name in enumerate(sorted(set(known.values())))}
    return PeopleSaid(
        together=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        vehicles=np.array([numbers.get(name, -1) for name in names], np.int64),
        different=tuple(
            (one, other) for one, other, same in pairs if not same and not (names[one] and names[one] == names[other])
        ),
        notes=tuple(notes),
    )


def _judged_pairs(engine: Engine, sightings: Sightings) -> list[tuple[int, int, bool]]:
    """Sightings that were judged: both are in the gallery, and are not one track's pictures."""
    of_entry = sightings.of_entries()
    judgements = engine.judgements()
    queries = engine.known(sorted({judgement.query for judgement in judgements}))
    found = []
    for judgement in judgements:
        one, other = of_entry.get(queries.get(judgement.query, -1)), of_entry.get(judgement.entry)
        if one is not None and other is not None and one != other:
            found.append((one, other, judgement.same))
    return sorted(found)
