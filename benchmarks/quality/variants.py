"""Which of our models the quality benchmark trains: a line each, as changes to the default preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.quality.served import Trained
from modules import features
from pipeline import config as configuration


class Variant(NamedTuple):
    """A model, and what is changed of its hyper-parameters, as in a configuration file."""

    model: str
    changes: Mapping[str, Any] = {}

    def trained(self) -> Trained:
        """Return what a Trainer is to make."""
        changes = {"models": {self.model: self.changes}}
        models = configuration.with_changes(configuration.default(), changes).models
        return Trained(self.model, getattr(models, self.model))


class ServedList(NamedTuple):
    """A list that two rows of OURS order, which may be one: score + weight * predicted rating."""

    retrieval: str
    ranking: str
    # None: the weight that Tuner.blend chooses on a part of train.
    rating_weight: float | None = None


_SIDES = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)
# For the tower without histories: more passes, a stronger penalty, no residual block, and no users left out,
# because it has no feature to describe cold-start users with. Each was tried on a part of train, the last
# two not together; they were looked for after the random split's figure was known.
_NO_HISTORY = {
    **{"history": None, "sequence": None, "cold_start": None, "query_hidden_units": 0, "members": 2},
    **{"unknown_share": 0.0, "embedding_dim": 192, "batch_size": 256, "learning_rate": 0.003},
    **{"l2": 10.0, "epochs": 10},
}
_IDS_AND_SIDES = {"query_features": (features.USER_ID, *_SIDES), **_NO_HISTORY}
_IDS = {
    "query_features": (features.USER_ID,),
    "candidate_features": (features.MOVIE_TITLE,),
    "history": None,
}
_RETRIEVAL_IDS = {**_IDS, "sequence": None, "cold_start": None, "members": 2}
_BATCH = {"full_up_to": 0}

# Rows of the table that README quotes.
OURS = {
    "retrieval": Variant("retrieval"),
    "retrieval, ids and sides": Variant("retrieval", _IDS_AND_SIDES),
    "ranking": Variant("ranking"),
    "multitask": Variant("multitask"),
}

# Further rows, of lists: that of the default preset, and that of `push: multitask`. A weight of 0 is the row
# `retrieval`.
LISTS = {
    "served list": ServedList("retrieval", "ranking"),
    "served list, multitask alone": ServedList("multitask", "multitask"),
}
# A weight beside which the score is nothing.
LIST_ABLATIONS = {"list by predicted rating alone": ServedList("retrieval", "ranking", 1e6)}

# Rows of the table of ablations: each removes one part of a row above, or replaces it.
ABLATIONS = {
    "retrieval, ids, sides and time, no history": Variant("retrieval", _NO_HISTORY),
    "retrieval, history but no user id": Variant("retrieval", {"query_features": _SIDES}),
    "retrieval, ids alone": Variant("retrieval", _RETRIEVAL_IDS),
    "retrieval, all users known in training": Variant("retrieval", {"unknown_share": 0.0}),
    "retrieval, two pairs of towers, no sequences": Variant("retrieval", {"members": 2, "sequence": None}),
    "retrieval, one pair of towers, no sequences": Variant("retrieval", {"sequence": None}),
    "retrieval, no linear autoencoder": Variant("retrieval", {"cold_start": None}),
    "retrieval, no query block": Variant("retrieval", {"query_hidden_units": 0}),
    "retrieval, whole histories in training": Variant("retrieval", {"history": {"dropout": 0.0}}),
    "retrieval, no L2": Variant("retrieval", {"l2": 0.0}),
    "retrieval, constant learning rate": Variant("retrieval", {"learning_rate_decay": "none"}),
    "retrieval, in-batch softmax, corrected": Variant("retrieval", {"softmax": _BATCH}),
    "retrieval, in-batch softmax, no logQ": Variant(
        "retrieval", {"softmax": {**_BATCH, "sampling_correction": False}}
    ),
    "retrieval, in-batch softmax, accidental hits kept": Variant(
        "retrieval", {"softmax": {**_BATCH, "remove_accidental_hits": False}}
    ),
    "ranking, ids alone": Variant("ranking", {**_IDS, "history": False}),
    "ranking, no rater embeddings": Variant("ranking", {"rater_embedding_dim": 0}),
    "ranking, no history": Variant("ranking", {"history": False}),
    "ranking, by gradient descent": Variant(
        "ranking",
        {"head": "factorization", "embedding_dim": 32, "l2": 0.08, "history": {"dropout": 0.4}},
    ),
    "ranking, dense layers, no factorisation": Variant("ranking", {"head": "mlp", "hidden_units": (256, 64)}),
    "multitask, ids alone": Variant("multitask", _IDS),
    "multitask, no history": Variant("multitask", {"history": None}),
    "multitask, all columns shared": Variant("multitask", {"rating_dim": 0, "embedding_dim": 96}),
    "multitask, no rating loss": Variant("multitask", {"rating_weight": 0.0}),
    "multitask, no retrieval loss": Variant("multitask", {"retrieval_weight": 0.0}),
}
