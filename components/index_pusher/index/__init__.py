"""The index over the candidate vectors: built, chosen by recall and latency, and written as vectors too."""
