"""Get a release, from the cache, from GroupLens or from a wheel, before the pipeline runs."""
