"""The TensorFlow Recommenders tutorials: their published figures, and their time and memory."""
