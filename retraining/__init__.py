"""Retraining as data comes in: cut a release into spans, run the pipeline on new spans, by a schedule.

`python -m retraining --help` lists the commands. Runs on the local machine. It imports neither TFX nor
TensorFlow, so that a scheduler that runs for months stays small; each run is a process of its own.
"""
