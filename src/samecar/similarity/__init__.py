"""Which picture is nearer; arrays only, no files and no models.

* `products`: chunks, checks, distances a chunk at a time, pairs in double precision. All others build on it.
* `distances`: the nearest gallery rows of each query.
* `counting`: the rank of every match, for scores; `ranges` helps it.
* `thresholds`: pairs that do not match by distance, for one threshold for all.
* `neighbours`: who is whose neighbour among all pictures; `reranking` and `expansion` build on it.
* `exact`: the most similar stored embeddings of each query, for galleries.
"""
