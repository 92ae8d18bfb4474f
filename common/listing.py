"""What a listing of an object store may hold: names are parts of keys, which anybody may have chosen."""

from __future__ import annotations


def require_below(folder: str, name: str) -> None:
    """Refuse a name that is no file's or folder's directly below the folder that is listed.

    Raises:
      ValueError: joined to a folder of this machine it would lead out of it.

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
