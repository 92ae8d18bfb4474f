"""The sequence tower: what it learns from in windows is what it is asked in service, and strictly causal."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.data import sequences
from modules.hyperparameters import HistoryConfig, RetrievalConfig, SequenceConfig
from modules.towers.sequence import SequenceTower
from modules.towers.tower import Tower

TITLES, DIM = 30, 8
SIZES = {features.USER_ID: 10, features.MOVIE_TITLE: TITLES + 1, features.TIMESTAMP_BUCKET: 1001}
CONFIG = RetrievalConfig(
    query_features=(features.USER_ID, features.TIMESTAMP_BUCKET),
    candidate_features=(features.MOVIE_TITLE,),
    history=HistoryConfig(),
    embedding_dim=DIM,
    learning_rate=0.1,
    batch_size=8,
    epochs=1,
)


@pytest.fixture(scope="module")
def stream() -> dict[str, np.ndarray]:
    """Nine users' ratings by time, some in one second; two have more than a history holds."""
    draw = np.random.default_rng(0)
    rows = []
    for user in range(9):
        seconds = 1000
        for _ in range(draw.integers(1, 40) if user > 1 else 170):
            seconds += int(draw.choice([0, 1, 7, 100, 5000]))
            rows.append(
                (user, seconds, draw.integers(0, TITLES), draw.integers(1, 6), draw.integers(0, 1000))
            )
    rows.sort(key=lambda row: row[:2])
    columns = np.array(rows).T
    names = (features.USER_ID, features.TIMESTAMP, features.MOVIE_TITLE)
    return {
        **dict(zip(names, columns, strict=False)),
        features.RATING: columns[3].astype(np.float32),
        features.TIMESTAMP_BUCKET: columns[4],
    }


@pytest.fixture(scope="module")
def tower(stream: dict[str, np.ndarray]) -> SequenceTower:
    candidates = Tower((features.MOVIE_TITLE,), SIZES, DIM)
    titles = {features.MOVIE_TITLE: np.arange(TITLES + 1)[:, np.newaxis]}
    sequence = SequenceConfig(embedding_dim=DIM)
    tower = SequenceTower(CONFIG, sequence, SIZES, candidates, titles, (1.0, 5.0))
    windows(tower, stream)
    draw = np.random.default_rng(1)
    for variable in tower.trainable_variables:
        variable.assign(draw.normal(0, 0.4, variable.shape))
    return tower


def window(stream: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    counts = sequences.counts(stream[features.USER_ID], stream[features.TIMESTAMP])
    return {name: tf.constant(values[np.newaxis]) for name, values in {**stream, **counts}.items()}


def windows(tower: SequenceTower, stream: dict[str, np.ndarray]) -> np.ndarray:
    """Embed all ratings of a stream as one window."""
    return tower.positions(window(stream), 0, training=False).numpy()


def histories(stream: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that Transform would write for each rating."""
    users, seconds = stream[features.USER_ID], stream[features.TIMESTAMP]
    shape = (len(users), features.HISTORY_LENGTH)
    titles, ages = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    ratings = np.zeros(shape, np.float32)
    for row in range(len(users)):
        earlier = np.flatnonzero((users == users[row]) & (seconds < seconds[row]))[::-1]
        earlier = earlier[: features.HISTORY_LENGTH]
        columns = slice(len(earlier))
        titles[row, columns] = stream[features.MOVIE_TITLE][earlier] + 1
        ratings[row, columns] = stream[features.RATING][earlier]
        ages[row, columns] = seconds[row] - seconds[earlier]
    names = (features.HISTORY_TITLE, features.HISTORY_RATING, features.HISTORY_AGE)
    return dict(zip(names, (titles, ratings, ages), strict=True))


def test_a_query_in_a_window_is_the_query_by_its_history(tower: SequenceTower, stream) -> None:
    """In the windows of a pass, and where the stream is short and goes round."""
    history = histories(stream)
    query = {name: stream[name][:, np.newaxis] for name in CONFIG.query_features}
    by_history = tower({name: tf.constant(values) for name, values in {**query, **history}.items()})
    counts = sequences.counts(stream[features.USER_ID], stream[features.TIMESTAMP])
    columns = {**stream, **counts, "row": np.arange(len(counts[sequences.ORDER]))}
    few = {name: values[stream[features.USER_ID] == 0][:60] for name, values in columns.items()}
    for read in (columns, few):
        for batch in sequences.windows(read, 1, seed=0):
            row = batch.pop("row").numpy()[0, sequences.CONTEXT :]
            received = tower.positions(batch, sequences.CONTEXT, training=False)
            # Where ratings of the oldest second of a full history are cut off, the gap before it is unknown.
            ages = history[features.HISTORY_AGE][row]
            certain = (ages[:, -1] != ages[:, -2]) | (ages[:, -1] == 0)
            assert certain.mean() > 0.6
            expected = by_history.numpy()[row]
            np.testing.assert_allclose(received.numpy()[certain], expected[certain], atol=1e-5)


@pytest.mark.parametrize("name", [features.MOVIE_TITLE, features.RATING])
def test_a_query_knows_nothing_of_its_own_second_or_later_or_of_another_user(
    tower: SequenceTower, stream, name: str
) -> None:
    before = windows(tower, stream)
    users, seconds = stream[features.USER_ID], stream[features.TIMESTAMP]
    changed = len(users) // 2
    values = stream[name].copy()
    values[changed] = 1 + (values[changed] + 1) % 4
    after = windows(tower, {**stream, name: values})
    knows = (users == users[changed]) & (seconds > seconds[changed])
    assert knows.any()
    np.testing.assert_array_equal(after[~knows], before[~knows])
    assert np.all(np.abs(after[knows] - before[knows]).max(axis=1) > 1e-4)


def test_values_are_left_out_in_training_alone(tower: SequenceTower, stream) -> None:
    first = windows(tower, stream)
    again = windows(tower, stream)
    np.testing.assert_array_equal(first, again)
    thinned = tower.positions(window(stream), 0, training=True)
    assert np.abs(thinned - first).max() > 0.1
