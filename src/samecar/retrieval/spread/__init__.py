"""Galleries that are spread over several PostgreSQL servers."""
