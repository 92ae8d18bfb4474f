"""Retraining as data comes in: cut a release into spans, run what is new, keep to a schedule.

`python -m retraining --help` lists the commands. Runs on the local machine; imports neither TFX nor
TensorFlow, for a scheduler may be left running for months: each run is a process of its own.
"""
