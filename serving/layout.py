"""Names in a destination, on which publishers and readers must agree. Standard library only.

    bundles/<version>/...                one published bundle: recommend/, ranking/, manifest.json, ...
    serving/<model>/<version>/...        the same models as base paths for TF Serving
    serving/models.config                which of them stock TF Serving is to load (model_server_config.py)
    serving/models-scann.config          the same for a TF Serving that has ScaNN's operations
    current                              the served version
    withdrawn.json                       versions that an operator took out of service, and when
    .last                                the highest version ever published: a number is never given twice

On a POSIX file system `current` is a symbolic link to the bundle and `serving/<model>/<version>` one to its
model, both relative, so that a destination can be moved or mounted. In an object store `current` holds the
version as text, and `serving/` holds copies.
"""

from __future__ import annotations

from collections.abc import Iterable

BUNDLES = "bundles"
SERVING = "serving"
CURRENT = "current"
WITHDRAWN = "withdrawn.json"
LAST = ".last"
CONFIG = "models.config"
SCANN_CONFIG = "models-scann.config"
SAVED_MODEL = "saved_model.pb"


def numbers(names: Iterable[str]) -> list[int]:
    """Versions among the names in a folder.

    >>> numbers(["10", "9", ".staging-1", "models.config"])
    [9, 10]
    """
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())
