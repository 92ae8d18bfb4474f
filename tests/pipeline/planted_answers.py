"""Ratings with every model's answers planted in them as columns, and the models that answer from these.

40 ratings, of 1 to 5 stars for each gender, activity and popularity; 20 users. Unless a model says otherwise,
popularity and the item-item model find one of five and the biases err by a star and a half.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import tensorflow as tf

from modules import features

SLICES = (features.USER_GENDER, features.USER_ACTIVITY, features.TITLE_POPULARITY)
HIT, MISS, NAN = 99.0, 100.0, float("nan")


@dataclasses.dataclass(frozen=True)
class Row:
    """A rating of `number` + 1 stars; `number` is its position among the five of its kind."""

    user_gender: str
    user_activity: str
    title_popularity: str
    number: int

    @property
    def visit(self) -> str:
        """Titles of the tail are rated on return visits, those of the head in the same sitting."""
        return features.RETURN_VISIT if self.title_popularity == "tail" else features.SAME_SITTING


ROWS = [Row(*kind) for kind in itertools.product(("F", "M"), ("light", "heavy"), ("tail", "head"), range(5))]
FIRST = ROWS[0]


@dataclasses.dataclass(frozen=True)
class Planted:
    """Rank of the rated title and error of the predicted rating: a model's, and those of the baselines."""

    rank: Callable[[Row], float]
    error: Callable[[Row], float]
    popularity_rank: Callable[[Row], float] = lambda row: HIT if row.number == 0 else MISS
    bias_error: Callable[[Row], float] = lambda row: 1.5
    item_item_rank: Callable[[Row], float] = lambda row: HIT if row.number == 0 else MISS


def broken_on(feature: str, value: str) -> Planted:
    """Ranks and errors of a model that serves half of the rows well and the slice badly."""

    def is_in_slice(row: Row) -> bool:
        return getattr(row, feature) == value

    # 4 of the slice's 20 rows are hits, 0.2, and all of the other 20: 24 of 40, 0.6. The slice's errors are
    # 1.6, the others 0: sqrt(1.6 ** 2 / 2) = 1.13 overall. Half of every other slice is of this one.
    return Planted(
        lambda row: HIT if not is_in_slice(row) or row.number == 0 else MISS,
        lambda row: 1.6 if is_in_slice(row) else 0.0,
    )


def four_of_five(row: Row) -> float:
    return HIT if row.number < 4 else MISS


MODELS: dict[str, Planted] = {
    # 4 of 5: 0.8.
    "good": Planted(four_of_five, lambda row: 0.5),
    # 2 of 5: 0.4.
    "bad": Planted(lambda row: HIT if row.number < 2 else MISS, lambda row: 1.3),
    # 3 of 5, 0.6: above the bound, 0.2 below the good one; the error 0.3 above it.
    "worse": Planted(lambda row: HIT if row.number < 3 else MISS, lambda row: 0.8),
    "perfect": Planted(lambda row: HIT, lambda row: 0.2),
    # One hit less than the good one in 40, 0.775; one error above.
    "hardly worse": Planted(
        lambda row: HIT if row.number < 4 and row != FIRST else MISS, lambda row: 0.6 if row == FIRST else 0.5
    ),
    # A random order finds 100 of 2,000, the mean rating errs by 1.41.
    "worse than chance": Planted(lambda row: MISS, lambda row: 2.0),
    "no rank once": Planted(lambda row: NAN if row == FIRST else HIT, lambda row: 0.5),
    "no rating once": Planted(lambda row: HIT, lambda row: NAN if row == FIRST else 0.5),
    # These are as good as the good one, but the baseline is better, or hardly worse.
    "below its baselines": Planted(four_of_five, lambda row: 0.5, lambda row: HIT, lambda row: 0.4),
    "hardly above its baselines": Planted(
        four_of_five,
        lambda row: 0.5,
        lambda row: four_of_five(row) if row != FIRST else MISS,
        lambda row: 0.5 if row != FIRST else 0.6,
    ),
    "below the item-item model": Planted(four_of_five, lambda row: 0.5, item_item_rank=lambda row: HIT),
    # 24 of 40 against the item-item model's 12; on return visits 4 of 20 against all of these 12.
    "below the item-item model on return visits": Planted(
        lambda row: HIT if row.visit == features.SAME_SITTING or row.number == 0 else MISS,
        lambda row: 0.5,
        item_item_rank=lambda row: HIT if row.visit == features.RETURN_VISIT and row.number < 3 else MISS,
    ),
    **{
        f"broken on {value}": broken_on(feature, value)
        for feature, value in zip(SLICES, ("F", "heavy", "tail"), strict=True)
    },
}


RETRIEVAL_COLUMNS = (
    *(features.RANK, features.RANK_UNSEEN),
    *(features.POPULARITY_RANK_UNSEEN, features.ITEM_ITEM_RANK_UNSEEN),
    *(features.TOP_UNSEEN, features.NUM_CANDIDATES, features.NUM_EXCLUDED),
)
RATING_COLUMNS = (features.PREDICTED_RATING, features.BIAS_RATING, features.MEAN_RATING)


class PlantedModel(tf.Module):
    """Answers from the columns of one of MODELS."""

    def __init__(self, name: str, columns: Iterable[str]):
        super().__init__()
        self._name = name
        self._columns = tuple(columns)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.EXAMPLES_INPUT)])
    def eval(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        fields = [field.name for field in dataclasses.fields(Planted)]
        rating = tf.io.parse_example(examples, {features.RATING: tf.io.FixedLenFeature([], tf.float32)})
        spec = {f"{field} of {self._name}": tf.io.FixedLenFeature([], tf.float32) for field in fields}
        row = {key.split()[0]: value for key, value in tf.io.parse_example(examples, spec).items()}
        shown = tf.range(features.COVERAGE_DEPTH)[tf.newaxis]
        answer = {
            **dict.fromkeys((features.RANK, features.RANK_UNSEEN), row["rank"]),
            features.POPULARITY_RANK_UNSEEN: row["popularity_rank"],
            features.ITEM_ITEM_RANK_UNSEEN: row["item_item_rank"],
            features.TOP_UNSEEN: tf.repeat(shown, tf.size(examples), axis=0),
            features.NUM_CANDIDATES: tf.fill(tf.shape(examples), 2_000),
            features.NUM_EXCLUDED: tf.zeros_like(row["rank"], tf.int32),
            features.PREDICTED_RATING: rating[features.RATING] + row["error"],
            features.BIAS_RATING: rating[features.RATING] + row["bias_error"],
            features.MEAN_RATING: tf.fill(tf.shape(examples), 3.0),
        }
        return {name: answer[name] for name in self._columns}


def example(row: Row, gender: str | None = None) -> bytes:
    """The row as the ExampleGen would write it, with the columns of all models."""
    texts = {
        features.USER_ID: f"{row.user_gender} {row.user_activity} {row.number}",
        **{name: getattr(row, name) for name in (*SLICES, features.VISIT)},
        features.USER_GENDER: gender or row.user_gender,
    }
    numbers = {features.RATING: 1.0 + row.number}
    for name, planted in MODELS.items():
        for field in dataclasses.fields(Planted):
            numbers[f"{field.name} of {name}"] = getattr(planted, field.name)(row)
    message = tf.train.Example()
    for key, text in texts.items():
        message.features.feature[key].bytes_list.value.append(text.encode())
    for key, number in numbers.items():
        message.features.feature[key].float_list.value.append(number)
    return message.SerializeToString()
