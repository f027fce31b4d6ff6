"""How quickly the demo set is drawn.

    python benchmarks/drawing.py

Draws one set at 128 pixels with a process for each core, rendering, compressing and writing, and counts every drawn
picture once. Writes results/drawing.json.
"""

import tempfile
import time
from pathlib import Path

from results import write_results

from samecar.cli.console import progress_bars, say
from samecar.drawn import draw_set
from samecar.hardware import machine


def main() -> None:
    """Runs the benchmark."""
    workers = machine("cpu").workers
    with tempfile.TemporaryDirectory() as folder, progress_bars() as progress:
        started = time.perf_counter()
        drawn = draw_set(
            Path(folder) / "set",
            vehicles=120,
            size=128,
            workers=workers,
            progress=lambda done, total: progress("drawing", done, total),
        )
        seconds = time.perf_counter() - started
    pictures = drawn.train + drawn.gallery  # a query is a copy of a gallery picture
    content = {
        "size": drawn.size,
        "seed": drawn.seed,
        "workers": workers,
        "pictures": pictures,
        "seconds": seconds,
        "pictures_per_second": pictures / seconds,
    }
    path = write_results("drawing", content)
    say(f"{pictures} pictures in {seconds:.1f} s, {pictures / seconds:.0f} a second; wrote {path}")


if __name__ == "__main__":
    main()
