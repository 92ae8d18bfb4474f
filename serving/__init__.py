"""The published versions: open the served one as a reader does, list and verify all, roll back.

Standard library only for a destination on a file system, so that it runs where the models are served.
"""
