"""The composite SavedModel that answers a request: query tower, index, exclusions and ratings."""
