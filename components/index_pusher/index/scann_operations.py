"""ScaNN's TensorFlow operations, where they are installed.

Called by what builds, searches and loads an index, and before a run. A release of ScaNN has operations for
one release of TensorFlow, and for some releases of TensorFlow there are none. No other module of the project
imports ScaNN, except `model_process.py` and `recommend.py`, which import nothing of the project and need
ScaNN where a bundle's manifest says so.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Final

from components.index_pusher.config import IndexConfig

# The kind of index where ScaNN is not installed, and the sentence that announces it.
BRUTE_FORCE: Final = "brute_force"
MISSING = "ScaNN is not installed: the index is TensorFlow's own exact search"


def installed() -> bool:
    """Tell whether ScaNN can be imported, without importing it."""
    return importlib.util.find_spec("scann") is not None


def require(config: IndexConfig) -> None:
    """Check that the configuration of an index has no setting of ScaNN where ScaNN is not installed.

    Raises:
      ValueError: it has one.
    """
    settings = {
        "num_leaves": config.num_leaves,
        "num_reordering_candidates": config.num_reordering_candidates,
    }
    of_scann = [f"index.{name}={value}" for name, value in settings.items() if value is not None]
    if of_scann and not installed():
        raise ValueError(
            f"{of_scann[0]} needs ScaNN, which is not installed. Remove the setting, and the index is "
            "TensorFlow's own exact search; or install the release of ScaNN that is for this TensorFlow."
        )


def load() -> Any:
    """Import the operations, which registers them with TensorFlow."""
    from scann import scann_ops

    return scann_ops
