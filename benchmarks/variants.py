"""Which of our models the quality benchmark trains: a line each, as changes to the default preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.served import Trained
from modules import features, hyperparameters


class Variant(NamedTuple):
    """A model, and what is changed of its hyper-parameters (see hyperparameters.replaced)."""

    model: str
    changes: Mapping[str, Any] = {}

    def trained(self) -> Trained:
        """Return what a Trainer is to make."""
        default = getattr(hyperparameters.default(), self.model)
        return Trained(self.model, hyperparameters.replaced(default, self.changes))


_SIDES = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)
_IDS_AND_SIDES = {"query_features": (features.USER_ID, *_SIDES), "history": None}
_IDS = {"query_features": (features.USER_ID,), "candidate_features": (features.MOVIE_TITLE,)}
_NO_HISTORY = {"history": None}

# Rows of the table of ablations: each takes one thing from a row above, or puts another in its place.
ABLATIONS = {
    "retrieval, no history": Variant("retrieval", _NO_HISTORY),
    "retrieval, ids alone": Variant("retrieval", {**_IDS, **_NO_HISTORY}),
    "retrieval, no residual block": Variant("retrieval", {"query_hidden_units": 0}),
    "retrieval, whole histories in training": Variant("retrieval", {"history": {"dropout": 0.0}}),
    "retrieval, batch softmax": Variant("retrieval", {"softmax.full_up_to": 0}),
    "retrieval, batch softmax, no logQ correction": Variant(
        "retrieval", {"softmax.full_up_to": 0, "softmax.sampling_correction": False}
    ),
    "retrieval, batch softmax, accidental hits kept": Variant(
        "retrieval", {"softmax.full_up_to": 0, "softmax.remove_accidental_hits": False}
    ),
    "retrieval, no L2": Variant("retrieval", {"l2": 0.0}),
    "ranking, no history": Variant("ranking", _NO_HISTORY),
    "ranking, ids alone": Variant("ranking", {**_IDS, **_NO_HISTORY}),
    "ranking, by gradient descent": Variant(
        "ranking",
        {"head": "factorization", "embedding_dim": 32, "l2": 0.08, "history": {"dropout": 0.4}},
    ),
    "multitask, no history": Variant("multitask", _NO_HISTORY),
    "multitask, all columns shared": Variant("multitask", {"rating_dim": 0, "embedding_dim": 96}),
    "multitask, no rating loss": Variant("multitask", {"rating_weight": 0.0}),
    "multitask, no retrieval loss": Variant("multitask", {"retrieval_weight": 0.0}),
}
