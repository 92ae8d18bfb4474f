"""The quiet terminal of a run, and where libraries' output goes."""
