"""Check names in a listing of an object store, which are parts of keys that anybody may have chosen."""

from __future__ import annotations


def require_below(folder: str, name: str) -> None:
    """Reject a name that is not of a file or folder directly below the listed folder.

    Raises:
      ValueError: joined to a folder of this machine, the name would lead out of it.

    >>> require_below("gs://films/model", "saved_model.pb")
    >>> require_below("gs://films/model", "..")
    Traceback (most recent call last):
    ...
    ValueError: gs://films/model holds an object whose name would lead out of it, '..'. Remove that object.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(
            f"{folder} holds an object whose name would lead out of it, {name!r}. Remove that object."
        )
