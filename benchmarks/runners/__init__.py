"""Whether other runners, and the image for the cloud, have the same results on the same data."""
