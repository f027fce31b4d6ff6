"""Detectors of the user's own, as ONNX files of several forms; `open_detector` finds out which one a file is of."""
