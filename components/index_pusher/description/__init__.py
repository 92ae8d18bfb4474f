"""What a bundle says of itself: the model card, and the manifest's figures and provenance."""
