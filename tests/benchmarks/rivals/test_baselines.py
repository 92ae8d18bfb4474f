import numpy as np
import pytest

from benchmarks import figures
from benchmarks.figures import Figures
from benchmarks.protocol import Ratings
from benchmarks.rivals import baselines
from components.movielens_example_gen.parsing.splits import row_hash
from modules import features


def _ratings(users, titles, values, num_users: int, num_titles: int) -> Ratings:
    return Ratings(
        np.asarray(users),
        np.asarray(titles),
        np.asarray(values, np.float64),
        np.zeros(len(users), np.int64),
        np.array([str(user) for user in range(num_users)]),
        np.array([str(title) for title in range(num_titles)]),
        np.ones((num_titles, 1), bool),
    )


def test_a_tie_counts_against_the_rated_title_and_an_excluded_one_is_not_counted() -> None:
    scores = np.array([[3.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, -np.inf]])
    found = baselines.ranks(scores, np.array([0, 0, 0, 1, 1]), np.array([0, 1, 3, 0, 3]))
    assert found.tolist() == [0, 2, 3, 2, features.EXCLUDED_ROW]


def test_popularity_hits_the_hundred_titles_with_the_most_ratings() -> None:
    # Title t is rated by 150 - t users, so 0 is the most popular; user u has rated the titles up to 149 - u.
    titles = np.repeat(np.arange(150), np.arange(150, 0, -1))
    users = np.concatenate([np.arange(150 - title) for title in range(150)])
    train = _ratings(users, titles, np.ones(len(users)), 151, 150)
    # User 150 has rated nothing; user 149 has rated title 0, so that one more title follows.
    held_out = _ratings([150, 150, 149, 149], [99, 100, 100, 101], np.ones(4), 151, 150)
    measured = baselines.popularity(train, held_out)
    assert measured.top_100 == 0.25
    assert measured.top_100_unseen == 0.5


def test_biases_find_planted_deviations() -> None:
    users, titles = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(60), indexing="ij"))
    user_bias = np.linspace(-1, 1, 40)
    title_bias = np.linspace(0.9, -0.9, 60)
    whole = _ratings(users, titles, 3 + user_bias[users] + title_bias[titles], 40, 60)
    # Predictions are kept in the range of train, so the extremes must be in it.
    withheld = (users + titles) % 7 == 5
    train, held_out = whole.take(np.flatnonzero(~withheld)), whole.take(np.flatnonzero(withheld))
    exact = baselines.biases(train, held_out, user_weight=0, title_weight=0, sweeps=50)
    assert exact.rmse == pytest.approx(0, abs=1e-6)
    assert baselines.biases(train, held_out).rmse == pytest.approx(0.05, abs=0.05)


def test_biases_expect_of_the_unknown_what_is_usual() -> None:
    train = _ratings([0, 0, 1], [0, 1, 0], [5, 3, 4], 3, 3)
    held_out = _ratings([2], [2], [4.0], 3, 3)
    assert baselines.biases(train, held_out).rmse == 0


def test_figures_of_what_a_model_answered() -> None:
    columns = {
        features.RATING: np.array([4, 2, 1], np.float32),
        features.RANK: np.array([99, 100, np.nan], np.float32),
        features.RANK_UNSEEN: np.array([0, 99, 1664], np.float32),
        features.PREDICTED_RATING: np.array([4, 4, 1.5], np.float32),
    }
    # Of the gains 15, 3 and 1 the first is among the ten; (0 + 4 + 0.25) / 3, and its root.
    rmse = 1.190238
    expected = Figures(1 / 3, 1 / 3, 2 / 3, 1 / 3, 1.0, 0.0, 15 / 19, rmse)
    assert figures.of_columns(columns) == pytest.approx(expected)
    del columns[features.RANK], columns[features.RANK_UNSEEN]
    found = figures.of_columns(columns)
    assert found == Figures(rmse=found.rmse) and found.rmse == pytest.approx(rmse)


def test_the_parts_hold_each_train_row_of_the_hash_split_once_and_no_eval_row(tmp_path) -> None:
    rows = [(str(n % 40), str(n % 77), n % 5 + 1, 880_000_000 + n) for n in range(8_000)]
    (tmp_path / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    parts = baselines.parts_of_train(tmp_path)
    of_eval = [row_hash(*row[:2], float(row[2]), row[3], seed=42)[0] < 0.2 * 2**64 for row in rows]
    assert (parts < 0).tolist() == of_eval
    assert np.bincount(parts[parts >= 0]) == pytest.approx(800, rel=0.15)


@pytest.mark.parametrize("noisy", [False, True])
def test_weights_are_compared_on_rows_that_were_not_fitted_to(noisy: bool) -> None:
    users, titles = (grid.ravel() for grid in np.meshgrid(np.arange(30), np.arange(40), indexing="ij"))
    random = np.random.default_rng(0)
    # Where users and titles say nothing of the rating, what they deviate by is best left out.
    ratings = random.uniform(1, 5, users.size) if noisy else 3 + (users - 15) / 15 + (titles - 20) / 20
    parts = random.integers(-1, 8, users.size)
    whole = _ratings(users, titles, np.where(parts < 0, 1_000.0, ratings), 30, 40)
    errors = baselines.compare(whole, parts, (0.0, 100.0), (0.0, 100.0))
    assert errors.shape == (2, 2)
    assert np.argmin(errors) == (3 if noisy else 0)
    # Nor are rows of no part read, which are far off.
    assert errors.max() < 2


def test_the_command_prints_every_pair_of_weights_and_the_best(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "u.item").write_text("".join(f"{n}|Film {n} (1990)|||" + "|0" * 19 + "\n" for n in range(9)))
    (tmp_path / "u.user").write_text("1|24|M|writer|85711\n")
    rows = [f"{n % 20}\t{n % 9}\t{n % 5 + 1}\t{1000 + n}\n" for n in range(900)]
    (tmp_path / "u.data").write_text("".join(rows))
    monkeypatch.setattr("sys.argv", ["baselines", "--data", str(tmp_path)])
    baselines.main()
    *lines, _, said = capsys.readouterr().out.splitlines()
    header, _, *table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    errors = {
        f"user weight {user}, {title}": float(error)
        for user, *of_user in table
        for title, error in zip(header[1:], of_user, strict=True)
    }
    assert len(errors) == 35
    assert said.startswith(f"least error: {min(errors, key=lambda pair: errors[pair])}; in force: ")
    monkeypatch.setattr("sys.argv", ["baselines", "--data", str(tmp_path / "absent")])
    with pytest.raises(SystemExit):
        baselines.main()
    assert "there is none at" in capsys.readouterr().err.splitlines()[-1]
