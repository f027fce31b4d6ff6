"""Films: vehicles are detected, linked to tracks, and added to a gallery."""
