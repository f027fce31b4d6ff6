"""From pictures to embeddings: the encoder, embeddings with their rows, and files of them."""
