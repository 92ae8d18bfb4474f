"""The generator: what it writes is read without a fault, and what it says is planted is found."""

import pathlib

import numpy as np
import pytest

from benchmarks.speed import generator
from components.movielens_example_gen.beam import reading
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.parsing import parse
from components.movielens_example_gen.sources import files
from components.movielens_example_gen.sources.rows import read_ratings, split_parts

RATINGS, TITLES, SEED = 60_000, 2_000, 7


@pytest.fixture(scope="module")
def rows() -> generator.Block:
    drawn = list(generator.blocks(RATINGS, generator.make_titles(TITLES, SEED), SEED))
    return generator.Block(*(np.concatenate(columns) for columns in zip(*drawn, strict=True)))


@pytest.mark.parametrize("release", ["ml-25m", "custom"])
def test_example_gen_reads_every_row(tmp_path: pathlib.Path, release: str) -> None:
    generator.write(tmp_path, ratings=500, titles=100, seed=SEED)
    config = DataConfig(release=release)
    inputs = files.find_inputs(str(tmp_path), config)
    bad: list = []
    movies, read = reading._read_all(inputs.movies, config, "movies", bad)
    assert (len(movies), read, bad) == (100, 100, [])
    (part,) = split_parts(inputs.ratings, 1 << 20)
    scale = parse.scale_values(config.spec.scale)
    read_rows = list(read_ratings(part, config.spec.ratings.columns, scale, {}))
    ratings = [row for _, _, row in read_rows if isinstance(row, parse.Rating)]
    assert len(read_rows) == len(ratings) == 500
    assert {row.movie for row in ratings} <= {movie.movie_id for movie in movies}
    assert len({(row.user, row.movie) for row in ratings}) == 500
    assert {row.rating for row in ratings} > {2.5, 3.0, 3.5, 4.0}


def test_same_seed_same_bytes(tmp_path: pathlib.Path) -> None:
    written = {}
    for name, seed, ratings in (("a", 1, 400), ("b", 1, 400), ("c", 2, 400), ("longer", 1, 900)):
        generator.write(tmp_path / name, ratings=ratings, titles=60, seed=seed)
        written[name] = [(tmp_path / name / file).read_bytes() for file in ("ratings.csv", "movies.csv")]
    assert written["a"] == written["b"]
    assert written["a"][0] != written["c"][0] and written["a"][1] != written["c"][1]
    assert written["longer"][0].startswith(written["a"][0]) and written["longer"][1] == written["a"][1]


def test_users_and_titles_follow_power_laws(rows: generator.Block) -> None:
    assert len(rows.users) == RATINGS
    by_user = np.bincount(rows.users)[1:-1]  # The last user may be cut short.
    by_title = np.sort(np.bincount(rows.titles, minlength=TITLES + 1)[1:])[::-1]
    assert by_user.min() == 20 and by_user.max() > 10 * np.median(by_user)
    # Of a Pareto law with exponent a, the share above twice the least is 2 ** -a; planted: 1.25.
    assert np.mean(by_user >= 40) == pytest.approx(2**-1.25, abs=0.06)
    # A tenth of the titles takes several times its share, and the slope over ranks is near the planted -1.1.
    assert by_title[: TITLES // 10].sum() > 0.4 * RATINGS
    ranks = np.arange(30, 800)
    slope = np.polyfit(np.log(ranks + 20), np.log(by_title[ranks]), 1)[0]
    assert -1.3 < slope < -0.7


def test_users_rate_in_sessions(rows: generator.Block) -> None:
    order = np.lexsort((rows.seconds, rows.users))
    users, seconds = rows.users[order], rows.seconds[order]
    gaps = np.diff(seconds)[np.diff(users) == 0]
    quick, slow = np.mean(gaps < 300), np.mean(gaps >= 86_400)
    assert quick + slow == pytest.approx(1, abs=0.001)  # Nothing between five minutes and a day.
    assert slow == pytest.approx(1 / 30, abs=0.01)
    assert seconds.min() >= 946_684_800 and seconds.max() < 1_600_000_000


def test_taste_is_found_in_who_rated_what(rows: generator.Block) -> None:
    users = rows.users.max()
    seen = np.zeros((users, TITLES), bool)
    seen[rows.users - 1, rows.titles - 1] = True
    held_out = np.zeros_like(seen)
    rng = np.random.default_rng(0)
    for user, titles in enumerate(seen):
        held_out[user, rng.choice(np.flatnonzero(titles), 1)] = True
    known = (seen & ~held_out).astype(float)
    popularity = known.sum(axis=0)
    # Titles that are rated together more often than their popularity says.
    together = known.T @ known / np.sqrt(np.outer(popularity + 10, popularity + 10))
    scores = {
        "random": rng.random(known.shape),
        "popularity": np.broadcast_to(popularity, known.shape),
        "taste": known @ together,
    }
    hits = {}
    for name, values in scores.items():
        best = np.argsort(-np.where(known > 0, -np.inf, values), axis=1)[:, :50]
        hits[name] = np.mean(np.take_along_axis(held_out, best, axis=1).any(axis=1))
    assert hits["popularity"] > 3 * hits["random"]
    assert hits["taste"] > 1.2 * hits["popularity"]


def test_ratings_follow_the_taste(rows: generator.Block) -> None:
    # The mean of a title's stars says something of those of its other raters.
    half = rows.users % 2 == 0
    means = []
    for part in (half, ~half):
        counts = np.bincount(rows.titles[part], minlength=TITLES + 1)
        sums = np.bincount(rows.titles[part], weights=rows.halves[part], minlength=TITLES + 1)
        means.append((sums / np.maximum(counts, 1), counts))
    often = (means[0][1] > 20) & (means[1][1] > 20)
    assert often.sum() > 100
    assert np.corrcoef(means[0][0][often], means[1][0][often])[0, 1] > 0.6


@pytest.mark.parametrize(
    ("ratings", "titles", "words"), [(0, 100, "ratings must be 1"), (9, 49, "50 or more")]
)
def test_rejects_numbers_that_are_too_low(tmp_path, ratings: int, titles: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        generator.write(tmp_path / "out", ratings, titles, seed=1)
    assert not (tmp_path / "out").exists()
