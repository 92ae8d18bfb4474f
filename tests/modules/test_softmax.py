"""The retrieval task against NumPy: the whole catalogue, the batch, and its corrections."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from modules import features
from modules.data.dataset import Catalogue, Interactions
from modules.data.known import KNOWN
from modules.hyperparameters import SoftmaxConfig
from modules.softmax import CandidateSoftmax

# Positions in the catalogue are 0 to 4; their indices in the vocabulary are these. Nobody rated the last, so
# it is out of vocabulary, index 4.
TITLE_INDICES = np.array([2, 0, 3, 1, 4])
# Rows of train by position: shares 0.4, 0.3, 0.2, 0.1 and 0.
RATED = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
# The batch holds the first position twice.
BATCH = np.array([0, 3, 0, 1])
BATCH_ONLY = {"full_up_to": 4}
PLAIN = {**BATCH_ONLY, "sampling_correction": False, "remove_accidental_hits": False}


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Candidates' embeddings by vocabulary index."""
    return np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)


@pytest.fixture
def make_loss(vectors: np.ndarray, queries: np.ndarray):
    """Compute the loss of a batch of positions under some options, titles having some indices."""
    interactions = Interactions(
        users=np.zeros_like(RATED),
        positions=RATED,
        ratings=np.full(len(RATED), 3.0),
        timestamps=np.arange(len(RATED)),
        mean_rating=3.0,
        rating_range=(1.0, 5.0),
        user_features={},
        num_users=1,
    )

    def loss(
        indices: np.ndarray,
        batch: np.ndarray,
        size: int,
        columns: dict[str, np.ndarray] | None = None,
        **options,
    ) -> float:
        catalogue = Catalogue(
            movie_ids=np.arange(5),
            titles=np.arange(5),
            transformed={features.MOVIE_TITLE: indices[:, np.newaxis]},
        )
        task = CandidateSoftmax(
            SoftmaxConfig(**options),
            catalogue,
            interactions,
            lambda inputs, training: tf.gather(vectors, tf.squeeze(inputs[features.MOVIE_TITLE], 1)),
            num_title_indices=size,
            exclude_history=columns is not None,
        )
        inputs = {features.MOVIE_TITLE: tf.constant(indices[batch][:, np.newaxis])}
        inputs |= {name: tf.constant(values) for name, values in (columns or {}).items()}
        return float(task(tf.constant(queries), inputs))

    return loss


@pytest.fixture
def loss(make_loss):
    return lambda columns=None, **options: make_loss(TITLE_INDICES, BATCH, 5, columns, **options)


def cross_entropy(logits: np.ndarray, own: np.ndarray) -> float:
    """Sum over rows of minus the log of the own column's softmax, in float64."""
    logits = logits.astype(np.float64)
    rows = np.arange(len(logits))
    return float(np.sum(np.log(np.sum(np.exp(logits), axis=1)) - logits[rows, own]))


@pytest.fixture
def batch_logits(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return queries @ vectors[TITLE_INDICES[BATCH]].T


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_the_full_softmax_is_over_every_candidate(loss, vectors, queries, temperature: float) -> None:
    logits = queries @ vectors[TITLE_INDICES].T / temperature
    received = loss(full_up_to=5, temperature=temperature)
    assert received == pytest.approx(cross_entropy(logits, BATCH), rel=1e-5)


@pytest.mark.parametrize("column", [features.HISTORY_TITLE, KNOWN])
def test_what_a_user_had_rated_before_is_no_negative(loss, vectors, queries, column: str) -> None:
    logits = queries @ vectors[TITLE_INDICES].T
    # By position; the own candidates of the second and the fourth row are rated again, and so stay.
    rated = [[1, 2], [BATCH[1], 4], [], [1, 1]]
    history, known = np.zeros((4, 2), np.int64), np.zeros((4, 5), bool)
    for row, positions in enumerate(rated):
        history[row, : len(positions)] = TITLE_INDICES[positions] + 1
        known[row, positions] = True
        logits[row, [position for position in positions if position != BATCH[row]]] = -np.inf
    received = loss({column: history if column == features.HISTORY_TITLE else known}, full_up_to=5)
    assert received == pytest.approx(cross_entropy(logits, BATCH), rel=1e-5)
    assert received < loss(full_up_to=5)


@pytest.mark.parametrize("column", [None, features.HISTORY_TITLE, KNOWN])
def test_drawn_negatives_stand_for_all_but_the_own_candidate_and_those_rated_before(
    loss, vectors, queries, column: str | None
) -> None:
    """Each loss is that of one of the ten threes among five candidates, and each three is drawn."""
    tf.random.set_seed(1)
    logits = queries @ vectors[TITLE_INDICES].T
    rated = np.zeros((4, 5), bool)
    rated[[0, 0, 1], [1, 2, BATCH[1]]] = column is not None  # The second row's own is rated again.
    history = np.where(rated, TITLE_INDICES + 1, 0)
    columns = column and {column: history if column == features.HISTORY_TITLE else rated}
    own = np.arange(5) == BATCH[:, np.newaxis]
    expected = set()
    for drawn in itertools.combinations(range(5), 3):
        negative = np.isin(np.arange(5), drawn) & ~rated & ~own
        counted = np.where(own, logits, np.where(negative, logits + np.log(5 / 3), -np.inf))
        expected.add(round(cross_entropy(counted, BATCH), 3))
    received = {round(loss(columns, full_up_to=5, max_negatives=3), 3) for _ in range(100)}
    assert len(expected) == 10
    assert received == expected


def test_as_many_negatives_as_candidates_are_all_of_them(loss) -> None:
    assert loss(full_up_to=5, max_negatives=5) == loss(full_up_to=5)


def test_the_plain_batch_softmax_is_the_tutorials(loss, batch_logits) -> None:
    assert loss(**PLAIN) == pytest.approx(cross_entropy(batch_logits, np.arange(4)), rel=1e-5)


def test_the_sampling_correction_takes_off_the_log_of_a_candidates_share_of_train(loss, batch_logits) -> None:
    logits = batch_logits / 0.5 - np.log(SHARES[BATCH])
    received = loss(**BATCH_ONLY, sampling_correction=True, remove_accidental_hits=False, temperature=0.5)
    assert received == pytest.approx(cross_entropy(logits, np.arange(4)), rel=1e-5)


def test_a_candidate_met_again_in_the_batch_is_no_negative(loss, batch_logits) -> None:
    logits = batch_logits.copy()
    logits[0, 2] = logits[2, 0] = -np.inf
    received = loss(**BATCH_ONLY, sampling_correction=False, remove_accidental_hits=True)
    assert received == pytest.approx(cross_entropy(logits, np.arange(4)), rel=1e-5)
    assert received < loss(**PLAIN)


def test_both_corrections_are_on_by_default(loss, batch_logits) -> None:
    logits = batch_logits - np.log(SHARES[BATCH])
    logits[0, 2] = logits[2, 0] = -np.inf
    assert loss(**BATCH_ONLY) == pytest.approx(cross_entropy(logits, np.arange(4)), rel=1e-5)


def test_a_catalogue_of_the_greatest_size_gets_the_full_softmax(loss) -> None:
    assert loss(full_up_to=5) == loss(full_up_to=20_000)
    assert loss(full_up_to=4) == loss(full_up_to=0) != loss(full_up_to=5)


def test_hard_negatives_are_those_that_score_highest(loss, batch_logits) -> None:
    logits = batch_logits.copy()
    for row in range(4):
        negatives = [column for column in range(4) if column != row]
        logits[row, min(negatives, key=lambda column: logits[row, column])] = -np.inf
    assert loss(num_hard_negatives=2, **PLAIN) == pytest.approx(cross_entropy(logits, np.arange(4)), rel=1e-5)


class TestCappedTitles:
    """Positions 1 and 3, which train has, and 4 share the index that is out of vocabulary, 3."""

    INDICES = np.array([0, 3, 2, 3, 3])
    INSIDE = np.array([0, 0])  # Of BATCH, the rows whose title has an index of its own.

    @pytest.fixture
    def loss(self, vectors: np.ndarray, queries: np.ndarray, make_loss):
        return lambda **options: make_loss(self.INDICES, BATCH, 4, **options)

    def test_the_full_softmax_leaves_out_rows_of_titles_without_a_position(
        self, loss, vectors, queries
    ) -> None:
        logits = (queries @ vectors[self.INDICES].T)[[0, 2]]
        assert loss(full_up_to=5) == pytest.approx(cross_entropy(logits, self.INSIDE), rel=1e-5)

    def test_in_a_batch_they_are_one_candidate_with_the_share_of_all(self, loss, vectors, queries) -> None:
        shares = np.array([0.4, 0.3 + 0.1, 0.4, 0.3 + 0.1])
        logits = queries @ vectors[self.INDICES[BATCH]].T - np.log(shares)
        logits[0, 2] = logits[2, 0] = logits[1, 3] = logits[3, 1] = -np.inf
        assert loss(**BATCH_ONLY) == pytest.approx(cross_entropy(logits, np.arange(4)), rel=1e-5)
