"""Find the folder that holds the files of a release, in a user's folder or archive. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from common.errors import DataError
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.sources import parts, releases

_QUOTED = 5
_ONE_FOLDER = "Name one of them; unpack a zip first."
# Beginnings of the names of folders that systems and editors write beside data.
_OTHERS = (".", "__MACOSX")


def find(source: object, files: Iterable[str], config: DataConfig) -> str:
    """Find the folder that holds every file that is read: the topmost one, else the only one.

    Args:
      source: the folder or archive, for the error.
      files: names below it, with slashes.
    Returns:
      The prefix of the files' names: empty, or with a slash at the end.
    Raises:
      DataError: no folder holds them all, or several do.

    >>> find("a.zip", ["ml-100k/u.data", "ml-100k/u.item", "ml-100k/u.user"], DataConfig())
    'ml-100k/'
    """
    names = [name for name in files if not any(f"/{other}" in f"/{name}" for other in _OTHERS)]
    wanted = required(config)
    holds = {words: _folders(names, patterns) for words, patterns in wanted.items()}
    whole = set.intersection(*map(set, holds.values()))
    if "" in whole or len(whole) == 1:
        return min(whole)
    must = (
        f"{source} must hold {', '.join(wanted)} in one folder (release {config.release}, split method "
        f"{config.split.method}); found"
    )
    if whole:
        raise DataError(f"{must} them in each of {', '.join(sorted(whole))}. {_ONE_FOLDER}")
    if all(holds.values()):
        found = (
            f"{words} in {' and '.join(folder or 'its top' for folder in holds[words])}" for words in wanted
        )
        raise DataError(f"{must} {'; '.join(found)}. Put them into one folder.")
    listed = ", ".join(sorted(names)[:_QUOTED]) + ", ..." * (len(names) > _QUOTED)
    raise DataError(f"{must} {f'only {listed}' if listed else 'nothing'}. {_remedy(names)}")


def required(config: DataConfig) -> dict[str, tuple[str, ...]]:
    """List the required files: a description of each, and the globs of which one must match."""
    users = config.spec.users
    optional = users.names if users and users.optional else ()
    return {
        " or ".join(names): parts.patterns(names)
        for names in config.input_files().values()
        if names != optional
    }


def below(name: str, pattern: str) -> str | None:
    """Return the prefix of a name whose last parts match a glob; None if they do not match.

    >>> below("ml/train/u.data", "train/u.data"), below("u.data", "u.*"), below("x.u.data", "u.data")
    ('ml/', '', None)
    """
    pieces, globs = name.split("/"), pattern.split("/")
    last = pieces[-len(globs) :]
    if len(last) < len(globs) or not all(map(fnmatch.fnmatchcase, last, globs)):
        return None
    return "".join(f"{piece}/" for piece in pieces[: -len(globs)])


def _folders(names: Sequence[str], patterns: Iterable[str]) -> list[str]:
    found = {below(name, pattern) for name in names for pattern in patterns}
    return sorted(folder for folder in found if folder is not None)


def _remedy(names: Sequence[str]) -> str:
    fits = [
        name
        for name, release in releases.RELEASES.items()
        if all(_folders(names, table.names) for table in (release.ratings, release.movies))
    ]
    return f"Its files look like those of: {', '.join(fits)}." if fits else "Name another folder or zip."
