"""Measurements: a folder for each subject, and here the modules that several folders use. See README.md."""
