"""What a Trainer writes: the SavedModel with its signatures, and the TFLite files."""
