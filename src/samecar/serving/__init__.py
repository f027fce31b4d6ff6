"""Serving: a gallery over HTTP, and its web page."""
