"""The report of a run: a page to look at, and the same figures as JSON."""
