"""The Beam pipeline of the data preparation, in stages."""
