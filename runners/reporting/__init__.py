"""The results of a run: summary, tables, report, and messages for failures."""
