"""What models are measured by: ranks, metrics of the Evaluators, and what these wrote."""
