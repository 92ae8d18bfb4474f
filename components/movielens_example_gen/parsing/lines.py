"""A text file in byte ranges, and the number of each range's first line: pure, called in workers.

A file is cut into ranges of equal size. A range owns the lines that start in it, so ranges can be read in
parallel. The number of a line depends on the line breaks before it, which a first pass counts per range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

_BUFFER = 1 << 20
# Characters of rows without values: blanks, quotes, the separators of every release, and DOS's mark of the
# end of a file.
_NOTHING = b' \t\r\n",|:\x1a'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Range(NamedTuple):
    """Bytes `start` to `end` (exclusive) of one file."""

    path: str
    start: int
    end: int


def cut(path: str, size: int, chunk_bytes: int) -> list[Range]:
    """Cut a file of `size` bytes.

    >>> cut("u.data", 5, 2)
    [Range(path='u.data', start=0, end=2), Range(path='u.data', start=2, end=4), \
Range(path='u.data', start=4, end=5)]
    """
    return [Range(path, start, min(start + chunk_bytes, size)) for start in range(0, size, chunk_bytes)]


def is_blank(text: bytes) -> bool:
    r"""Return whether rows hold no value, such as the empty ones at the end of a spreadsheet.

    >>> is_blank(b",,,"), is_blank(b"\x1a"), is_blank(b"7,,,")
    (True, True, False)
    """
    return not text.strip(_NOTHING)


def count_breaks(handle: BinaryIO, part: Range) -> int:
    """Count the line breaks of a range for the line numbers of later ranges; its last byte does not count."""
    position, last = max(part.start - 1, 0), part.end - 1
    handle.seek(position)
    breaks = 0
    while position < last:
        block = handle.read(min(_BUFFER, last - position))
        if not block:
            break
        breaks += block.count(b"\n")
        position += len(block)
    return breaks


def first_line(part: Range, breaks: Mapping[Range, int]) -> int:
    """Number (from 1) of the first line that a range owns.

    Args:
      breaks: `count_breaks` of every earlier range of the file.
    """
    if not part.start:
        return 1
    return 2 + sum(count for other, count in breaks.items() if other.path == part.path and other < part)


def read_lines(handle: BinaryIO, part: Range) -> list[bytes]:
    """Read the lines that a range owns, without their line breaks (LF or CR LF).

    A byte-order mark at the beginning of the file, and DOS's marks at its end, are left out.
    """
    start = max(part.start - 1, 0)
    handle.seek(start)
    block = _read_exactly(handle, part.end - start)
    if part.start:
        # The byte before the range decides whether a line starts right at its start.
        first_break = block.find(b"\n")
        if first_break < 0 or first_break == len(block) - 1:
            return []
        block = block[first_break + 1 :]
    else:
        block = block.removeprefix(BYTE_ORDER_MARK)
    if not block.endswith(b"\n"):
        block += handle.readline()
    if not block.endswith(b"\n"):
        block = block.rstrip(b"\x1a")
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def _read_exactly(handle: BinaryIO, size: int) -> bytes:
    blocks = []
    while size > 0:
        block = handle.read(size)
        if not block:
            break
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)
