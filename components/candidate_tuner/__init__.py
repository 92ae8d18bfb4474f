"""The Tuner of models whose candidates are an input of their own."""
