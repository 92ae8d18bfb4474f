"""Rows and features: Transform's preprocessing, what a Trainer reads, and baselines of the train split."""
