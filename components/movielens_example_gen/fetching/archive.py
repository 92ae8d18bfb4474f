"""Unpack a zip of an untrusted source safely. Runs on the local machine."""

from __future__ import annotations

import calendar
import contextlib
import lzma
import os
import pathlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from common.errors import DataError, disk_errors

# The largest release, ml-32m, unpacks to 1 GB.
LARGEST_UNPACKED = 8 << 30
# Ratings compress four- to eightfold, catalogues less.
LARGEST_RATIO = 100
_BLOCK = 1 << 20


def unpack(
    archive: pathlib.Path,
    target: pathlib.Path,
    choose: Callable[[Iterable[str]], Mapping[str, str]],
    largest: int = LARGEST_UNPACKED,
) -> None:
    """Unpack members into an empty folder.

    Each member's CRC-32 is checked, and the file gets the member's time, so that the same archive gives the
    same files.

    Args:
      choose: gets the names of all members, with slashes; returns the members to unpack, by their names below
        the target.
      largest: greatest total size of the unpacked members, in bytes.

    Raises:
      DataError: the archive is damaged, tries to reach outside, or is unreasonably large.
    """
    with disk_errors(archive), zip_errors(archive), zipfile.ZipFile(archive) as opened:
        # Some programs of Windows write backslashes.
        members = {member.filename.replace("\\", "/"): member for member in opened.infolist()}
        if len(members) < len(opened.infolist()):
            raise DataError(f"{archive} holds two members of one name. {_REMEDY}")
        for name, member in members.items():
            _require_harmless(archive, name, member)
        chosen = {name: members[chosen] for name, chosen in choose(members).items()}
        _require_sane_size(archive, chosen.values(), largest)
        for name, member in chosen.items():
            _extract(opened, member, target / name)


_REMEDY = "Fetch the archive anew from where it was published."


# Errors of zipfile and its decompressors; UnicodeDecodeError for a name that claims to be UTF-8 and is not.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)


@contextlib.contextmanager
def zip_errors(path: pathlib.Path) -> Iterator[None]:
    """Turn zipfile's errors into a DataError."""
    try:
        yield
    except _ZIP_ERRORS as error:
        raise DataError(f"{path} must be an undamaged zip: {error}. {_REMEDY}") from error


def _require_harmless(archive: pathlib.Path, name: str, member: zipfile.ZipInfo) -> None:
    path = pathlib.PureWindowsPath(name)
    if path.anchor or ".." in path.parts or "\0" in member.orig_filename:
        raise DataError(f"{archive} holds {name!r}, which would be written outside its folder. {_REMEDY}")
    if member.flag_bits & 1:
        raise DataError(f"{archive} must not be encrypted; {name!r} is. {_REMEDY}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive} holds {name!r}, which is a link or a device, not a file. {_REMEDY}")


def _require_sane_size(archive: pathlib.Path, members: Iterable[zipfile.ZipInfo], largest: int) -> None:
    members = list(members)
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if size > largest or size > LARGEST_RATIO * max(packed, 1):
        raise DataError(
            f"{archive} would unpack from {packed:,} to {size:,} bytes; allowed are {largest:,} bytes and "
            f"{LARGEST_RATIO}-fold. {_REMEDY}"
        )


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the size that the directory declares, and raises where the CRC differs.
    with opened.open(member) as source, open(path, "xb") as sink:
        shutil.copyfileobj(source, sink, _BLOCK)
    # Some writers leave the date at 0: month 0, day 0.
    year, month, day, hour, minute, second = member.date_time
    seconds = calendar.timegm((year, min(max(month, 1), 12), max(day, 1), hour, minute, second))
    os.utime(path, (seconds, seconds))
