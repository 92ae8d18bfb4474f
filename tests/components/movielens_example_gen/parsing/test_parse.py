"""Every kind of bad row, and the oddities of good ones, in each release's format."""

import pytest

from components.movielens_example_gen.parsing import parse
from components.movielens_example_gen.parsing.parse import Fault, Rating
from components.movielens_example_gen.sources import releases

LAYOUTS = {
    "ml-100k": parse.fixed_layout(releases.RELEASES["ml-100k"].ratings),
    "ml-10m": parse.fixed_layout(releases.RELEASES["ml-10m"].ratings),
    "ml-20m": parse.header_layout(releases.RELEASES["ml-20m"].ratings, b"userId,movieId,rating,timestamp"),
}


def _parse(line: bytes, release: str) -> Rating | Fault:
    scale = parse.scale_values(releases.RELEASES[release].scale)
    return parse.parse_rating(line, LAYOUTS[release], scale)


@pytest.mark.parametrize(
    ("release", "line", "expected"),
    [
        ("ml-100k", b"196\t242\t3\t881250949", Rating("196", "242", 3.0, 881250949)),
        ("ml-10m", b"1::122::5::838985046", Rating("1", "122", 5.0, 838985046)),
        ("ml-10m", b"1::122::0.5::838985046", Rating("1", "122", 0.5, 838985046)),
        ("ml-20m", b"1,2,3.5,1112486027", Rating("1", "2", 3.5, 1112486027)),
        ("ml-20m", b'"1","2","3.50"," 1112486027"', Rating("1", "2", 3.5, 1112486027)),
        ("ml-20m", b"1,2,4.0,1", Rating("1", "2", 4.0, 1)),
        ("ml-20m", b"1.0, 31.0,4.0,1260759144.0", Rating("1", "31", 4.0, 1260759144)),
        ("ml-20m", b"-1.0,v1.0,4.0,1260759144.000", Rating("-1", "v1.0", 4.0, 1260759144)),
        ("ml-20m", b"1.5,.0,4.0,7", Rating("1.5", ".0", 4.0, 7)),
    ],
)
def test_reads_good_rows(release, line, expected):
    assert _parse(line, release) == expected


@pytest.mark.parametrize(
    ("release", "line", "kind"),
    [
        ("ml-100k", b"196\t242\t3", parse.BAD_COLUMNS),
        ("ml-100k", b"196\t242\t3\t881250949\t", parse.BAD_COLUMNS),
        ("ml-100k", b"", parse.BAD_COLUMNS),
        ("ml-100k", b"196::242::3::881250949", parse.BAD_COLUMNS),
        ("ml-10m", b"1:122:5:838985046", parse.BAD_COLUMNS),
        ("ml-20m", b'1,"2,3.5,1112486027', parse.BAD_COLUMNS),
        ("ml-100k", b"\t242\t3\t881250949", parse.EMPTY_ID),
        ("ml-100k", b"196\t \t3\t881250949", parse.EMPTY_ID),
        ("ml-100k", b"196\t242\t0\t881250949", parse.BAD_RATING),
        ("ml-100k", b"196\t242\t6\t881250949", parse.BAD_RATING),
        ("ml-100k", b"196\t242\t3.5\t881250949", parse.BAD_RATING),
        ("ml-100k", b"196\t242\tfour\t881250949", parse.BAD_RATING),
        ("ml-100k", b"196\t242\t\t881250949", parse.BAD_RATING),
        ("ml-20m", b"1,2,nan,1112486027", parse.BAD_RATING),
        ("ml-20m", b"1,2,inf,1112486027", parse.BAD_RATING),
        ("ml-20m", b"1,2,-3,1112486027", parse.BAD_RATING),
        ("ml-20m", b"1,2,0,1112486027", parse.BAD_RATING),
        ("ml-20m", b"1,2,3.7,1112486027", parse.BAD_RATING),
        ("ml-20m", "1,2,٣,1112486027".encode(), parse.BAD_RATING),
        ("ml-100k", b"196\t242\t3\t", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\tyesterday", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t-5", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t0", parse.BAD_TIMESTAMP),
        ("ml-20m", b"1,2,4.0,2147483648", parse.BAD_TIMESTAMP),
        ("ml-20m", b"1,2,4.0,99999999999", parse.BAD_TIMESTAMP),
        ("ml-20m", b"1,2,4.0,100000000000", "milliseconds"),
        ("ml-20m", b"1,2,4.0,2147483647999.0", "milliseconds"),
        ("ml-20m", b"1,2,4.0,2147483648000", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t8812509.49", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t0.0", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t881_250_949", parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\t242\t3\t881250949000", "milliseconds"),
        ("ml-100k", b"196\t242\t3\t" + b"9" * 5000, parse.BAD_TIMESTAMP),
        ("ml-20m", "1,2,3,١١١٢٤٨٦٠٢٧".encode(), parse.BAD_TIMESTAMP),
        ("ml-100k", b"196\xff\t242\t3\t881250949", parse.BAD_BYTES),
        ("ml-20m", b"1\xe9,2,3,1112486027", parse.BAD_BYTES),
        ("ml-20m", b"1\x00,2,3,1112486027", parse.BAD_BYTES),
    ],
)
def test_names_the_fault_of_bad_rows(release, line, kind):
    fault = _parse(line, release)
    assert isinstance(fault, Fault), fault
    assert fault.kind == kind


def test_a_reason_says_what_must_hold_and_what_was_received():
    assert _parse(b"1,2,3.7,1112486027", "ml-20m").reason == (
        "rating '3.7' must be one of 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5"
    )
    assert _parse(b"1\t2\t3", "ml-100k").reason == "expected 4 columns, found 3"
    assert _parse(b"1\xff\t2\t3\t4", "ml-100k").reason == "byte 2 is not ascii"


def test_a_header_may_reorder_columns_and_bring_more():
    table = releases.RELEASES["custom"].ratings
    layout = parse.header_layout(table, b"\xef\xbb\xbftimestamp,device,rating,movieId,userId")
    scale = parse.scale_values(releases.RELEASES["custom"].scale)
    assert parse.parse_rating(b"1112486027,tv,4.5,m1,u1", layout, scale) == Rating(
        "u1", "m1", 4.5, 1112486027
    )


@pytest.mark.parametrize(
    ("header", "named"),
    [(b"user,movieId,rating,timestamp", "userId"), (b"userId,movieId,rating,rating,timestamp", "rating")],
)
def test_a_wrong_header_is_named(header, named):
    with pytest.raises(ValueError, match=f"where {named} is missing or repeated"):
        parse.header_layout(releases.RELEASES["ml-20m"].ratings, header)


def test_titles_keep_commas_and_quotes():
    line = b'7,"Good, the ""Bad"" and the Ugly, The (1966)",Western'
    assert parse.split_line(line, ",", "utf-8")[1] == 'Good, the "Bad" and the Ugly, The (1966)'
    assert (
        parse.split_line(b'7::"Great" Cats, The (1998)::Musical', "::", "utf-8")[1]
        == '"Great" Cats, The (1998)'
    )
    assert parse.split_line(b"7::Am\xe9lie (2001)::Comedy", "::", "iso-8859-1")[1] == "Amélie (2001)"


@pytest.mark.parametrize("release", list(releases.RELEASES.values()), ids=lambda release: release.name)
def test_every_release_spells_its_scale(release):
    values = release.scale.values
    assert values[-1] == 5.0 and values[0] == values[1] - values[0]
    assert set(parse.scale_values(release.scale).values()) == set(values)
