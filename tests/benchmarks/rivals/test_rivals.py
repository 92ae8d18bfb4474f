"""The baselines on planted rows; the libraries' own models if they are installed."""

import functools
import importlib.util
import pathlib
import shutil

import numpy as np
import pytest

from benchmarks import figures, splits
from benchmarks.protocol import Ratings
from benchmarks.rivals import models, rivals, search
from benchmarks.rivals.fm_features import EARLIER, TENURE, USER_DAY, FmFeatures
from benchmarks.rivals.models import Recommender
from benchmarks.splits import ROLLING, STATIC
from modules import features
from pipeline.source_digest import source_digest

DAY = 86_400


def _ratings(users, titles, values, times, num_users: int, num_titles: int) -> Ratings:
    ids, names = (np.array([f"{i:03d}" for i in range(n)]) for n in (num_users, num_titles))
    columns = np.array(users), np.array(titles), np.array(values, float), np.array(times)
    return Ratings(*columns, ids, names, np.ones((num_titles, 1), bool))


class _Fixed(Recommender):
    """Gives every query the same scores."""

    def __init__(self, scores, cold_start=False, scores_rated=True):
        self._scores = np.array(scores)
        self.cold_start, self.scores_rated = cold_start, scores_rated

    def scores(self, queries, block):
        return np.tile(self._scores, (len(queries.starts[block]), 1))


def test_known_titles_are_taken_out_and_cold_start_users_get_what_is_popular() -> None:
    train = _ratings([0, 0, 1], [0, 1, 3], [5, 5, 5], [1, 2, 3], 3, 4)
    evaluated = _ratings([0, 0, 2, 2], [2, 0, 3, 2], [4, 4, 4, 4], [10, 11, 12, 13], 3, 4)
    model = _Fixed([9.0, 8.0, 7.0, 6.0])
    found = rivals.columns(model, train, splits.queries(train, evaluated, STATIC))
    # Titles 0, 1 and 3 have a rating each and stand in this order; user 2 is unknown.
    assert found[features.RANK].tolist() == [2, 0, 2, 3]
    assert found[features.RANK_UNSEEN].tolist() == [0, features.EXCLUDED_ROW, 2, 3]
    # As the columns of a model of ours, from which the groups are made.
    assert found[features.USER_ID].tolist() == [b"000", b"000", b"002", b"002"]
    assert found[features.TIMESTAMP].tolist() == [10, 11, 12, 13]
    assert found[features.VISIT].tolist() == [b"sitting", b"sitting", b"first", b"first"]
    rolling = rivals.columns(model, train, splits.queries(train, evaluated, ROLLING))
    assert rolling[features.VISIT].tolist() == [b"sitting", b"sitting", b"first", b"sitting"]
    # User 0's last row knows title 2; user 2's last row knows title 3, and is no cold-start user any more.
    assert rolling[features.RANK].tolist() == [2, 0, 2, 2]
    assert rolling[features.RANK_UNSEEN].tolist() == [0, features.EXCLUDED_ROW, 2, 2]


def test_a_model_with_scores_for_cold_start_users_keeps_them() -> None:
    train = _ratings([0, 0, 1], [0, 1, 3], [5, 5, 5], [1, 2, 3], 3, 4)
    evaluated = _ratings([2, 2], [3, 0], [4, 4], [12, 13], 3, 4)
    queries = splits.queries(train, evaluated, STATIC)
    for cold_start, ranks in ((True, [0, 3]), (False, [2, 0])):
        model = _Fixed([6.0, 7.0, 8.0, 9.0], cold_start)
        found = rivals.columns(model, train, queries)
        assert found[features.RANK_UNSEEN].tolist() == ranks, cold_start


def test_a_model_without_scores_for_rated_titles_has_no_rank_among_all() -> None:
    train = _ratings([0, 0, 1], [0, 1, 3], [5, 5, 5], [1, 2, 3], 3, 4)
    model = _Fixed([9.0, 8.0, 7.0, 6.0], scores_rated=False)
    found = rivals.columns(model, train, splits.queries(train, train, STATIC))
    assert features.RANK not in found
    measured = figures.of_columns(found)
    assert measured.top_100 is None and measured == figures.Figures()
    found = rivals.columns(model, train, splits.queries(train, _ratings([0], [2], [4], [9], 3, 4), STATIC))
    assert figures.of_columns(found).top_100_unseen == 1


def test_a_new_users_bias_follows_their_earlier_ratings() -> None:
    # Users 0 to 9 rate all titles with 3; user 10, unknown in train, rates with 5.
    users, titles = (grid.ravel() for grid in np.meshgrid(np.arange(10), np.arange(8), indexing="ij"))
    train = _ratings(users, titles, np.tile([1, 5, 3, 3, 3, 3, 3, 3], 10), np.arange(80), 11, 8)
    evaluated = _ratings([10] * 3, [5, 6, 7], [5, 5, 5], [100, 101, 102], 11, 8)
    model = models.Biases(train, 0, user_weight=1.0, title_weight=0.0)
    predicted = {
        view: model.rate(splits.queries(train, evaluated, view)).round(6).tolist()
        for view in (STATIC, ROLLING)
    }
    # The deviation of 2 shrinks by 1 / (1 + 1), then by 2 / (2 + 1).
    assert predicted == {STATIC: [3, 3, 3], ROLLING: [3, 4, 4.333333]}


def test_ease_is_the_least_squares_of_each_title_by_the_others() -> None:
    random = np.random.RandomState(1)
    users, titles = np.nonzero(random.rand(30, 6) < 0.4)
    train = _ratings(users, titles, np.ones(len(users)), np.arange(len(users)), 30, 6)
    evaluated = train.take(np.arange(12))
    requested = splits.queries(train, evaluated, STATIC)
    found = models.Ease(train, 0, penalty=2.0).scores(requested, slice(None))
    rated = np.zeros((30, 6))
    rated[users, titles] = 1
    for title in range(6):
        others = np.delete(rated, title, axis=1)
        weights = np.linalg.solve(others.T @ others + 2.0 * np.eye(5), others.T @ rated[:, title])
        assert found[:, title] == pytest.approx((others @ weights)[evaluated.users])


def test_predictions_stay_in_the_scale_of_train() -> None:
    class Wild:
        def rate(self, queries):
            return np.array([-3.0, 9.0])

    train = _ratings([0, 1], [0, 1], [2, 4], [1, 2], 2, 2)
    found = rivals.columns(Wild(), train, splits.queries(train, train, STATIC))
    assert found[features.PREDICTED_RATING].tolist() == [2, 4]
    assert figures.of_columns(found).rmse == 0


def test_features_of_the_machine() -> None:
    train = _ratings([0, 0, 0, 1], [0, 1, 2, 0], [1, 2, 3, 4], [0, 5, DAY, 7], 2, 3)
    evaluated = _ratings([0, 1], [2, 1], [3, 3], [DAY + 5, DAY], 2, 3)
    parts = FmFeatures(train, (USER_DAY, TENURE, EARLIER))
    matrix, sizes = parts.of(splits.queries(train, evaluated, STATIC))
    # Two users; three titles; days 0 and 1 of user 0 and 0 of user 1; two sets of buckets; the titles known.
    assert sizes == [2, 3, 3, 9, 8, 3]
    ends = np.cumsum(sizes)
    cells = [[(int(np.searchsorted(ends, c, "right")), c) for c in row.indices] for row in matrix]
    assert [[part for part, _ in row] for row in cells] == [[0, 1, 2, 3, 4, 5, 5, 5], [0, 1, 3, 4, 5]]
    assert matrix[:, -3:].toarray().round(6).tolist() == [[0.57735] * 3, [1, 0, 0]]
    # Of train each row knows what is earlier than it: none, one, two; none.
    known = parts.of_train()[0][:, -3:].toarray().round(6)
    assert known.tolist() == [[0, 0, 0], [1, 0, 0], [0.707107, 0.707107, 0], [0, 0, 0]]


def test_nothing_later_than_a_row_is_a_feature_of_it() -> None:
    random = np.random.RandomState(0)
    users, titles, times = (
        random.randint(0, 4, 60),
        random.randint(0, 9, 60),
        random.permutation(60) * DAY // 7,
    )
    train = _ratings(users, titles, random.randint(1, 6, 60), times, 4, 9)
    cut = int(np.median(times))
    late = times >= cut
    changed = _ratings(users, np.where(late, 8 - titles, titles), train.ratings, times, 4, 9)
    early = np.flatnonzero(~late)
    before, after = (
        FmFeatures(rows, (TENURE, EARLIER)).of_train()[0][early].toarray() for rows in (train, changed)
    )
    assert np.array_equal(before, after)
    assert before[:, -9:].any()


def test_the_search_changes_one_setting_of_a_model_of_sequences_at_a_time() -> None:
    rival = rivals.Rival(
        "m", None, models.Popularity, {"a": (1, 2, 3), "b": (4, 5)}, {"a": 2, "b": 4}, sequential=True
    )
    assert [tuple(settings.values()) for settings in rival.candidates()] == [(2, 4), (1, 4), (3, 4), (2, 5)]


@pytest.mark.parametrize(
    "edited, changed",
    [
        ("rivals/sasrec_network.py", {"SASRec, cross-entropy"}),
        ("rivals/models.py", {"popularity", "user and title biases", "EASE", "SASRec, cross-entropy"}),
    ],
)
def test_edited_code_asks_for_the_figures_of_its_models_again(tmp_path, monkeypatch, edited, changed) -> None:
    shutil.copytree(pathlib.Path(rivals.__file__).parents[1], tmp_path / "benchmarks")
    monkeypatch.setattr(rivals, "source_digest", functools.partial(source_digest, root=tmp_path))
    here = [rival for rival in rivals.RIVALS if rival.library not in rivals.LIBRARIES]
    before = {rival.name: rival.description() for rival in here}
    with (tmp_path / "benchmarks" / edited).open("a") as file:
        file.write("EDITED = True\n")
    assert {rival.name for rival in here if rival.description() != before[rival.name]} == changed


def test_settings_in_force_are_among_those_compared() -> None:
    for rival in rivals.RIVALS:
        assert dict(rival.settings) in rival.candidates(), rival.name
    assert len({rival.name for rival in rivals.RIVALS}) == len(rivals.RIVALS)


def test_the_search_sees_no_row_of_eval() -> None:
    rows = np.arange(1000)
    whole = _ratings(rows % 10, rows % 7, 1 + rows % 5, rows, 10, 7)
    train, held_out = search.validation_split(whole, seed=3)
    assert (len(train), len(held_out)) == (700, 100)
    order = np.random.RandomState(3).permutation(1000)
    # A row's second is its number here.
    assert held_out.times.tolist() == order[:100].tolist()
    assert train.times.tolist() == order[100:800].tolist()


def test_the_search_divides_train_by_time_for_a_model_of_sequences() -> None:
    rows = np.arange(1000)
    whole = _ratings(rows % 10, rows % 7, 1 + rows % 5, rows[::-1], 10, 7)
    rival = rivals.Rival("m", None, models.Popularity, sequential=True)
    train, asked = search.division(rival, whole)
    assert sorted(train.times.tolist()) == list(range(640))
    assert sorted(asked.rows.times.tolist()) == list(range(640, 800))
    assert (asked.stops - asked.starts).max() == 79


def test_the_search_prefers_the_least_error(capsys) -> None:
    users, titles = (grid.ravel() for grid in np.meshgrid(np.arange(20), np.arange(30), indexing="ij"))
    whole = _ratings(users, titles, 1 + (titles + users) % 5, np.arange(600), 20, 30)
    rival = rivals.Rival("biases", None, models.Biases, {"user_weight": (1.0, 10.0), "title_weight": (1.0,)})
    losses = [loss for loss, _ in search.compare(rival, whole)]
    assert len(losses) == 2
    assert all(0.5 < loss < 3 for loss in losses)
    assert capsys.readouterr().out.count("biases: ") == 2


@pytest.mark.parametrize(
    "rival",
    [rival for rival in rivals.RIVALS if rival.library in rivals.LIBRARIES],
    ids=lambda rival: rival.name,
)
def test_a_librarys_model_learns_a_planted_preference(rival) -> None:
    if not importlib.util.find_spec(rivals.LIBRARIES[rival.library]):
        pytest.skip("of requirements/benchmarks.lock, which is not installed")
    # Even users rate even titles, and highly; odd users odd ones; 2 of each user's 60 are withheld.
    users, titles = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(120), indexing="ij"))
    like = users % 2 == titles % 2
    rated = like | (titles % 5 == 0)
    users, titles, like = users[rated], titles[rated], like[rated]
    times = np.random.RandomState(0).permutation(len(users)) * 1000
    whole = _ratings(users, titles, np.where(like, 5, 1), times, 40, 120)
    late = times >= np.sort(times)[-300]
    train, evaluated = whole.take(np.flatnonzero(~late)), whole.take(np.flatnonzero(late))
    quick = {"iterations": 30, "n_epochs": 20} & rival.settings.keys()
    settings = {**rival.settings, **dict.fromkeys(quick, 30)}
    model = rival.fit(train, 42, **settings)
    found = rivals.columns(model, train, splits.queries(train, evaluated, ROLLING))
    if features.PREDICTED_RATING in found:
        rmse = figures.of_columns(found).rmse
        assert rmse is not None and rmse < 0.9
    else:
        liked = evaluated.ratings == 5
        assert np.mean(found[features.RANK][liked] < 70) > 0.9
