"""The search for hyper-parameters: a file per model, called by its Tuner, and what they share."""
