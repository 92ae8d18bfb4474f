"""Towers and their parts: embeddings, histories, attention, a linear autoencoder, and the head of ratings."""
