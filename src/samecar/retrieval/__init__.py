"""Retrieval: galleries of sightings, searched by picture."""
