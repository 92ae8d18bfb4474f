"""The description of a bundle: the model card, and the manifest's figures and provenance."""
