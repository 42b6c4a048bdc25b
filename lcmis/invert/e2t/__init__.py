"""Embeddings back to text: what a pooled vector of a CLIP text encoder was made of."""
