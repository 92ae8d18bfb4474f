"""Towers and their parts: embeddings, histories, attention, and the head of ratings."""
