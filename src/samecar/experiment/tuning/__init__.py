"""Searching for a better recipe: what is searched, the study on disk, and the trials."""
