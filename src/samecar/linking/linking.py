"""Sightings of all cameras become journeys, without a query."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.linking.agglomeration import ScoredPairs, agglomerate
from samecar.linking.alike import AlikePairs, Reach, find_alike
from samecar.linking.evidence import Bounds, Prior, count_prior, least_similarity, score_sightings
from samecar.linking.journeys import MARK, Journey, make_journeys
from samecar.linking.people import PeopleSaid, ask_people
from samecar.linking.rules import Rules
from samecar.linking.settings import JOURNEY, LinkSettings
from samecar.linking.sightings import Sightings, gather_sightings
from samecar.linking.travel import TravelTimes, learn_travel_times
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.engine import all_entries
from samecar.retrieval.filter_names import camera_name_warnings
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import Entry

if TYPE_CHECKING:
    from samecar.calibration import Calibration

SURE_LOG_ODDS = float(np.log(19.0))
"""Of links that travel times are learned from: a probability of 95 %."""

HEADROOM = 4.0
"""By which less alike pairs are looked for than count at first: what is learned of the roads may make them count."""

ROUNDS = 3
"""In which is learned from what was linked before; most changes in the first."""

TOO_MANY_ALIKE = 0.5
"""Share of the pairs within reach from which it is said that the calibration may not fit: vehicles differ, mostly."""

FEWEST_PAIRS = 20
"""Within reach, from which that can be told."""

LABELS_AT_A_TIME = 10_000
"""Entries that are labelled in one transaction."""


@dataclass(frozen=True)
class Linking:
    """What came of linking a gallery.

    Attributes:
        journeys: in the order of their first sightings.
        travel: limits of travel times that were used.
        learned: whether these limits were learned.
        pictures: entries that were linked.
        sightings: that they show; pictures of one track are one.
        searched: entries that were searched with: the new ones.
        rivals: how many vehicles a sighting's could be by place and time; the prior is one in so many.
        relabelled: entries whose label was changed.
        notes: a sentence for whatever has to be known.
    """

    journeys: tuple[Journey, ...]
    travel: TravelTimes
    learned: bool
    pictures: int
    sightings: int
    searched: int
    rivals: float
    relabelled: int
    notes: tuple[str, ...]

    def labels(self) -> dict[int, str]:
        """The name of its journey for each entry's number."""
        return {
            entry.id: journey.name
            for journey in self.journeys
            for step in journey.steps
            for entry in step.sighting.entries
        }


def link(
    gallery: Gallery,
    settings: LinkSettings | None = None,
    *,
    anew: bool = False,
    known: bool = True,
    label: bool = True,
    progress: Progress | bool | None = silent,
) -> Linking:
    """Links the sightings of a gallery to journeys, and gives each entry the label `journey`.

    Similarity is calibrated. What is found depends on what the gallery holds alone, not on the order in which it was
    added, as long as the gallery's index is exact; linking again searches with new entries only.

    Args:
        gallery: an open one, with a calibration.
        settings: how; default: those of `LinkSettings`.
        anew: search with all entries, also with those that were searched with before.
        known: whether what people have said of vehicles counts: known vehicles and judgements.
        label: whether to label the entries.
        progress: True shows bars; a function is told how many entries were searched with.

    Raises:
        SamecarError: the gallery is not calibrated, entries bear a label of that name that linking did not give, or
            more pairs are alike than can be linked.
    """
    settings = settings or LinkSettings()
    calibration = gallery.calibration
    if calibration is None:
        name = gallery.name or "GALLERY"
        raise SamecarError(
            f"gallery {name} is not calibrated, so that no likeness is known to mean the same vehicle; make a "
            f"calibration with `samecar calibrate RUN --data SOURCE` and give it to the gallery with "
            f"`samecar gallery calibrate {name} --run RUN`"
        )
    travel = _given_times(settings)
    named = tuple(sorted({camera for pair in travel.limits for camera in pair}))
    strange = [f"table of travel times: {warning}" for warning in camera_name_warnings(gallery.engine, named)]
    entries = list(all_entries(gallery.engine))
    _refuse_foreign_labels(entries)
    sightings = gather_sightings(
        entries if known else map(_without_name, entries), settings.window, untimed=settings.untimed
    )
    people = ask_people(gallery.engine, sightings) if known else PeopleSaid.nothing(sightings)
    work = _Work(gallery, settings, calibration, sightings, people)
    with show_progress(progress) as report:
        searched = work.find_pairs(travel, report, anew=anew)
        vehicles, pairs, rivals = work.cluster(travel)
        learned = settings.travel_times is None and settings.learn
        for _ in range(ROUNDS if settings.learn else 0):
            found = pairs.among(vehicles[pairs.first] == vehicles[pairs.second])
            travel = work.learn(found) if learned else travel
            before = vehicles
            vehicles, pairs, rivals = work.cluster(travel, found)
            if np.array_equal(before, vehicles):
                break
        journeys = make_journeys(sightings, vehicles, pairs, travel)
        pictures = sum(len(sighting.entries) for sighting in sightings.all)
        notes = (*strange, *sightings.notes, *people.notes, *work.notes(pairs, travel))
        linking = Linking(
            journeys, travel, learned, pictures, len(sightings), searched, rivals, relabelled=0, notes=notes
        )
        if not label:
            return linking
        return replace(linking, relabelled=_write_labels(gallery, entries, linking.labels(), report))


class _Work:
    """Links one gallery."""

    def __init__(
        self,
        gallery: Gallery,
        settings: LinkSettings,
        calibration: "Calibration",
        sightings: Sightings,
        people: PeopleSaid,
    ) -> None:
        self._gallery, self._settings, self._calibration = gallery, settings, calibration
        self._sightings, self._people = sightings, people
        self._alike: AlikePairs | None = None
        self._least: float | None = None

    def find_pairs(self, travel: TravelTimes, progress: Progress, *, anew: bool) -> int:
        """Finds all pairs that may matter; gives with how many entries was searched."""
        engine, floor = self._gallery.engine, self._settings.floor
        prior = count_prior(self._sightings, self._rules(travel))
        self._least = least_similarity(self._calibration, prior.rivals / HEADROOM, floor)
        if self._least is None:
            return 0
        kept = None if anew else AlikePairs.read(engine)
        reach = Reach(self._least, travel.longest)
        self._alike, searched = find_alike(engine, self._entries(), reach, kept, progress)
        if searched:
            self._alike.write(engine)
        return searched

    def cluster(
        self, travel: TravelTimes, found: ScoredPairs | None = None
    ) -> tuple[NDArray[np.int64], ScoredPairs, float]:
        """A number for the vehicle of each sighting; the pairs that told; and the rivals that were counted.

        Args:
            travel: limits of travel times.
            found: pairs of one vehicle, as far as they are known.
        """
        rules = self._rules(travel)
        prior = count_prior(self._sightings, rules, found)
        pairs = self._score(rules, prior)
        return agglomerate(len(self._sightings), pairs, rules, self._people.together), pairs, prior.rivals

    def learn(self, found: ScoredPairs) -> TravelTimes:
        """Travel times of sure links among pairs of one vehicle."""
        sure = found.among(found.scores >= SURE_LOG_ODDS)
        times = []
        for one, other in zip(sure.first.tolist(), sure.second.tolist(), strict=True):
            first, second = self._sightings.all[one], self._sightings.all[other]
            if first.start is None or second.start is None or not first.camera_id or not second.camera_id:
                continue
            earlier, later = (first, second) if first.start <= second.start else (second, first)
            seconds = float(later.start or 0.0) - float(earlier.end or 0.0)
            if seconds > 0 and earlier.camera_id != later.camera_id:
                times.append((earlier.camera_id, later.camera_id, seconds))
        return learn_travel_times(times, self._settings.window)

    def notes(self, pairs: ScoredPairs, travel: TravelTimes) -> list[str]:
        """A sentence for whatever keeps links from being found, or lets too many be.

        Args:
            pairs: that told.
            travel: limits of travel times that were used.
        """
        notes = []
        alike, within_reach = int((pairs.scores > 0).sum()), int(self._rules(travel).count_ways().sum())
        if within_reach >= FEWEST_PAIRS and alike > TOO_MANY_ALIKE * within_reach:
            notes.append(
                f"{alike:,} of {within_reach:,} pairs that may be one vehicle by place and time look so. Unless these "
                "are a few vehicles over and over, the gallery's model or its calibration does not fit these cameras; "
                "calibrate on pictures of theirs, or name some vehicles and look at what --score says"
            )
        if self._least is None:
            vehicles = self._calibration.evidence.vehicles
            notes.append(
                f"nothing is linked by likeness: a calibration on {vehicles:,} vehicles bears no link among so many "
                "sightings; calibrate on more vehicles, or give a smaller --window"
            )
        index = self._gallery.facts.index.kind
        if index != "exact":
            notes.append(
                f"the gallery is searched by {index!r}, which may miss pairs; with `samecar gallery index` and 'exact' "
                "it misses none"
            )
        return notes

    def _rules(self, travel: TravelTimes) -> Rules:
        people = self._people
        return Rules(self._sightings, travel, people.vehicles, people.different, self._settings.same_camera)

    def _score(self, rules: Rules, prior: Prior) -> ScoredPairs:
        floor = self._settings.floor
        if self._alike is None or self._least is None:
            nothing = np.empty(0, np.int64)
            return ScoredPairs(nothing, nothing, np.empty(0), floor)
        bounds = Bounds(self._least, floor)
        return score_sightings(self._sightings, self._alike, bounds, self._calibration, prior, rules)

    def _entries(self) -> list[Entry]:
        """All entries that are linked; times that are not usable are taken away."""
        return [
            Entry(entry.id, replace(entry.sighting, time=None)) if sighting.start is None else entry
            for sighting in self._sightings.all
            for entry in sighting.entries
        ]


def _given_times(settings: LinkSettings) -> TravelTimes:
    if settings.travel_times is None:
        return TravelTimes(window=settings.window)
    return TravelTimes.read(settings.travel_times, settings.window)


def _without_name(entry: Entry) -> Entry:
    return Entry(entry.id, replace(entry.sighting, vehicle_id=""))


def _refuse_foreign_labels(entries: list[Entry]) -> None:
    for entry in entries:
        value = entry.sighting.labels.get(JOURNEY, MARK)
        if not value.startswith(MARK):
            raise SamecarError(
                f"entry {entry.id} has the label {JOURNEY}={value!r}, which linking did not give and would write over; "
                "give that label another name"
            )


def _write_labels(gallery: Gallery, entries: list[Entry], labels: Mapping[int, str], progress: Progress) -> int:
    """Gives entries their labels, and takes away those of entries that are not linked; gives how many were changed."""
    changed = {
        entry.id: labels.get(entry.id, "")
        for entry in entries
        if entry.sighting.labels.get(JOURNEY, "") != labels.get(entry.id, "")
    }
    numbers = list(changed)
    for place in range(0, len(numbers), LABELS_AT_A_TIME):
        part = numbers[place : place + LABELS_AT_A_TIME]
        gallery.engine.set_labels(JOURNEY, {number: changed[number] for number in part})
        progress("labelling", place + len(part), len(numbers))
    return len(numbers)
