"""The executor on made-up files of every release's format: what is read, split and counted."""

import pathlib

import pyarrow
import pytest

from common import parquet
from common.errors import DataError
from components.movielens_example_gen.config import DataConfig, SplitConfig
from components.movielens_example_gen.parsing import splits
from modules import features

START = 1_112_486_027
HALF = SplitConfig(eval_share=0.5)


def _rows(outcome, *names: str) -> list[tuple]:
    # Both splits' rows as tuples of single values, sorted.
    rows = outcome.rows["train"] + outcome.rows["eval"]
    return sorted(tuple(row[name][0] for name in names) for row in rows)


def _write(folder: pathlib.Path, **files: bytes | dict) -> pathlib.Path:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if isinstance(content, dict):
            parquet.write_table(pyarrow.table(content), path, row_group_size=2)
        else:
            path.write_bytes(content)
    return folder


def test_ml_100k(write_ml_100k, run_executor):
    base = write_ml_100k(
        extra_item=b"10|Film 3 (1993)|01-Jan-1993||u|" + b"|".join([b"1"] + [b"0"] * 18) + b"\n",
        extra=b"1\t10\t5\t900000000\n",
    )
    outcome = run_executor(base, DataConfig(split=HALF))
    assert outcome.counts == {
        **{"ratings_read": 28, "bad_ratings": 0, "duplicates": 0, "ratings_kept": 28, "users": 6},
        **{"train_rows": len(outcome.rows["train"]), "eval_rows": len(outcome.rows["eval"])},
        **{"movies_read": 10, "bad_movies": 0, "candidates": 9, "titles_merged": 1, "titles_renamed": 0},
        **{"users_read": 6, "bad_users": 0},
    }
    assert len(outcome.rows["train"]) + len(outcome.rows["eval"]) == 28
    for row in outcome.rows["train"] + outcome.rows["eval"]:
        assert set(row) == {feature.name for feature in features.RATING_ROW}
        assert all(feature.repeated or len(row[feature.name]) == 1 for feature in features.RATING_ROW)
    for row in outcome.rows["catalogue"]:
        assert set(row) == {feature.name for feature in features.CATALOGUE_ROW}
    assert outcome.rows["catalogue"][2] == {
        "movie_id": ["3"],
        "movie_title": ["Film 3 (1993)"],
        "movie_genres": ["Comedy"],
        "movie_year": [1993],
    }
    # The rating of id 10 is one of the film that id 3 stands for.
    late = [row for row in outcome.rows["train"] + outcome.rows["eval"] if row["timestamp"] == [900_000_000]]
    assert [(row["movie_id"], row["movie_title"], row["user_rating"]) for row in late] == [
        (["3"], ["Film 3 (1993)"], [5.0])
    ]
    assert {
        (row["user_id"][0], row["user_gender"][0], row["user_age"][0], row["user_occupation"][0])
        for row in outcome.rows["train"]
    } <= {(str(u), "MF"[u % 2], 20 + u, "writer") for u in range(1, 7)}


@pytest.mark.parametrize("folder", ["films [2024]", "f*", "really?", "a\\b"])
def test_the_folder_may_have_any_name(write_ml_100k, run_executor, folder):
    outcome = run_executor(write_ml_100k(folder=folder), DataConfig(split=HALF))
    assert outcome.counts["ratings_kept"] == 27


@pytest.mark.parametrize(
    ("release", "files", "user"),
    [
        (
            "ml-1m",
            {
                "ratings_dat": b"1::1::5::%d\n1::2::3::%d\n2::1::4::%d\n2::2::1::%d\n",
                "movies_dat": "1::Amélie (2001)::Comedy|Romance\n2::Twins (1988)::Comedy\n".encode(
                    "iso-8859-1"
                ),
                "users_dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
            },
            ("F", 1, "K-12 student"),
        ),
        (
            "ml-10m",
            {
                "ratings_dat": b"1::1::5::%d\n1::2::3::%d\n2::1::4::%d\n2::2::0.5::%d\n",
                "movies_dat": "1::Amélie (2001)::Comedy|Romance\n2::Twins (1988)::Comedy\n".encode(),
            },
            ("unknown", -1, "unknown"),
        ),
        *(
            (
                release,
                {
                    "ratings_csv": b"userId,movieId,rating,timestamp\r\n1,1,5.0,%d\r\n1,2,3.5,%d\r\n"
                    b"2,1,4.0,%d\r\n2,2,0.5,%d",
                    "movies_csv": (
                        "movieId,title,genres\n1,Amélie (2001),Comedy|Romance\n2,Twins (1988),X\n"
                    ).encode(),
                },
                ("unknown", -1, "unknown"),
            )
            for release in ("ml-20m", "ml-25m", "ml-latest-small", "ml-latest", "ml-32m", "custom")
        ),
        (
            "custom",
            {
                "ratings_parquet": {
                    "rating": [5.0, 3.5, 4.0, 0.5],
                    "userId": [1, 1, 2, 2],
                    "movieId": ["1", "2", "1", "2"],
                    "timestamp": [START, START + 1, START + 2, START + 3],
                },
                "movies_parquet": {
                    "movieId": [1, 2],
                    "title": ["Amélie (2001)", "Twins (1988)"],
                    "genres": ["Comedy|Romance", None],
                },
                "users_csv": b"userId,gender,age,occupation\n1,F,33,\n",
            },
            ("F", 33, "unknown"),
        ),
    ],
)
def test_every_other_release(run_executor, tmp_path, release, files, user):
    files = {
        name: content % tuple(range(START, START + 4)) if name in ("ratings_dat", "ratings_csv") else content
        for name, content in files.items()
    }
    config = DataConfig(release=release, split=SplitConfig(method="time", eval_share=0.5))
    outcome = run_executor(_write(tmp_path / "data", **files), config)
    low = 1.0 if release == "ml-1m" else 0.5
    middle = 3.0 if release in ("ml-1m", "ml-10m") else 3.5
    assert _rows(outcome, "user_id", "movie_title", "user_rating", "timestamp") == [
        ("1", "Amélie (2001)", 5.0, START),
        ("1", "Twins (1988)", middle, START + 1),
        ("2", "Amélie (2001)", 4.0, START + 2),
        ("2", "Twins (1988)", low, START + 3),
    ]
    assert ("1", *user) in _rows(outcome, "user_id", "user_gender", "user_age", "user_occupation")
    assert outcome.rows["catalogue"][0]["movie_genres"] == ["Comedy", "Romance"]
    assert (outcome.counts["ratings_read"], outcome.counts["candidates"]) == (4, 2)


def test_exact_duplicates_are_dropped_and_counted(write_ml_100k, run_executor):
    base = write_ml_100k()
    plain = run_executor(base, DataConfig(split=HALF), "plain")
    lines = (base / "u.data").read_bytes()
    first, second = lines.splitlines(keepends=True)[:2]
    # Another rating of the same film, and the same rating a second later, are rows of their own.
    other = first.replace(b"\t3\t", b"\t4\t") + second.replace(b"\n", b"9\n").replace(b"\t87", b"\t0")
    (base / "u.data").write_bytes(lines + first * 2 + second + other)
    outcome = run_executor(base, DataConfig(split=HALF), "repeated")
    assert (outcome.counts["duplicates"], outcome.counts["ratings_read"]) == (3, 32)
    assert outcome.counts["ratings_kept"] == plain.counts["ratings_kept"] + 2


def test_the_hash_split_is_stable_when_rows_are_appended(write_ml_100k, run_executor):
    base = write_ml_100k(users=20, films=20)
    config = DataConfig(split=SplitConfig(eval_share=0.3))
    before = run_executor(base, config, "before")
    with open(base / "u.data", "ab") as ratings:
        ratings.write(b"".join(b"%d\t%d\t2\t895000000\n" % (u, u) for u in range(1, 21)))
    after = run_executor(base, config, "after")

    def identities(outcome, split):
        return {(row["user_id"][0], row["movie_id"][0], row["timestamp"][0]) for row in outcome.rows[split]}

    assert identities(before, "eval") < identities(after, "eval")
    assert identities(before, "train") < identities(after, "train")
    other_seed = run_executor(base, DataConfig(split=SplitConfig(eval_share=0.3, seed=1)), "seed")
    assert identities(other_seed, "eval") != identities(after, "eval")


def test_the_time_cut_is_exact_and_keeps_ties_together(run_executor, tmp_path):
    # Ten rows on two days; the seventh to ninth share a second, so 0.3 cannot be met and less is taken.
    seconds = [5, 10, 20, 30, 86_400, 86_401, 86_402, 86_402, 86_402, 86_500]
    files = {
        "ratings_csv": b"userId,movieId,rating,timestamp\n"
        + b"".join(b"%d,%d,3,%d\n" % (i % 3, i, second) for i, second in enumerate(seconds)),
        "movies_csv": b"movieId,title,genres\n" + b"".join(b"%d,Film %d,Drama\n" % (i, i) for i in range(10)),
    }
    config = DataConfig(release="custom", split=SplitConfig(method="time", eval_share=0.3))
    outcome = run_executor(_write(tmp_path / "data", **files), config)
    assert sorted(row["timestamp"][0] for row in outcome.rows["eval"]) == [86_500]
    config = DataConfig(release="custom", split=SplitConfig(method="time", eval_share=0.4))
    outcome = run_executor(tmp_path / "data", config, "wider")
    assert sorted(row["timestamp"][0] for row in outcome.rows["eval"]) == [86_402, 86_402, 86_402, 86_500]


def test_a_given_split_is_used_and_rows_of_both_sides_are_dropped_from_eval(write_ml_100k, run_executor):
    base = write_ml_100k()
    rows = (base / "u.data").read_bytes().splitlines(keepends=True)
    (base / "u.data").unlink()
    # The eleventh row stands on both sides: it stays in train.
    for split, part in (("train", rows[:11]), ("eval", rows[10:])):
        (base / split).mkdir()
        (base / split / "u.data").write_bytes(b"".join(part))
    (base / "eval" / "u.data").open("ab").write(b"bad\n")
    outcome = run_executor(base, DataConfig(split=SplitConfig(method="given"), max_bad_share=0.1))
    seconds = {split: {row["timestamp"][0] for row in outcome.rows[split]} for split in ("train", "eval")}
    assert seconds["train"] == {int(row.split(b"\t")[3]) for row in rows[:11]}
    assert seconds["eval"] == {int(row.split(b"\t")[3]) for row in rows[11:]}
    assert outcome.counts["duplicates"] == 1
    assert [(bad["file"], bad["line"]) for bad in outcome.bad] == [("eval/u.data", len(rows) - 10 + 1)]


def test_slices_count_the_train_split_alone(run_executor, tmp_path):
    # User "new" is in eval only, "busy" has 25 train rows; film 0 has 21 train rows, film 99 none.
    train = [("busy", m) for m in range(25)] + [(f"u{i}", 0) for i in range(20)]
    evaluation = [("new", 0), ("busy", 99), ("u3", 7)]
    base = _write(
        tmp_path / "data",
        movies_csv=b"movieId,title,genres\n"
        + b"".join(b"%d,Film %d,Drama\n" % (m, m) for m in (*range(25), 99)),
    )
    for split, pairs in (("train", train), ("eval", evaluation)):
        _write(
            base / split,
            ratings_csv=b"userId,movieId,rating,timestamp\n"
            + b"".join(b"%s,%d,4,%d\n" % (user.encode(), movie, START) for user, movie in pairs),
        )
    outcome = run_executor(base, DataConfig(release="custom", split=SplitConfig(method="given")))
    sliced = {
        (row["user_id"][0], row["movie_id"][0]): (row["user_activity"][0], row["title_popularity"][0])
        for row in outcome.rows["eval"]
    }
    assert sliced == {
        ("new", "0"): ("cold", "torso"),
        ("busy", "99"): ("medium", "unseen"),
        ("u3", "7"): ("light", "tail"),
    }
    assert all(row["user_activity"] != ["cold"] for row in outcome.rows["train"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"must hold one of movies\.csv, movies\.parquet"),
        ({"movies_csv": b""}, r"movies\.csv must hold rows, and is empty"),
        ({"movies_csv": b"id,title,genres\n1,A,B\n"}, "movieId is missing or repeated"),
        ({"movies_parquet": b"no parquet"}, "must be a Parquet file"),
        ({"movies_parquet": {"movieId": [1], "title": ["A"]}}, "genres is missing or repeated"),
        ({"movies_parquet": {"movieId": [], "title": [], "genres": []}}, "must hold rows, and has none"),
        ({"movies_csv": b"movieId,title,genres\n"}, "must name at least one film"),
        (
            {"movies_csv": b"movieId,title,genres\n1,A,B\n", "movies_parquet": {"movieId": [1]}},
            r"found movies\.csv, movies\.parquet",
        ),
    ],
)
def test_unusable_files_are_named(run_executor, tmp_path, files, message):
    ratings = b"userId,movieId,rating,timestamp\n1,1,5,0\n"
    base = _write(tmp_path / "data", ratings_csv=ratings, **files)
    with pytest.raises(DataError, match=message):
        run_executor(base, DataConfig(release="custom", max_bad_share=1))


@pytest.mark.parametrize(
    ("method", "empty", "remedy"),
    [
        ("hash", "eval", "another split"),
        ("time", "eval", "larger eval_share"),
        ("given", "train", "more rows"),
    ],
)
def test_an_empty_split_is_an_error_in_words(run_executor, tmp_path, method, empty, remedy):
    header = b"userId,movieId,rating,timestamp\n"
    base = _write(
        tmp_path / "data",
        movies_csv=b"movieId,title,genres\n1,A,B\n",
        ratings_csv=header + b"1,1,5,7\n2,1,4,7\n",
    )
    _write(base / "train", ratings_csv=header)
    _write(base / "eval", ratings_csv=header + b"1,1,5,7\n")
    config = DataConfig(release="custom", split=SplitConfig(method=method, eval_share=1e-9))
    with pytest.raises(DataError, match=f"{empty} has none of the . usable ratings.*{remedy}"):
        run_executor(base, config)


def test_every_level_is_named_once():
    for levels in (splits.USER_ACTIVITY_LEVELS, splits.TITLE_POPULARITY_LEVELS):
        assert [least for least, _ in levels] == [0, 1, 20, 100]
        assert len({label for _, label in levels}) == 4
