"""Cameras that are watched as they film: streams without end, which are lost and found again."""
