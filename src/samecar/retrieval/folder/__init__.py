"""Galleries in a folder: a SQLite catalogue that is the truth, and a FAISS index that is made of it."""
