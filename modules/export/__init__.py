"""The files that a Trainer exports: the SavedModel with its signatures, and the TFLite files."""
