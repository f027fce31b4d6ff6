"""Boxes that were drawn on full frames: readers of their files, and the crops that are made of them."""
