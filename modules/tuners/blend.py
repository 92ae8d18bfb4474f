"""What a star is worth in the order of the list, see BlendConfig. The Tuner calls `tuner_fn`.

Both models are fitted anew to the earlier part of train, and the weight is chosen on the later part, which
neither of them was fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
import tensorflow as tf

from common.progress import progress
from modules import multitask, ranking, retrieval
from modules.data.dataset import Catalogue
from modules.evaluation import list_measures, ranking_metrics
from modules.evaluation.list_measures import DEPTH, Scale
from modules.features import RATING
from modules.hyperparameters import BayesianRankingConfig, MultitaskConfig, RetrievalConfig, read_ranking
from modules.search_space import SearchConfig
from modules.towers.rating_head import RatingHead
from modules.training import TrainingData
from modules.tuners import held_out, search

RATING_WEIGHT = "rating_weight"
# For each member of retrieval that a softmax fitted, whose scores are added. In the first place what they are
# compared with: the score alone.
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
# Draws of the ranking model's posterior at most: the weight needs ratings that are nearly as good.
_SWEEPS = 60

# Held-out ratings that the weights are compared on, at most about so many: more would tell little more.
_MAX_ROWS = 25_000

_GRADED = f"graded nDCG@{DEPTH}"

# From a batch of transformed ratings to `[batch, n]` values of all candidates.
Scores = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]


def fit(models: Mapping[str, Any], data: TrainingData) -> tuple[Scores, Scores, int]:
    """Fit what is pushed to the train files.

    Args:
      models: by name, hyper-parameters as a dict: of `multitask`, or of `retrieval` and `ranking`. The head
        that rates is an inner product.
      data: train files, and all candidates.
    Returns:
      The candidates' scores and their ratings, and how many members a softmax fitted.
    """
    catalogue, members = data.catalogue, 1
    if "multitask" in models:
        joint = multitask.fit(MultitaskConfig.model_validate(models["multitask"]), data)
        scores = _products(joint.retrieval_query, joint.candidate_tower, catalogue)
        rater: Any = joint
    else:
        config = RetrievalConfig.model_validate(models["retrieval"])
        towers = retrieval.fit(config, data)
        members = towers.softmaxes
        scores = _products(towers.query_tower, towers.candidate_tower, catalogue)
        rating = read_ranking(models["ranking"])
        if isinstance(rating, BayesianRankingConfig) and rating.sweeps > _SWEEPS > rating.burn_in:
            rating = rating.model_copy(update={"sweeps": _SWEEPS})
        rater = ranking.fit(rating, data)
    head: RatingHead = rater.head
    ratings = _products(
        lambda batch: head.query_vectors(rater.query_tower(batch)),
        lambda of_all: head.candidate_vectors(rater.candidate_tower(of_all)),
        catalogue,
    )
    return scores, ratings, members


def _products(query_tower: Scores, candidate_tower: Scores, catalogue: Catalogue) -> Scores:
    vectors = candidate_tower({name: tf.constant(values) for name, values in catalogue.transformed.items()})
    return lambda batch: tf.matmul(query_tower(batch), vectors, transpose_b=True)


def graded_ndcg(
    scores: Scores,
    ratings: Scores,
    data: TrainingData,
    scale: Scale,
    weights: Sequence[float] = WEIGHTS,
    share: float = 1.0,
) -> dict[float, float]:
    """Measure the order by `score + weight * rating` on the held-out ratings, for each of the weights.

    Args:
      scores, ratings: of all candidates.
      data: whose eval files are the held-out part.
      scale: of the ratings.
      weights: of a predicted rating.
      share: of the users whose ratings are measured.
    Returns:
      By weight, the mean discount of the rated titles' ranks among those that the user is not known to have
      rated, each with the weight of its rating's gain, as `graded_ndcg_10` of the served list.
    """
    sums, total = dict.fromkeys(weights, 0.0), 0.0
    for rows in held_out.with_known_titles(data, share):
        gains = scale.gains(rows.batch[RATING].numpy()[:, 0])
        total += float(gains.sum())
        left, of_rating = ranking_metrics.exclude(scores(rows.batch), rows.known), ratings(rows.batch)
        for weight in weights:
            ranks = ranking_metrics.ranks(left + weight * of_rating, rows.positions).numpy()
            discounts = np.where(np.isnan(ranks), np.nan, list_measures.discounts(ranks))
            sums[weight] += float(gains @ discounts)
    return {weight: found / total if total else math.nan for weight, found in sums.items()}


class _Grid(search.Search):
    """Tries every weight once; to try one is to look its figure up."""

    def oracle_of(self, own: Mapping[str, Any], **arguments: Any) -> keras_tuner.Oracle:
        """Go through the grid in its order, beginning with no weight."""
        del own
        return keras_tuner.oracles.GridSearchOracle(
            **{name: value for name, value in arguments.items() if name != "num_initial_points"}
        )

    def summary(self) -> dict[str, int | float | str]:
        """Return the outcome, with the weight itself as RATING_WEIGHT."""
        (best,) = self.get_best_hyperparameters(1)
        return {**super().summary(), RATING_WEIGHT: float(best.get(RATING_WEIGHT))}


def _measured(fn_args: Any, config: SearchConfig) -> dict[float, float]:
    """Measure each weight of the served model; of data that cannot tell, 0 alone."""
    try:
        data = held_out.load(fn_args, config)
    except held_out.TooFewRowsError as error:
        progress.info("blend: the order is by the retrieval score alone: %s", error)
        return {0.0: 0.0}
    scores, ratings, members = fit(fn_args.custom_config["models"], data)
    # Of all rows so many are held out as the fitted ones say, but for rounding.
    rows = len(data.interactions.users) * config.held_out / (1 - config.held_out)
    share = min(1.0, _MAX_ROWS / max(rows, 1.0))
    scale = Scale(float(fn_args.custom_config["highest_rating"]))
    return graded_ndcg(scores, ratings, data, scale, [members * weight for weight in WEIGHTS], share)


def tuner_fn(fn_args: Any) -> search.TunerFnResult:
    """Fit, measure every weight, and set up the choice among them.

    Args:
      fn_args: as of `search.tuner`. Of `custom_config`, `models` as of `fit`, `highest_rating` of the scale,
        and `search` a SearchConfig as a dict.
    """
    config = SearchConfig.model_validate(fn_args.custom_config["search"])
    found = _measured(fn_args, config)

    def figures(values: Mapping[str, Any]) -> dict[str, float]:
        return {_GRADED: found[values[RATING_WEIGHT]]}

    objective = keras_tuner.Objective(_GRADED, "max")
    grid = config.model_copy(update={"max_trials": len(found)})
    space = {RATING_WEIGHT: tuple(found)}
    own = {RATING_WEIGHT: 0.0}
    return search.TunerFnResult(_Grid("blend", objective, space, own, grid, figures, fn_args.working_dir), {})
