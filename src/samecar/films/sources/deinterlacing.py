"""Frames of interlaced films, which show two moments line by line: of each, one moment is kept."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter import Graph


def deinterlace(frames: Iterable[Any]) -> Iterator[Any]:
    """Gives the frames of a film; of the interlaced ones every second line, drawn out to the old height.

    The lines between belong to another moment. Filters that guess at them from the frames around are sharper where
    nothing moves, and leave combed edges where vehicles move fast.

    Args:
        frames: of PyAV; the decoder says of each whether it is interlaced.
    """
    graphs: dict[tuple[object, ...], Graph] = {}
    for frame in frames:
        if not frame.interlaced_frame:
            yield frame
            continue
        form = frame.width, frame.height, frame.format.name, frame.time_base
        if form not in graphs:
            graphs[form] = _make_graph(frame)
        graphs[form].vpush(frame)
        yield graphs[form].vpull()


def _make_graph(frame: Any) -> "Graph":
    from av.filter import Graph

    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        graph.add("field", "type=top"),
        graph.add("scale", f"{frame.width}:{frame.height}"),
        graph.add("buffersink"),
    ).configure()
    return graph
