from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from road_galleries import additions_of, calibrated, content_of, make_gallery

from samecar.drawn.roads import RoadSettings, draw_sightings
from samecar.errors import SamecarError
from samecar.evaluation.clusters import score_clusters
from samecar.linking import LinkSettings, link
from samecar.linking import alike as alike_module
from samecar.retrieval.engine import all_entries
from samecar.retrieval.records import Judgement

ROAD = RoadSettings(vehicles=60, noise=0.6, seed=5)


@pytest.fixture(scope="module")
def drawn():
    return draw_sightings(ROAD)


@pytest.fixture
def gallery_of(tmp_path):
    opened = []

    def make(additions, *, known_likeness=True):
        calibration = calibrated(ROAD) if known_likeness else None
        opened.append(make_gallery(tmp_path / str(len(opened)), additions, calibration))
        return opened[-1]

    yield make
    for gallery in opened:
        gallery.close()


def told(gallery):
    """What the label of each entry is, by content."""
    return {entry.sighting.content: entry.sighting.labels.get("journey") for entry in all_entries(gallery.engine)}


def groups(drawn, labels):
    return [labels[content_of(row)] for row in range(len(drawn))]


def test_sightings_of_one_vehicle_become_a_journey_and_each_entry_bears_its_name(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    found = link(gallery)
    assert found.notes == ()
    scores = score_clusters(drawn.labels.vehicle_id, groups(drawn, told(gallery)))
    assert scores.pairwise.f1 > 0.97
    assert scores.identity.f1 > 0.97
    assert found.pictures == found.sightings == found.searched == found.relabelled == len(drawn)
    assert sorted(found.labels()) == [entry.id for entry in all_entries(gallery.engine)]
    assert told(gallery) == {entry.sighting.content: found.labels()[entry.id] for entry in all_entries(gallery.engine)}
    for journey in found.journeys:
        times = [step.sighting.start for step in journey.steps]
        assert times == sorted(times)
        assert journey.name == f"j-{journey.steps[0].sighting.content[:12]}"
        assert [step.seconds for step in journey.steps[1:]] == pytest.approx(np.diff(times).tolist())


def test_the_order_of_adding_does_not_matter_nor_whether_it_was_linked_in_between(drawn, gallery_of):
    additions = additions_of(drawn)
    at_once = gallery_of(additions)
    expected = link(at_once)
    mixed = [additions[row] for row in np.random.default_rng(2).permutation(len(additions))]
    shuffled = gallery_of(mixed)
    assert journeys_of(link(shuffled)) == journeys_of(expected)
    assert told(shuffled) == told(at_once)
    grown = gallery_of(mixed[:40])
    searched = link(grown).searched
    for part in (mixed[40:41], mixed[41:120], mixed[120:]):
        grown.engine.add(part)
        searched += (linking := link(grown)).searched
    assert searched == len(additions)
    assert journeys_of(linking) == journeys_of(expected)
    assert told(grown) == told(at_once)
    again = link(grown)
    assert (again.searched, again.relabelled) == (0, 0)
    assert journeys_of(again) == journeys_of(expected)
    assert link(grown, anew=True).searched == len(additions)


def journeys_of(linking):
    """What is said of journeys, without entries' numbers."""
    return [
        (journey.name, [(step.sighting.content, step.probability, step.seconds) for step in journey.steps])
        for journey in linking.journeys
    ]


def test_what_was_removed_or_given_another_time_is_forgotten(drawn, gallery_of):
    additions = additions_of(drawn)
    gallery = gallery_of(additions)
    link(gallery)
    ids = [entry.id for entry in all_entries(gallery.engine)]
    gallery.engine.remove(ids[:20])
    gallery.engine.update(ids[30], lambda before: replace(before, time=before.time + 900))
    found = link(gallery)
    assert found.searched == 1
    moved = replace(additions[30], sighting=replace(additions[30].sighting, time=additions[30].sighting.time + 900))
    fresh = gallery_of([*additions[20:30], moved, *additions[31:]])
    assert journeys_of(link(fresh)) == journeys_of(found)


def test_a_wider_window_seeks_all_pairs_anew_and_a_narrower_one_none(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    assert link(gallery, LinkSettings(window=600)).searched == len(drawn)
    assert link(gallery, LinkSettings(window=1200)).searched == len(drawn)
    narrow = link(gallery, LinkSettings(window=600))
    fresh = gallery_of(additions_of(drawn))
    assert journeys_of(narrow) == journeys_of(link(fresh, LinkSettings(window=600)))
    for journey in narrow.journeys:
        assert all(step.seconds is None or step.seconds <= 600 for step in journey.steps)


def test_where_all_look_alike_it_is_said_that_the_calibration_may_not_fit(drawn, gallery_of):
    additions = additions_of(drawn)
    generator = np.random.default_rng(1)
    alike = [addition.embedding + 2 * additions[0].embedding for addition in additions]
    alike = [vector + 0.01 * generator.standard_normal(len(vector)) for vector in alike]
    near = [
        replace(addition, embedding=(vector / np.linalg.norm(vector)).astype(np.float32))
        for addition, vector in zip(additions, alike, strict=True)
    ]
    (note,) = [note for note in link(gallery_of(near)).notes if "does not fit these cameras" in note]
    counted, _, within_reach = note.partition(" pairs that may be one vehicle")[0].replace(",", "").split()
    assert int(within_reach) / 2 < int(counted) <= int(within_reach)


def test_without_times_appearance_alone_links_and_it_is_said(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn, timed=False))
    found = link(gallery)
    assert f"{len(drawn)} sightings have no usable time: linked by appearance alone" in found.notes
    assert score_clusters(drawn.labels.vehicle_id, groups(drawn, told(gallery))).pairwise.f1 > 0.9
    left = link(gallery, LinkSettings(untimed=False))
    assert left.journeys == ()
    assert f"{len(drawn)} sightings have no usable time: left out" in left.notes
    assert set(told(gallery).values()) == {None}


def test_some_without_times_are_linked_whenever_they_come(drawn, gallery_of):
    additions = [
        replace(addition, sighting=replace(addition.sighting, time=None if row % 5 == 0 else addition.sighting.time))
        for row, addition in enumerate(additions_of(drawn))
    ]
    at_once, grown = gallery_of(additions), gallery_of(additions[:70])
    link(grown)
    grown.engine.add(additions[70:])
    assert journeys_of(link(grown)) == journeys_of(link(at_once))
    assert score_clusters(drawn.labels.vehicle_id, groups(drawn, told(at_once))).pairwise.f1 > 0.9


def test_one_moment_for_all_pictures_of_a_camera_is_no_time(drawn, gallery_of):
    additions = [replace(addition, sighting=replace(addition.sighting, time=1.7e9)) for addition in additions_of(drawn)]
    found = link(gallery_of(additions))
    assert any("which is no usable time: c00, c01" in note for note in found.notes)
    assert len(found.journeys) < 100


def test_two_places_at_once_and_too_quick_a_way_are_never_one_journey(tmp_path, drawn, gallery_of):
    """Four near copies: at the same moment, 20 s, and 100 s after the first."""
    base = additions_of(drawn)
    cameras, moments = ("gate", "yard", "exit", "exit"), (0, 0, 20, 100)
    copies = [
        replace(
            base[0],
            sighting=replace(base[0].sighting, content=content_of(-1 - place), camera_id=camera, time=1.8e9 + moment),
        )
        for place, (camera, moment) in enumerate(zip(cameras, moments, strict=True))
    ]
    table = tmp_path / "times.csv"
    table.write_text("from,to,least\ngate,exit,50\nyard,exit,50\n")
    gallery = gallery_of([*base[50:], *copies])
    link(gallery, LinkSettings(travel_times=table))
    gate, yard, early, late = (told(gallery)[copy.sighting.content] for copy in copies)
    assert gate != yard
    assert early not in (gate, yard)
    assert late in (gate, yard)


def test_a_camera_that_only_the_table_of_travel_times_knows_is_named(tmp_path, drawn, gallery_of):
    table = tmp_path / "times.csv"
    table.write_text("from,to,least\nc00,c01,5\nC00,c01,5\nc01,elsewhere,5\n")
    notes = link(gallery_of(additions_of(drawn)), LinkSettings(travel_times=table)).notes
    given = [note.removeprefix("table of travel times: ") for note in notes if note.startswith("table of travel")]
    assert given[0] == "camera 'C00' is spelled 'c00' in the gallery; only what is given counts"
    assert given[1].startswith("camera 'elsewhere' is on no picture in the gallery; there are 'c00', ")
    assert len(given) == 2


def test_known_vehicles_and_judgements_bind_and_stay(drawn, gallery_of):
    additions = additions_of(drawn)
    rows = {name: np.flatnonzero(drawn.labels.vehicle_id == name).tolist() for name in set(drawn.labels.vehicle_id)}
    several = [found for found in rows.values() if len(found) > 2]
    called = {several[0][0]: "taxi", several[0][1]: "van", several[1][0]: "bus", several[2][0]: "bus"}
    named = [
        replace(addition, sighting=replace(addition.sighting, vehicle_id=called.get(row, "")))
        for row, addition in enumerate(additions)
    ]
    gallery = gallery_of(named)
    number = {entry.sighting.content: entry.id for entry in all_entries(gallery.engine)}
    judged = [(several[3][0], several[3][1], False), (several[4][0], several[5][0], True)]
    for one, other, same in judged:
        gallery.engine.judge(Judgement(content_of(one), number[content_of(other)], same))
    link(gallery, LinkSettings(window=86400))
    journey = groups(drawn, told(gallery))
    assert journey[several[0][0]] != journey[several[0][1]]
    assert journey[several[1][0]] == journey[several[2][0]]
    assert journey[several[3][0]] != journey[several[3][1]]
    assert journey[several[4][0]] == journey[several[5][0]]
    vehicles = {entry.sighting.content: entry.sighting.vehicle_id for entry in all_entries(gallery.engine)}
    assert vehicles == {content_of(row): called.get(row, "") for row in range(len(drawn))}
    assert len(gallery.engine.judgements()) == len(judged)
    alone = link(gallery, LinkSettings(window=86400), known=False, label=False)
    assert alone.relabelled == 0
    assert groups(drawn, told(gallery)) == journey


def test_judgements_that_contradict_each_other_are_named(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    ids = [entry.id for entry in all_entries(gallery.engine)]
    for one, other, same in ((0, 1, True), (1, 2, True), (0, 2, False)):
        gallery.engine.judge(Judgement(content_of(one), ids[other], same))
    assert any("3 pictures are judged the same vehicle, but" in note for note in link(gallery).notes)


def test_pictures_of_one_track_are_one_sighting(drawn, gallery_of):
    additions = additions_of(drawn)
    twice = [
        replace(
            addition,
            sighting=replace(
                addition.sighting,
                content=f"{copy}{addition.sighting.content[1:]}",
                track_id=f"t{row}",
                time=addition.sighting.time + copy,
            ),
        )
        for row, addition in enumerate(additions)
        for copy in (0, 1)
    ]
    gallery = gallery_of(twice)
    found = link(gallery)
    assert (found.pictures, found.sightings) == (2 * len(drawn), len(drawn))
    labels = told(gallery)
    pairs = [
        (labels[one.sighting.content], labels[other.sighting.content])
        for one, other in zip(twice[::2], twice[1::2], strict=True)
    ]
    assert all(one == other for one, other in pairs)
    assert score_clusters(drawn.labels.vehicle_id, [one for one, _ in pairs]).pairwise.f1 > 0.95


def test_a_gallery_without_a_calibration_is_refused_with_the_lines_to_type(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn), known_likeness=False)
    line = f"samecar gallery calibrate {Path(gallery.name)} --run RUN"
    with pytest.raises(SamecarError, match="is not calibrated") as refused:
        link(gallery)
    assert line in str(refused.value)
    assert "samecar calibrate RUN --data SOURCE" in str(refused.value)


def test_a_label_that_somebody_else_gave_is_not_written_over(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    gallery.engine.set_labels("journey", {3: "to the harbour"})
    with pytest.raises(SamecarError, match="entry 3 has the label journey='to the harbour'"):
        link(gallery)


def test_an_empty_gallery_has_no_journeys(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    gallery.engine.remove([entry.id for entry in all_entries(gallery.engine)])
    assert link(gallery).journeys == ()


def test_too_many_alike_pairs_are_refused_before_memory_is_full(drawn, gallery_of, monkeypatch):
    monkeypatch.setattr(alike_module, "MOST_PAIRS", 5)
    with pytest.raises(SamecarError, match="more than 5 pairs of pictures are alike enough"):
        link(gallery_of(additions_of(drawn)))


def test_damaged_links_are_refused_and_made_anew(drawn, gallery_of):
    gallery = gallery_of(additions_of(drawn))
    expected = journeys_of(link(gallery))
    gallery.engine.attach("links.npz", b"nothing of the kind")
    with pytest.raises(SamecarError, match=r"links\.npz, is damaged.*--anew"):
        link(gallery)
    assert journeys_of(link(gallery, anew=True)) == expected
