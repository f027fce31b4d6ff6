import pytest

from samecar.errors import SamecarError
from samecar.linking.journeys import Journey, Step
from samecar.linking.sightings import Sighting as Passage
from samecar.report.figures.journeys import journeys_figure
from samecar.retrieval.records import Entry, Sighting


def journey(number, *seen):
    steps, before = [], None
    for place, (camera, time) in enumerate(seen):
        entry = Entry(10 * number + place, Sighting(f"{number:02d}{place:062d}", "", camera, time))
        steps.append(Step(Passage((entry,), camera, time, time, "", ""), None, None if place == 0 else time - before))
        before = time
    return Journey(f"j-{number}", tuple(steps), "")


JOURNEYS = [journey(number, ("gate", 0), ("yard", 90 + number), ("gate", 300)) for number in range(5)]
JOURNEYS.append(journey(9, ("yard", 0)))


def words(figure):
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")) if text.get_text()]


def test_cameras_have_their_journeys_and_lines_their_moves():
    figure = journeys_figure(JOURNEYS, title="Journeys: garage")
    found = words(figure)
    assert {"gate\n5", "yard\n6", "5 · 1.5 min", "5 · 3.5 min", "Journeys: garage"} <= set(found)
    assert any("6 journeys, 5 of two sightings or more" in text.replace("\n", " ") for text in found)


@pytest.mark.parametrize("width", [3, 3.5, 7.5, 20])
@pytest.mark.parametrize("cameras", [2, 7, 20])
def test_no_words_cover_others(width, cameras):
    """Every camera leads to every other one."""
    names = [f"camera {number}" for number in range(cameras)]
    pairs = [(one, other) for one in names for other in names if one != other]
    journeys = [journey(number, (one, 0), (other, 100 + number)) for number, (one, other) in enumerate(pairs)]
    figure = journeys_figure(journeys, width=width)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > cameras
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_cameras_may_be_drawn_where_they_lie():
    figure = journeys_figure(JOURNEYS, places={"gate": (10.0, 50.0), "yard": (10.0, 90.0), "exit": (0.0, 0.0)})
    at = {
        text.get_text().split("\n")[0]: text.get_position() for text in figure.axes[0].texts if "\n" in text.get_text()
    }
    assert at == {"gate": (0, -1), "yard": (0, 1)}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(SamecarError, match="no journeys to draw"):
        journeys_figure([])
    with pytest.raises(SamecarError, match="camera 'yard' has no place"):
        journeys_figure(JOURNEYS, places={"gate": (0, 0)})
