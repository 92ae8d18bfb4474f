"""The pipeline on Vertex AI and on Kubeflow Pipelines: compiled, submitted, scheduled."""
