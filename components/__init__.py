"""Custom TFX components, one folder each."""

import importlib
from typing import Any

# Artifact types of our own. Kubeflow's compiler requires the type name `<package>.<Class>`, and the container
# imports the class by this name. So the package must find the class, without importing TFX itself.
_ARTIFACT_TYPES = {
    "Quarantine": "components.movielens_example_gen.component",
    "Recommendations": "components.batch_recommender.component",
}


def __getattr__(name: str) -> Any:
    if name in _ARTIFACT_TYPES:
        return getattr(importlib.import_module(_ARTIFACT_TYPES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
