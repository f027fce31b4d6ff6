"""From judgements, pair by pair, to vehicles."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from samecar.retrieval.engine import Engine, refuse_contrary
from samecar.retrieval.records import Entry, Judgement, Sighting

NAME_DIGITS = 12
"""Of a content's 64 in the name of a vehicle that judgements alone know: two names do not meet by chance."""


@dataclass(frozen=True)
class JudgedPicture:
    """A picture that somebody judged.

    Attributes:
        content: SHA-256 of its bytes, in hexadecimal.
        vehicle_id: what follows from the judgements and from known vehicles; "" where nothing does.
        entry: what the gallery knows of it; None for a query that is not in the gallery.
    """

    content: str
    vehicle_id: str
    entry: Entry | None

    @property
    def sighting(self) -> Sighting:
        """What is known; of a query that is not in the gallery its content alone."""
        return Sighting(self.content) if self.entry is None else self.entry.sighting

    @property
    def split(self) -> str:
        """In a manifest: pictures whose vehicle is known are for training, others are unlabelled and gallery."""
        return "train" if self.vehicle_id else "gallery"


@dataclass(frozen=True)
class Judged:
    """What judgements say together.

    Attributes:
        pictures: every picture that was judged, in the order of their contents.
        contradictions: a sentence for each group of pictures in which judgements or known vehicles contradict one
            another; only what was known before the judgements is said of its pictures.
    """

    pictures: list[JudgedPicture]
    contradictions: list[str]


def judge_pair(engine: Engine, judgement: Judgement, *, replaces: bool) -> bool | None:
    """Keeps a judgement, also heeding the one in which the entry was the query and the query the entry.

    Args:
        engine: of the gallery.
        judgement: on a query, which may be in the gallery too, and an entry.
        replaces: whether what was said otherwise may be replaced.

    Returns:
        What was said before of the same two pictures; None if nothing was.

    Raises:
        ContraryJudgementError: the contrary was said, and may not be replaced.
        SamecarError: the entry is not there.
    """
    reverse = _find_reverse(engine, judgement)
    if reverse is not None:
        refuse_contrary(judgement.entry, reverse.same, None if replaces else judgement.same)
    former = engine.judge(judgement, replaces=replaces)
    if reverse is None:
        return former
    if reverse.same is not judgement.same:
        engine.withdraw(reverse.query, reverse.entry, reverse.same)
    return reverse.same if former is None else former


def _find_reverse(engine: Engine, judgement: Judgement) -> Judgement | None:
    number = engine.known([judgement.query]).get(judgement.query)
    entry = engine.entries([judgement.entry]).get(judgement.entry)
    if number is None or entry is None:
        return None
    return next((each for each in engine.judgements(entry.sighting.content) if each.entry == number), None)


def find_judged_pictures(engine: Engine) -> Judged:
    """The pictures that were judged, and their vehicles.

    Pictures that are called the same, directly or by way of others, are one vehicle. It is called as the one of them
    that is known is called, and otherwise `judged-` and a number of its own. A picture that was only ever called
    different from others could be any other vehicle, and gets no name.
    """
    judgements = engine.judgements()
    entries = engine.entries(sorted({judgement.entry for judgement in judgements}))
    judgements = [judgement for judgement in judgements if judgement.entry in entries]
    known = engine.known(sorted({judgement.query for judgement in judgements}))
    entries |= engine.entries(sorted(known.values()))
    of_content = {entry.sighting.content: entry for entry in entries.values()}
    pairs = [(judgement.query, entries[judgement.entry].sighting.content, judgement.same) for judgement in judgements]
    names = {content: entry.sighting.vehicle_id for content, entry in of_content.items()}
    vehicles, contradictions = join_pairs(pairs, names)
    return Judged(
        [JudgedPicture(content, vehicle, of_content.get(content)) for content, vehicle in sorted(vehicles.items())],
        contradictions,
    )


def join_pairs(pairs: Sequence[tuple[str, str, bool]], names: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Joins pairs to vehicles.

    Args:
        pairs: two contents, and whether they show the same vehicle.
        names: vehicle by content, where it is known; "" or nothing where it is not.

    Returns:
        Vehicle by content for every content of the pairs, "" where nothing tells; and a sentence for each
        contradiction.
    """
    contents = sorted({content for first, second, _ in pairs for content in (first, second)})
    component = _number_components(contents, pairs, names)
    members: dict[int, list[str]] = defaultdict(list)
    for content in contents:
        members[component[content]].append(content)
    vehicles: dict[str, str] = {}
    contradictions: list[str] = []
    for number, group in members.items():
        differing = [pair for pair in pairs if not pair[2] and component[pair[0]] == component[pair[1]] == number]
        known = sorted({name for content in group if (name := names.get(content, ""))})
        if len(known) > 1 or differing:
            contradictions.append(_name_contradiction(group, known, differing))
            vehicles |= {content: names.get(content, "") for content in group}
        else:
            name = known[0] if known else f"judged-{group[0][:NAME_DIGITS]}" if len(group) > 1 else ""
            vehicles |= dict.fromkeys(group, name)
    return vehicles, contradictions


def _number_components(
    contents: Sequence[str], pairs: Iterable[tuple[str, str, bool]], names: Mapping[str, str]
) -> dict[str, int]:
    """Number of the group of each content: joined by 'same', or by a known vehicle's name."""
    leader = {content: content for content in contents}

    def lead(content: str) -> str:
        while leader[content] != content:
            leader[content] = leader[leader[content]]
            content = leader[content]
        return content

    for first, second, same in pairs:
        if same:
            leader[lead(first)] = lead(second)
    first_named: dict[str, str] = {}
    for content in contents:
        if name := names.get(content, ""):
            leader[lead(first_named.setdefault(name, content))] = lead(content)
    numbers: dict[str, int] = {}
    return {content: numbers.setdefault(lead(content), len(numbers)) for content in contents}


def _name_contradiction(group: Sequence[str], known: Sequence[str], differing: Sequence[tuple[str, str, bool]]) -> str:
    reasons = []
    if len(known) > 1:
        reasons.append(f"they are known as different vehicles ({', '.join(known)})")
    if differing:
        first, second, _ = differing[0]
        reasons.append(f"{first[:NAME_DIGITS]} and {second[:NAME_DIGITS]} are judged not the same")
    return f"{len(group)} pictures are judged the same vehicle, but {' and '.join(reasons)}; withdraw a judgement"
