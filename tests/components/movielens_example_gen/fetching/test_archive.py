"""Archives that mean harm, are damaged, or are of an unexpected shape."""

import pathlib
import stat
import struct
import zipfile

import pytest

from common.errors import DataError, disk_errors
from components.movielens_example_gen.fetching import archive


def _zip(path: pathlib.Path, members: dict[str, bytes], mode: int = 0) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1998, 4, 22, 10, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            opened.writestr(info, content)
    return path


def _unpack(path: pathlib.Path, target: pathlib.Path, largest: int = archive.LARGEST_UNPACKED) -> None:
    def choose(names):
        wanted = {f"ml/{name}": name for name in ("u.data", "u.item", "train/u.data")}
        return {wanted[name]: name for name in names if name in wanted}

    target.mkdir(exist_ok=True)
    archive.unpack(path, target, choose, largest)


GOOD = {"ml/u.item": b"films", "ml/u.data": b"ratings", "ml/train/u.data": b"train", "ml/other": b"unwanted"}


def test_unpacks_what_is_wanted_without_the_top_folder_and_keeps_times(tmp_path):
    for round_ in ("first", "second"):
        _unpack(_zip(tmp_path / "a.zip", {**GOOD, "__MACOSX/ml/._u.item": b"x"}), tmp_path / round_)
    files = {
        path.relative_to(tmp_path / "first").as_posix(): path.read_bytes()
        for path in (tmp_path / "first").rglob("*")
        if path.is_file()
    }
    assert files == {"u.item": b"films", "u.data": b"ratings", "train/u.data": b"train"}
    times = {(tmp_path / round_ / "u.data").stat().st_mtime for round_ in ("first", "second")}
    assert times == {893_239_200.0}  # 22 April 1998, 10:00 UTC.


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (0, 315_532_800.0),  # 1 January 1980, where the time of a zip begins.
        (18 << 9 | 15 << 5 | 31, 915_062_400.0),  # Month 15, day 31 of 1998: 31 December.
    ],
)
def test_an_impossible_date_is_brought_into_range(tmp_path, date, seconds):
    path = _zip(tmp_path / "a.zip", {"ml/u.item": b"films"})
    content = bytearray(path.read_bytes())
    for header, offset in ((b"PK\x03\x04", 10), (b"PK\x01\x02", 12)):
        struct.pack_into("<HH", content, content.index(header) + offset, 0, date)
    path.write_bytes(content)
    _unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "u.item").stat().st_mtime == seconds


@pytest.mark.parametrize(
    "name",
    [
        *("../escaped", "ml/../../escaped", "/tmp/escaped", "..\\escaped", "C:/escaped", "ml/..\\x"),
        *("\\tmp\\escaped", "\\\\host\\share\\escaped", "C:\\escaped", "ml\\..\\..\\escaped"),
    ],
)
def test_rejects_a_member_that_would_land_outside(tmp_path, name):
    with pytest.raises(DataError, match="outside its folder"):
        _unpack(_zip(tmp_path / "a.zip", {**GOOD, name: b"evil"}), tmp_path / "out")
    assert not list(tmp_path.rglob("escaped")) and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_rejects_links_and_devices(tmp_path, kind):
    with pytest.raises(DataError, match="a link or a device"):
        _unpack(_zip(tmp_path / "a.zip", {"ml/u.item": b"/etc/passwd"}, kind | 0o777), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_zip_bomb_is_rejected_before_a_file_is_written(tmp_path):
    bomb = _zip(tmp_path / "a.zip", {**GOOD, "ml/u.data": b"\0" * 10_000_000})
    with pytest.raises(DataError, match="would unpack from"):
        _unpack(bomb, tmp_path / "out")
    with pytest.raises(DataError, match="would unpack from"):
        _unpack(_zip(tmp_path / "b.zip", GOOD), tmp_path / "out", largest=10)
    assert not list((tmp_path / "out").iterdir())


def test_a_zip_bomb_with_a_wrong_size_writes_no_more_than_that_size(tmp_path):
    path = _zip(tmp_path / "a.zip", {"ml/u.item": b"films", "ml/u.data": b"\0" * 1_000_000})
    content = bytearray(path.read_bytes())
    real = struct.pack("<I", 1_000_000)
    while real in content:
        position = content.index(real)
        content[position : position + 4] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(DataError, match="undamaged zip"):
        _unpack(path, tmp_path / "out")
    written = tmp_path / "out" / "u.data"
    assert not written.exists() or written.stat().st_size <= 100


def test_rejects_a_damaged_member(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("ml/u.item", b"films-films-films")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"films-films-films", b"films-films-films"[::-1]))
    with pytest.raises(DataError, match=r"undamaged zip: Bad CRC-32.*u\.item"):
        _unpack(path, tmp_path / "out")


def test_rejects_damaged_lzma(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("ml/u.item", bytes(range(256)) * 20)
    content = bytearray(path.read_bytes())
    start = 30 + len("ml/u.item")
    content[start + 4] = 0xFF  # The first byte of the LZMA properties; 224 is the greatest that is valid.
    path.write_bytes(content)
    with pytest.raises(DataError, match="undamaged zip"):
        _unpack(path, tmp_path / "out")


def test_a_name_that_claims_to_be_utf_8_and_is_not_is_rejected(tmp_path):
    path = _zip(tmp_path / "a.zip", {"ml/u.item": b"films", "ml/\u00fc": b"x"})
    path.write_bytes(path.read_bytes().replace("\u00fc".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match="undamaged zip"):
        _unpack(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_rejects_what_is_no_zip(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="undamaged zip"):
        _unpack(tmp_path / "a.zip", tmp_path / "out")


def test_names_with_backslashes_as_some_programs_of_windows_write_them_are_read(tmp_path):
    members = {name.replace("/", "\\"): content for name, content in GOOD.items()}
    _unpack(_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert (tmp_path / "out" / "train" / "u.data").read_bytes() == b"train"
    with pytest.raises(DataError, match="two members of one name"):
        _unpack(_zip(tmp_path / "b.zip", {**GOOD, "ml\\u.data": b"other"}), tmp_path / "out")


def test_rejects_two_members_of_one_name(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr("u.item", b"one")
        opened.writestr("u.item", b"two")
    with pytest.raises(DataError, match="two members of one name"):
        _unpack(path, tmp_path / "out")


def test_rejects_an_encrypted_archive(tmp_path):
    path = _zip(tmp_path / "a.zip", {"ml/u.item": b"films"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="must not be encrypted"):
        _unpack(path, tmp_path / "out")


def test_says_when_the_disk_is_full():
    with (
        pytest.raises(DataError, match="disk is full .*Free some space"),
        disk_errors(pathlib.Path("a")),
    ):
        raise OSError(28, "No space left on device", "a")
