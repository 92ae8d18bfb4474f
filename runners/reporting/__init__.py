"""What a run came to: summary, tables, report, and failures in words."""
