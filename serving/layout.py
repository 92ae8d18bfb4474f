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


def number(text: str | None, path: str, meaning: str) -> int:
    r"""Read the version that a file holds, and nothing else; 0 where the file is absent.

    Args:
      text: its content; None where it is absent.
      path: of the file; meaning: which version it names.
    Raises:
      ValueError: it holds something else.

    >>> [number(text, "current", "served version") for text in ("12\n", None)]
    [12, 0]
    """
    if text is None:
        return 0
    found = numbers([text.strip()])
    if not found:
        raise ValueError(
            f"{path} must hold the number of the {meaning}; it holds {text[:40]!r}. Write it there."
        )
    return found[0]
