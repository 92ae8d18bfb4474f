"""A pipeline run on this machine: steps, retries, locks, the record in ML Metadata."""
