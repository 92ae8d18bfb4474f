"""MovieLensExampleGen: the ratings and the catalogue of any MovieLens release, and what was wrong in it."""
