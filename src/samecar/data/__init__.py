"""Data: sources, the manifest, and what makes batches of it."""
