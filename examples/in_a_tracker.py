"""samecar's encoder in a tracker of others: deep-sort-realtime, which finds a vehicle again by its looks.

    python examples/in_a_tracker.py [RUN or FILE.onnx]

Two drawn vehicles vanish under a bridge and come out in each other's lane. Without a model a short training makes one.
It needs `pip install ".[weights]" opencv-python-headless`, which the tracker imports, and half a minute.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from deep_sort_realtime.deepsort_tracker import DeepSort

import samecar

WIDTH, HEIGHT, SIDE, STEPS = 560, 200, 80, 96
BRIDGE = range(180, 330)
"""Columns in which nothing is seen."""


def film(looks):
    """Frames in red, green, blue, and the boxes of what is not hidden, as a detector would give them."""
    for step in range(STEPS):
        frame, boxes = np.full((HEIGHT, WIDTH, 3), 120, np.uint8), []
        for lane, picture in enumerate(looks):
            left, before = 5 * step, 5 * step + SIDE <= BRIDGE.start
            top = 10 + 90 * (lane if before else 1 - lane)
            if before or BRIDGE.stop <= left <= WIDTH - SIDE:
                frame[top : top + SIDE, left : left + SIDE] = picture
                boxes.append([left, top, left + SIDE, top + SIDE])
        yield frame, np.array(boxes, float).reshape(-1, 4)


def main(model: str = "") -> None:
    """Follows the vehicles and prints where each number is."""
    if not model:
        folder, recipe = Path(tempfile.mkdtemp(prefix="samecar-")), samecar.load_recipe("demo", ["training.epochs=6"])
        samecar.draw_set(folder / "drawn", vehicles=60, cameras=4, pictures=2, size=64)
        model = str(samecar.train(recipe, f"veri776:{folder / 'drawn'}", folder / "run").folder)
    encode = samecar.FrameEncoder(samecar.load(model), colours="rgb")
    tracker = DeepSort(embedder=None, max_cosine_distance=0.3, max_age=STEPS)
    looks = [samecar.draw_vehicle(kind, size=SIDE).resize((SIDE, SIDE)) for kind in ("suv", "bus")]
    for step, (frame, boxes) in enumerate(film(looks)):
        found = [([left, top, SIDE, SIDE], 0.9, "vehicle") for left, top, _, _ in boxes]
        tracks = tracker.update_tracks(found, embeds=list(encode(frame, boxes)))
        seen = [track for track in tracks if track.is_confirmed() and track.time_since_update == 0]
        if step % 10 == 5:
            places = {int(track.track_id): "lower" if track.to_ltrb()[1] > HEIGHT / 3 else "upper" for track in seen}
            print(f"frame {step:2}: {places or 'nothing'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
