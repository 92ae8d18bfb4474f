"""Custom TFX components, one folder each."""

import importlib
from typing import Any

# Artifact types of our own. Kubeflow's compiler wants a type's name to be `<package>.<Class>`, and the
# container imports the class by it; so the package has to know the class, without importing TFX for it.
_ARTIFACT_TYPES = {
    "Quarantine": "components.movielens_example_gen.component",
    "Recommendations": "components.batch_recommender.component",
}


def __getattr__(name: str) -> Any:
    if name in _ARTIFACT_TYPES:
        return getattr(importlib.import_module(_ARTIFACT_TYPES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
