"""The environment of every test and doctest, set before any of them can import TensorFlow."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
