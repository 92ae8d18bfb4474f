"""The environment of every test and doctest, set before any of them can import TensorFlow."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-recommenders needs Keras 2
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Two processes run tests at a time. With a thread for each core in both, they would wait for each other.
for _threads in (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
):
    os.environ.setdefault(_threads, "1")
