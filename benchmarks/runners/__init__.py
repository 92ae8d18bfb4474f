"""Whether other runners, and the image of the cloud, make the same of the same data."""
