"""Which similarity means the same vehicle: probabilities and thresholds, learned from held-out vehicles.

A similarity is the cosine of two embeddings. What it means differs from model to model; a `Calibration` belongs to one
model and answers two questions:

* Do these two pictures show the same vehicle? `probability`, isotonic or logistic.
* Is the vehicle in the gallery at all? `open_set_threshold`: a best similarity below it says no.

`fitting.fit_calibration` makes one of embeddings, as `CalibrationOptions` say. `curves` has the first question,
`open_set` the second, and `record` is the whole as it is saved.
"""

from samecar.calibration.curves import Isotonic, Logistic, PairCounts, fit_curve
from samecar.calibration.open_set import OpenSet, gallery_sizes
from samecar.calibration.options import METHODS, CalibrationOptions, Method
from samecar.calibration.record import Calibration, Evidence, GallerySize, MeasuredRate, Quality, ReliabilityBin

__all__ = [
    "METHODS",
    "Calibration",
    "CalibrationOptions",
    "Evidence",
    "GallerySize",
    "Isotonic",
    "Logistic",
    "MeasuredRate",
    "Method",
    "OpenSet",
    "PairCounts",
    "Quality",
    "ReliabilityBin",
    "fit_curve",
    "gallery_sizes",
]
