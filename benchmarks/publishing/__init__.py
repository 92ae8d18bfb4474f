"""Whether a reader ever sees a broken version, while versions are published."""
