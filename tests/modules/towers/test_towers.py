"""Towers and the factorisation machine against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.towers.history import HistoryEncoder
from modules.towers.rating_head import RatingHead
from modules.towers.tower import Ensemble, Tower

QUERY = (features.USER_ID, features.USER_GENDER, features.TIMESTAMP_NORMALIZED)
CANDIDATE = (features.MOVIE_TITLE, features.TITLE_TOKENS, features.MOVIE_YEAR)
SIZES = {
    features.USER_ID: 5,
    features.USER_GENDER: 3,
    features.MOVIE_TITLE: 7,
    features.TITLE_TOKENS: 6,
    features.MOVIE_YEAR: 4,
}
# The first row's set has two members, the second's one, the third's none; 0 is padding.
INPUTS: dict[str, list[list]] = {
    features.USER_ID: [[4], [0], [2]],
    features.USER_GENDER: [[1], [2], [0]],
    features.TIMESTAMP_NORMALIZED: [[0.5], [-2.0], [0.0]],
    features.MOVIE_TITLE: [[6], [1], [3]],
    features.TITLE_TOKENS: [[2, 5, 0], [3, 0, 0], [0, 0, 0]],
    features.MOVIE_YEAR: [[3], [0], [1]],
}
# Three ratings before, one, and none.
HISTORY: dict[str, list[list]] = {
    features.HISTORY_TITLE: [[3, 7, 1], [2, 0, 0], [0, 0, 0]],
    features.HISTORY_RATING: [[5.0, 1.0, 3.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    features.HISTORY_AGE: [[1, 10, 120 * 86_400], [2, 0, 0], [0, 0, 0]],
}
# How many of features.GAP_BOUNDARIES the ages reach.
GAPS = [[1, 4, 17], [2, 0, 0], [0, 0, 0]]
INPUTS.update(HISTORY)
# The candidates' features by index in the titles' vocabulary.
TITLES = {
    features.MOVIE_TITLE: np.arange(7)[:, np.newaxis],
    features.TITLE_TOKENS: np.array(
        [[1, 2, 0], [3, 0, 0], [0, 0, 0], [5, 4, 1], [2, 0, 0], [4, 3, 0], [0, 0, 0]]
    ),
    features.MOVIE_YEAR: np.array([[0], [1], [2], [3], [3], [1], [0]]),
}
TENSORS = {name: tf.constant(values) for name, values in INPUTS.items()}
DIM = 4


def tables(tower: Tower) -> dict[str, np.ndarray]:
    """Weights by feature, for towers that were called."""
    return {layer.name: layer.get_weights()[0] for layer in tower.layers}


def embedded(weights: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """What each feature of a row contributes, by NumPy."""
    result = {}
    for name, table in weights.items():
        values = INPUTS[name][row]
        if name == features.TIMESTAMP_NORMALIZED:
            result[name] = values[0] * table[0]
        elif name == features.TITLE_TOKENS:
            members = [table[value] for value in values if value > 0]
            result[name] = np.mean(members, axis=0) if members else np.zeros(table.shape[1])
        else:
            result[name] = table[values[0]]
    return result


def test_a_tower_is_the_sum_of_its_features_embeddings() -> None:
    for names in (QUERY, CANDIDATE):
        tower = Tower(names, SIZES, DIM, limit=1.0)
        received = tower(TENSORS).numpy()
        assert received.shape == (3, DIM)
        for row in range(3):
            expected = sum(embedded(tables(tower), row).values())
            np.testing.assert_allclose(received[row], expected, rtol=1e-5, atol=1e-6)


def history_encoder(dropout: float = 0.0, tied: bool = True) -> HistoryEncoder:
    candidates = Tower(CANDIDATE, SIZES, DIM, limit=1.0)
    return HistoryEncoder(candidates, TITLES, tied, dropout, limit=1.0)


def title_embeddings(encoder: HistoryEncoder) -> np.ndarray:
    """By index: the encoder's own, or else the candidate tower's."""
    for table, _ in encoder.indexed_tables:
        return table.numpy()
    return encoder._candidates({name: tf.constant(values) for name, values in TITLES.items()}).numpy()


def encoded_history(encoder: HistoryEncoder, row: int) -> np.ndarray:
    """The history's embedding by NumPy."""
    embeddings = title_embeddings(encoder)
    own = {weight.name.split("/")[-1].split(":")[0]: weight.numpy() for weight in encoder.weights}
    history = [
        (embeddings[title - 1], gap)
        for title, gap in zip(HISTORY[features.HISTORY_TITLE][row], GAPS[row], strict=True)
        if title > 0
    ]
    if not history:
        return own["returns"][-1]
    past = []
    for rank, (vector, gap) in enumerate(history):
        attention = (history[0][0] @ own["queries"]) @ (vector @ own["keys"]) / np.sqrt(own["keys"].shape[1])
        past.append(
            (np.exp(own["logits"][gap] + own["ranks"][rank] + attention), own["scales"][gap] * vector)
        )
    # The 1 is the exponential of the logit that stands for nothing.
    total = 1.0 + sum(weight for weight, _ in past)
    return own["returns"][history[0][1]] + sum(weight / total * vector for weight, vector in past)


def randomised(layer: tf.keras.layers.Layer) -> None:
    """Move every weight off where it starts."""
    draw = np.random.default_rng(3)
    layer.set_weights([weight + draw.normal(0, 0.5, weight.shape) for weight in layer.get_weights()])


@pytest.mark.parametrize("tied", [True, False])
def test_a_history_is_a_weighted_mean_of_titles_and_the_time_since_the_latest_of_them(tied: bool) -> None:
    encoder = history_encoder(tied=tied)
    encoder(TENSORS)
    randomised(encoder)
    assert bool(encoder.indexed_tables) is not tied
    received, norm = encoder(TENSORS, training=True)
    for row in range(3):
        expected = encoded_history(encoder, row)
        np.testing.assert_allclose(received[row], expected, rtol=1e-4, atol=1e-5)
    squares = np.sum(np.square(title_embeddings(encoder)), axis=1)
    expected = np.mean([squares[[2, 6, 0]].sum() / 4, squares[1] / 2, 0.0])
    assert float(norm) == pytest.approx(expected, rel=1e-5)


def test_a_history_is_thinned_out_in_training_alone() -> None:
    encoder = history_encoder(dropout=0.5)
    whole, _ = encoder(TENSORS)
    for row in range(3):
        expected = encoded_history(encoder, row)
        np.testing.assert_allclose(whole[row], expected, rtol=1e-4, atol=1e-5)
    tf.random.set_seed(1)
    seen = {encoder(TENSORS, training=True)[0][0].numpy().tobytes() for _ in range(20)}
    assert len(seen) > 3


def test_users_and_timestamps_are_replaced_by_unknown_in_training_alone() -> None:
    names, sizes = (features.USER_ID, features.TIMESTAMP_BUCKET), {**SIZES, features.TIMESTAMP_BUCKET: 4}
    rows = 4_000
    inputs = {features.USER_ID: tf.ones([rows, 1], tf.int64), features.TIMESTAMP_BUCKET: tf.zeros([rows, 1])}
    inputs[features.TIMESTAMP_BUCKET] = tf.cast(inputs[features.TIMESTAMP_BUCKET], tf.int64)
    tower = Tower(names, sizes, DIM, limit=1.0, unknown_share=0.25)
    plain = tower(inputs).numpy()
    users, timestamps = (tables(tower)[name] for name in names)
    np.testing.assert_allclose(plain, np.tile(users[1] + timestamps[0], (rows, 1)), rtol=1e-5)
    tf.random.set_seed(1)
    received = tower(inputs, training=True).numpy()
    # The last row of a table stands for what train does not know.
    shares = {
        (user, timestamp): np.isclose(received, users[user] + timestamps[timestamp], atol=1e-6)
        .all(axis=1)
        .mean()
        for user in (1, 4)
        for timestamp in (0, 3)
    }
    assert sum(shares.values()) == 1 and shares[4, 0] == 0
    assert shares[4, 3] == pytest.approx(0.25, abs=0.03)
    assert shares[1, 3] == pytest.approx(0.25, abs=0.03)


def test_a_tower_adds_the_history_and_a_residual_block_over_the_sum() -> None:
    encoder = history_encoder()
    tower = Tower(QUERY, SIZES, DIM, limit=1.0, history=encoder, hidden_units=6)
    first = tower(TENSORS).numpy()
    layers = {layer.name: layer for layer in tower.layers}
    assert layers.pop("history") is encoder
    (block,) = [layers.pop(name) for name in list(layers) if name.startswith("sequential")]
    weights = {name: layer.get_weights()[0] for name, layer in layers.items()}

    def plain_sum(row: int) -> np.ndarray:
        return sum(embedded(weights, row).values()) + encoded_history(encoder, row)

    for row in range(3):
        np.testing.assert_allclose(first[row], plain_sum(row), rtol=1e-4, atol=1e-5)
    randomised(block)
    kernel, bias, back = block.get_weights()
    assert (kernel.shape, back.shape) == ((DIM, 6), (6, DIM))
    received = tower(TENSORS).numpy()
    for row in range(3):
        total = plain_sum(row)
        expected = total + np.maximum(total @ kernel + bias, 0) @ back
        np.testing.assert_allclose(received[row], expected, rtol=1e-4, atol=1e-5)


def test_the_products_of_an_ensemble_are_the_sum_of_its_towers() -> None:
    queries, candidates = (
        [Tower(side, SIZES, DIM, limit=1.0) for _ in range(2)] for side in (QUERY, CANDIDATE)
    )
    query, candidate = (Ensemble(towers)(TENSORS).numpy() for towers in (queries, candidates))
    assert query.shape[1] == candidate.shape[1] == 2 * DIM
    members = [q(TENSORS).numpy() @ c(TENSORS).numpy().T for q, c in zip(queries, candidates, strict=True)]
    np.testing.assert_allclose(query @ candidate.T, sum(members), rtol=1e-4, atol=1e-5)
    assert not np.allclose(*members)


@pytest.mark.parametrize("scaled_dims", [0, 3, DIM])
def test_both_sides_and_the_head_are_a_factorisation_machine(scaled_dims: int) -> None:
    """The double sum over pairs of features of two sides; the first products may have a scale."""
    query_tower = Tower(QUERY, SIZES, DIM + 1, limit=1.0)
    candidate_tower = Tower(CANDIDATE, SIZES, DIM + 1, limit=1.0)
    head = RatingHead(None, mean_rating=3.5, scaled_dims=scaled_dims)
    received = head(query_tower(TENSORS), candidate_tower(TENSORS)).numpy()
    scale = np.ones(DIM)
    if scaled_dims:
        scale[:scaled_dims] = [0.5, 2.0, -1.0, 0.0][:scaled_dims]
        learned = scale[:scaled_dims]
        head.set_weights([weight if weight.shape == () else learned for weight in head.get_weights()])
        received = head(query_tower(TENSORS), candidate_tower(TENSORS)).numpy()
    for row in range(3):
        sides = [embedded(tables(query_tower), row), embedded(tables(candidate_tower), row)]
        expected = 3.5 + sum(vector[DIM] for side in sides for vector in side.values())
        for v, w in itertools.product(*(side.values() for side in sides)):
            expected += np.sum(v[:DIM] * w[:DIM] * scale)
        np.testing.assert_allclose(received[row], [expected], rtol=1e-4, atol=1e-5)


def test_a_machine_starts_at_the_mean_rating_and_learns_it() -> None:
    head = RatingHead(None, mean_rating=3.5)
    nothing = tf.zeros([2, DIM + 1])
    assert head(nothing, nothing).numpy().tolist() == [[3.5], [3.5]]
    assert [weight.trainable for weight in head.weights] == [True]


def test_a_dense_head_is_rectified_layers_over_both_embeddings() -> None:
    head = RatingHead((3, 2), mean_rating=3.5)
    query, candidate = tf.random.stateless_normal([2, 5, DIM], seed=(1, 2))
    received = head(query, candidate).numpy()
    layer = np.concatenate([query, candidate], axis=1)
    *hidden, (kernel, bias) = zip(head.get_weights()[::2], head.get_weights()[1::2], strict=True)
    assert [weights.shape for weights, _ in hidden] == [(2 * DIM, 3), (3, 2)]
    for weights, offset in hidden:
        layer = np.maximum(layer @ weights + offset, 0)
    np.testing.assert_allclose(received, layer @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_l2_is_the_mean_over_rows_of_the_squared_norm_of_what_was_looked_up_and_only_in_training() -> None:
    tower = Tower(QUERY, SIZES, DIM, l2=0.25, limit=1.0)
    tower(TENSORS)
    assert not tower.losses
    tower(TENSORS, training=True)
    squares = [sum(np.sum(v**2) for v in embedded(tables(tower), row).values()) for row in range(3)]
    (loss,) = tower.losses
    assert float(loss) == pytest.approx(0.25 * np.mean(squares), rel=1e-5)
