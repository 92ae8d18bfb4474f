"""Names of features and signatures: the contract between data, models and serving.

Every layer imports this file: the ExampleGen writes these names, Transform reads them, the models
export these signatures, the IndexPusher and the Evaluators call them. Standard library only, so that
the compiler and the tests can read it without TensorFlow.
"""

import dataclasses
import enum

# --- Raw features: what MovieLensExampleGen writes, and what a request carries. -------------------
USER_ID = "user_id"
USER_GENDER = "user_gender"
USER_AGE = "user_age"
USER_OCCUPATION = "user_occupation"
MOVIE_ID = "movie_id"
MOVIE_TITLE = "movie_title"
MOVIE_GENRES = "movie_genres"
MOVIE_YEAR = "movie_year"
RATING = "user_rating"
TIMESTAMP = "timestamp"
HISTORY_TITLE = "history_title"
HISTORY_RATING = "history_rating"
HISTORY_TIMESTAMP = "history_timestamp"

# Slicing keys, never a model's input: levels of counts over the train split, and one of VISITS.
USER_ACTIVITY = "user_activity"
TITLE_POPULARITY = "title_popularity"
VISIT = "visit"

# By how long before a row its user's latest known rating is: there is none; at most VISIT_GAP; longer.
FIRST_VISIT, SAME_SITTING, RETURN_VISIT = VISITS = ("first", "sitting", "return")
VISIT_GAP = 3600  # Seconds.

# What a slice may be of, where the data tell: levels ascend.
SLICE_VALUES = {
    USER_ACTIVITY: ("cold", "light", "medium", "heavy"),
    USER_GENDER: ("F", "M"),
    VISIT: VISITS,
    TITLE_POPULARITY: ("unseen", "tail", "torso", "head"),
}

UNKNOWN = "unknown"
UNKNOWN_AGE = -1
UNKNOWN_YEAR = 0

# --- Splits of the two Examples artifacts. --------------------------------------------------------
TRAIN_SPLIT = "train"
EVAL_SPLIT = "eval"
CATALOGUE_SPLIT = "catalogue"


class Dtype(enum.Enum):
    """Wire type of a raw feature in a tf.train.Example; its value is what tf.as_dtype takes."""

    BYTES = "string"
    INT = "int64"
    FLOAT = "float32"


@dataclasses.dataclass(frozen=True)
class RawFeature:
    """One column as the ExampleGen writes it.

    Attributes:
      name: the key in the tf.train.Example.
      dtype: its wire type.
      default: what stands for an absent value; also what a request may send.
      repeated: True where a row holds any number of values, False where exactly one.
    """

    name: str
    dtype: Dtype
    default: str | int | float
    repeated: bool = False


CANDIDATE_FEATURES = (
    RawFeature(MOVIE_ID, Dtype.BYTES, ""),
    RawFeature(MOVIE_TITLE, Dtype.BYTES, ""),
    RawFeature(MOVIE_GENRES, Dtype.BYTES, UNKNOWN, repeated=True),
    RawFeature(MOVIE_YEAR, Dtype.INT, UNKNOWN_YEAR),
)

# The user's latest ratings strictly before TIMESTAMP, latest first: three lists of one length. In an example
# they are as the split's rule lets them be known; in a request they may be empty, and are then taken from the
# train split where the user occurs there. As tensors `[batch, any]`, shorter rows end in the defaults.
HISTORY_FEATURES = (
    RawFeature(HISTORY_TITLE, Dtype.BYTES, "", repeated=True),
    RawFeature(HISTORY_RATING, Dtype.FLOAT, 0.0, repeated=True),
    RawFeature(HISTORY_TIMESTAMP, Dtype.INT, 0, repeated=True),
)
# Ratings in a history, at most; and in that of a train row, which towers that are fitted to rows read. Those
# that are fitted to sequences know the ratings before a row from the rows themselves, and the tower of
# modules/towers/linear_autoencoder.py is fitted to no history.
HISTORY_LENGTH = 100
TRAIN_HISTORY_LENGTH = 20

# Titles that may not be recommended, `[batch, any]`: what a request adds to those that the model knows to be
# rated.
EXCLUDE_TITLE = "exclude_title"
EXCLUDE_FEATURE = RawFeature(EXCLUDE_TITLE, Dtype.BYTES, "", repeated=True)

# Ids of the movies that are no candidates for an eval row: those that the user rated in train, or before the
# row where a split by time is rolling. A train row has none. The row holds all of them, so that every model
# and baseline ranks the same candidates, whatever each was trained on.
EXCLUDE_ID = "exclude_movie_id"
EXCLUDE_ID_FEATURE = RawFeature(EXCLUDE_ID, Dtype.BYTES, "", repeated=True)

QUERY_FEATURES = (
    RawFeature(USER_ID, Dtype.BYTES, ""),
    RawFeature(TIMESTAMP, Dtype.INT, 0),
    RawFeature(USER_GENDER, Dtype.BYTES, UNKNOWN),
    RawFeature(USER_AGE, Dtype.INT, UNKNOWN_AGE),
    RawFeature(USER_OCCUPATION, Dtype.BYTES, UNKNOWN),
    *HISTORY_FEATURES,
)

LABEL_FEATURES = (RawFeature(RATING, Dtype.FLOAT, 0.0),)

SLICE_FEATURES = (
    RawFeature(USER_ACTIVITY, Dtype.BYTES, UNKNOWN),
    RawFeature(TITLE_POPULARITY, Dtype.BYTES, UNKNOWN),
    RawFeature(VISIT, Dtype.BYTES, UNKNOWN),
)

CATALOGUE_ROW = CANDIDATE_FEATURES
RATING_ROW = (*QUERY_FEATURES, EXCLUDE_ID_FEATURE, *CANDIDATE_FEATURES, *LABEL_FEATURES, *SLICE_FEATURES)

# --- Transformed features: what Transform writes and the towers read. ------------------------------


class Side(enum.Enum):
    """Which tower reads a transformed feature."""

    QUERY = "query"
    CANDIDATE = "candidate"


class Encoding(enum.Enum):
    """How Transform turns a raw feature into a transformed one.

    All are integers from 0, to be embedded, but NORMALIZED, which is a float32.
    """

    VOCABULARY = "vocabulary"  # Terms of the train split by frequency; one more index for every other term.
    TERM_SET = "term_set"  # As VOCABULARY, shifted by one, `width` columns padded with 0.
    TOKEN_SET = "token_set"  # The words of a text, then as TERM_SET.
    BOUNDARIES = "boundaries"  # Buckets between fixed boundaries.
    # `width` buckets of equal length between the first and last second of train; one more index for later.
    TIME_BUCKETS = "time_buckets"
    NORMALIZED = "normalized"  # Standard score over the train split.


_WITH_VOCABULARY = (Encoding.VOCABULARY, Encoding.TERM_SET, Encoding.TOKEN_SET)


@dataclasses.dataclass(frozen=True)
class TransformedFeature:
    """One column that Transform writes.

    Attributes:
      name: the key in the transformed example; also names its vocabulary.
      raw: the raw feature it is made of.
      side: which tower may read it.
      encoding: how it is made.
      width: columns of a set (further members are dropped), or number of time buckets.
      boundaries: inner boundaries of BOUNDARIES, ascending.
    """

    name: str
    raw: str
    side: Side
    encoding: Encoding
    width: int = 1
    boundaries: tuple[int, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether a row holds several indices, padded with 0."""
        return self.encoding in (Encoding.TERM_SET, Encoding.TOKEN_SET)


TITLE_TOKENS = "title_tokens"
TIMESTAMP_BUCKET = "timestamp_bucket"
TIMESTAMP_NORMALIZED = "timestamp_normalized"
# The groups in which MovieLens 1M reports its users' ages.
AGE_BOUNDARIES = (0, 18, 25, 35, 45, 50, 56)
YEAR_BOUNDARIES = (1, 1930, 1940, 1950, 1960, 1970, 1975, 1980, 1985, *range(1990, 2032, 2))

TRANSFORMED_FEATURES = (
    TransformedFeature(USER_ID, USER_ID, Side.QUERY, Encoding.VOCABULARY),
    TransformedFeature(USER_GENDER, USER_GENDER, Side.QUERY, Encoding.VOCABULARY),
    TransformedFeature(USER_AGE, USER_AGE, Side.QUERY, Encoding.BOUNDARIES, boundaries=AGE_BOUNDARIES),
    TransformedFeature(USER_OCCUPATION, USER_OCCUPATION, Side.QUERY, Encoding.VOCABULARY),
    TransformedFeature(TIMESTAMP_BUCKET, TIMESTAMP, Side.QUERY, Encoding.TIME_BUCKETS, width=1000),
    TransformedFeature(TIMESTAMP_NORMALIZED, TIMESTAMP, Side.QUERY, Encoding.NORMALIZED),
    TransformedFeature(MOVIE_TITLE, MOVIE_TITLE, Side.CANDIDATE, Encoding.VOCABULARY),
    TransformedFeature(TITLE_TOKENS, MOVIE_TITLE, Side.CANDIDATE, Encoding.TOKEN_SET, width=16),
    TransformedFeature(MOVIE_GENRES, MOVIE_GENRES, Side.CANDIDATE, Encoding.TERM_SET, width=10),
    TransformedFeature(
        MOVIE_YEAR, MOVIE_YEAR, Side.CANDIDATE, Encoding.BOUNDARIES, boundaries=YEAR_BOUNDARIES
    ),
)
# Names of those that have a vocabulary.
VOCABULARIES = tuple(feature.name for feature in TRANSFORMED_FEATURES if feature.encoding in _WITH_VOCABULARY)

# Of a history Transform writes three lists of one length, at most HISTORY_LENGTH, latest first; see
# modules.data.history.dense for them as columns, which hold 0 where there is no more:
# HISTORY_TITLE, the title's index in the vocabulary of MOVIE_TITLE, shifted by one; HISTORY_RATING, float32;
# and HISTORY_AGE, int64, how many seconds before the row; towers count which of these boundaries it reaches,
# see modules.data.history.gap_buckets.
HISTORY_AGE = "history_age"
HISTORY_COLUMNS = (HISTORY_TITLE, HISTORY_RATING, HISTORY_AGE)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
GAP_BOUNDARIES = (
    *(1, 2, 5, 10, 20, 40),
    *(_MINUTE * minutes for minutes in (1, 2, 5, 10, 30)),
    *(_HOUR, 4 * _HOUR),
    *(_DAY * days for days in (1, 7, 30, 120)),
)

# Passed through Transform as they are, beside RATING and TIMESTAMP: the key of the candidate, to find its row
# in the catalogue.
CANDIDATE_KEY = "candidate_key"

# --- Signatures of the SavedModels that the Trainers write. ---------------------------------------
# Every model: serialized tf.Examples in (key `examples`), the model's predictions out.
SERVING_SIGNATURE = "serving_default"
# Every model: serialized tf.Examples in; out, the columns of retrieval, those of ratings, or both: see below.
EVAL_SIGNATURE = "eval"
# Retrieval, multitask: QUERY_FEATURES as raw tensors in, [batch] or, repeated ones, [batch, any];
# QUERY_EMBEDDING out.
QUERY_SIGNATURE = "query"
# Retrieval, multitask: nothing in; MOVIE_ID, MOVIE_TITLE, CANDIDATE_POPULARITY [n] (rows of the train
# split, int64) and CANDIDATE_EMBEDDING [n, d] out. A pair's score is the two embeddings' inner product.
CANDIDATES_SIGNATURE = "candidates"
# Retrieval, multitask: in, USER_ID [batch], HISTORY_TITLE [batch, any] and the side features [batch] by
# which the model describes cold-start users; out, SEEN [batch, width] int32, the positions (rows of the
# candidates signature) of the titles that the user rated in train or that stand in the history, -1 for none;
# and USER_KNOWN [batch] bool, whether the user occurs in train, or the request holds a candidate in its
# history or such a side feature.
SEEN_SIGNATURE = "seen"
# Ranking, multitask: QUERY_FEATURES as above and MOVIE_TITLE [batch] in, PREDICTED_RATING out.
RATING_SIGNATURE = "rate"
# The same two where the rating is an inner product: QUERY_FEATURES in, QUERY_EMBEDDING out; and nothing in,
# MOVIE_TITLE [n], CANDIDATE_EMBEDDING [n, r] and RATING_RANGE [2] out, to which the product is clipped.
RATING_QUERY_SIGNATURE = "rating_query"
RATING_CANDIDATES_SIGNATURE = "rating_candidates"
# Where it is none: QUERY_FEATURES and MOVIE_TITLE [batch, any] in, PREDICTED_RATING [batch, any] out; a query
# is transformed once for all of its titles.
RATING_TITLES_SIGNATURE = "rate_titles"

EXAMPLES_INPUT = "examples"
QUERY_EMBEDDING = "query_embedding"
CANDIDATE_EMBEDDING = "candidate_embedding"
CANDIDATE_POPULARITY = "candidate_popularity"
SEEN = "seen"
USER_KNOWN = "user_known"
SCORE = "score"
PREDICTED_RATING = "predicted_rating"
RATING_RANGE = "rating_range"
# How many columns of an answer hold a title.
NUM_RETURNED = "num_returned"

# Depths at which retrieval is measured.
TOP_KS = (1, 5, 10, 50, 100)


# Columns of the eval signature for retrieval: the rated title's rank among all candidates, from 0, ties
# counted against it; the same among the candidates without those of EXCLUDE_ID.
RANK = "rank"
RANK_UNSEEN = "rank_unseen"
# The latter of two baselines: popularity, the titles in the order of their rows in train, for everybody; and
# the item-item model of modules.data.item_item, from the titles of EXCLUDE_ID.
POPULARITY_RANK_UNSEEN = "popularity_rank_unseen"
ITEM_ITEM_RANK_UNSEEN = "item_item_rank_unseen"
# Stands for these ranks in a row whose title is itself in EXCLUDE_ID: no model can find it, so the row is not
# counted.
EXCLUDED_ROW = -1.0
# Stands for the item-item model's rank where the catalogue is too large for it.
NO_RANK = -2.0
# [batch, COVERAGE_DEPTH] int32, positions of the best candidates without those of EXCLUDE_ID, padded with -1;
# how many candidates there are; and how many of them EXCLUDE_ID takes out.
TOP_UNSEEN = "top_unseen"
NUM_CANDIDATES = "num_candidates"
NUM_EXCLUDED = "num_excluded"
# For ratings: PREDICTED_RATING; the baseline, the mean and the biases of user and title; and that mean alone.
BIAS_RATING = "bias_rating"
MEAN_RATING = "mean_rating"

# Changes with the meaning of these columns. A champion is looked for among models that have the same ones.
EVAL_COLUMNS_VERSION = 2

# Titles of a recommendation that count as shown.
COVERAGE_DEPTH = 10

RMSE = "rmse"
MAE = "mae"
# Share of the catalogue that is among somebody's COVERAGE_DEPTH best.
COVERAGE = "coverage"
# Mean distance, in stars, of the mean rating from the mean prediction, over buckets of predictions by rows.
CALIBRATION_ERROR = "calibration_error"
# [buckets, 3]: rows, mean prediction and mean rating of each bucket of predictions.
RELIABILITY = "reliability"


def hit_metric(k: int, unseen: bool = False) -> str:
    """Name the share of rows whose rated title is among the k best candidates.

    Args:
      k: depth, one of TOP_KS.
      unseen: titles of EXCLUDE_ID are taken out of the candidates first.

    >>> hit_metric(100), hit_metric(10, unseen=True)
    ('top_100_categorical_accuracy', 'top_10_categorical_accuracy_unseen')
    """
    return f"top_{k}_categorical_accuracy" + ("_unseen" if unseen else "")


# The share of rows whose title is among the `gated_depth` best candidates without those of EXCLUDE_ID: what
# is compared with baselines and champion. And that depth, which is known when the catalogue is.
GATED_HITS = "top_k_categorical_accuracy_unseen"
GATED_DEPTH = "gated_depth"


def gated_depth(num_candidates: int) -> int:
    """Choose the depth at which hits tell models apart: the largest of TOP_KS in a tenth of the catalogue.

    Among the 100 best of 100 titles every model finds everything.

    >>> [gated_depth(titles) for titles in (5, 10, 80, 500, 1_000, 62_000)]
    [1, 1, 5, 50, 100, 100]
    """
    return max((k for k in TOP_KS if 10 * k <= num_candidates), default=TOP_KS[0])


# Ends of the 95% interval, beside each metric that is a mean over rows.
LOWER, UPPER = "_lower", "_upper"

# What a metric is compared with, on the same rows. Of GATED_HITS: popularity, the item-item model, a random
# order; of RMSE: the biases of users and titles, and the mean rating of train.
POPULARITY, ITEM_ITEM, RANDOM = "popularity", "item_item", "random"
BIASES, MEAN = "biases", "mean"
# Of both, the model that was blessed before.
CHAMPION = "champion"
BASELINES = {GATED_HITS: (POPULARITY, ITEM_ITEM), RMSE: (BIASES,)}
CHANCE = {GATED_HITS: RANDOM, RMSE: MEAN}


def reference_metric(metric: str, reference: str) -> str:
    """Name a metric of a baseline.

    >>> reference_metric(RMSE, BIASES)
    'rmse_of_biases'
    """
    return f"{metric}_of_{reference}"


def gain_metric(metric: str, reference: str) -> str:
    """Name by how much a model is better than what it is compared with; negative where it is worse.

    >>> gain_metric(RMSE, BIASES)
    'rmse_gain_on_biases'
    """
    return f"{metric}_gain_on_{reference}"


# --- Layout of a Trainer's model artifact. --------------------------------------------------------
SERVING_DIR = "Format-Serving"
TFLITE_DIR = "Format-TFLite"
# For devices: QUERY_FEATURES as above, those of the history `[batch, HISTORY_LENGTH]`, integers as int32.
# Ranking: the signature `rate`, as above.
RANKING_TFLITE = "ranking.tflite"
# Retrieval: the signature `retrieve`; also EXCLUDE_TITLE `[batch, DEVICE_EXCLUDED]` in; MOVIE_TITLE, MOVIE_ID
# and SCORE `[batch, most of TOP_KS, or the catalogue]` and NUM_RETURNED `[batch]` out.
RETRIEVAL_TFLITE = "retrieval.tflite"
RETRIEVE_SIGNATURE = "retrieve"
DEVICE_EXCLUDED = 100


def quantized(file: str) -> str:
    """Name the smaller, less exact variant of a TFLite file.

    >>> quantized(RANKING_TFLITE)
    'ranking_quantized.tflite'
    """
    return file.replace(".tflite", "_quantized.tflite")
