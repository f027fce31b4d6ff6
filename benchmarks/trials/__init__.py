"""The trials of benchmarks/trust.py: whether what samecar promises holds under power cuts, kills and hostile input."""
