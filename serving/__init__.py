"""What stands in service: open it as a reader does, list and verify versions, turn back.

Standard library only for a destination on a file system, so that it runs where the models are served.
"""
