"""A run's terminal: a line for each step; the output of libraries goes to a log."""
