"""MovieLensExampleGen: the ratings and the catalogue of any MovieLens release, and its bad rows."""
