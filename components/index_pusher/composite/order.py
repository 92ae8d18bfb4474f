"""The order of recommendations: retrieval score + weight x predicted rating, as one inner product.

Both are inner products where the ranking model's head is one: the sum is that of the concatenated vectors, so
a single search finds the best of the whole catalogue. Called by the builder of the bundle, inside the
executor's process, eagerly and in the composite's graph.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from components.index_pusher.composite import signatures
from components.index_pusher.composite.diversity import POOL, Diversity
from components.index_pusher.composite.signatures import Candidates
from components.index_pusher.config import BlendConfig
from components.index_pusher.gates import Refusal
from modules import features


@dataclasses.dataclass(frozen=True)
class RatingVectors:
    """The candidates as the ranking model sees them, in the order of the retrieval model's catalogue.

    Attributes:
      embeddings: `[n, r]` float32; the inner product with a query's vector is a rating.
      lowest, highest: to which ratings are clipped.
    """

    embeddings: np.ndarray
    lowest: float
    highest: float


class Order:
    """The two models, and how their candidates are ordered.

    Attributes:
      retrieval, ranking: loaded; may be the same object.
      weight: of a star in units of the retrieval score; 0 for an order by this score alone.
      diversity: what the best are then put in another order by; None for no such step.
      ratings: the candidates' vectors; None where the ranking model's head is no inner product.
      catalogue: the retrieval model's candidates, with its own embeddings.
      candidates: the same with the embeddings that are searched.
    """

    def __init__(self, retrieval: Any, ranking: Any, blend: BlendConfig | None = None) -> None:
        """Read the models' candidates.

        Args:
          retrieval: with the signatures `query` and `candidates`.
          ranking: with `rate` and, if its head is an inner product, `rating_query` and `rating_candidates`,
            else `rate_titles`.
          blend: the weight; None: by the retrieval scores.
        Raises:
          Refusal: a catalogue cannot be served, the models have different ones, or a signature is absent.
        """
        blend = blend or BlendConfig()
        self.retrieval, self.ranking = retrieval, ranking
        self.weight, self._rated_pool = blend.rating_weight or 0.0, blend.pool
        self.diversity: Diversity | None = None
        self.catalogue = signatures.read_candidates(retrieval)
        self.ratings = _read_ratings(
            ranking, "multitask" if ranking is retrieval else "ranking", self.catalogue
        )
        self.candidates = self.catalogue
        if self.weight and self.ratings:
            both = [self.catalogue.embeddings, np.float32(self.weight) * self.ratings.embeddings]
            self.candidates = dataclasses.replace(
                self.catalogue, embeddings=np.concatenate(both, axis=1, dtype=np.float32)
            )

    @property
    def is_one_search(self) -> bool:
        """Whether a search of `candidates` finds the order; else a pool of its best has to be ordered."""
        return not self.weight or self.ratings is not None

    @property
    def pool(self) -> int:
        """How many candidates are searched for at least; 0 where a request's own k are enough."""
        return max(0 if self.is_one_search else self._rated_pool, POOL if self.diversity else 0)

    @property
    def is_retrieval_alone(self) -> bool:
        """Whether the order is that of the retrieval scores."""
        return not self.weight and not self.diversity

    def queries(self, query: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Embed queries, given by features.QUERY_FEATURES.

        Returns:
          `[b, d]`, what `candidates` are searched with; and `[b, r]`, what the vectors of `ratings` are
          multiplied with, None where there are none.
        """
        retrieval = self.retrieval.signatures[features.QUERY_SIGNATURE]
        search = signatures.call(retrieval, query)[features.QUERY_EMBEDDING]
        if not self.ratings:
            return search, None
        rating = signatures.call(self.ranking.signatures[features.RATING_QUERY_SIGNATURE], query)
        vector = tf.cast(rating[features.QUERY_EMBEDDING], tf.float32)
        return tf.concat([search, vector], axis=1) if self.weight else search, vector

    def embed(self, queries: Mapping[str, np.ndarray]) -> np.ndarray:
        """Embed queries for the search as `queries` does, outside of a graph and batch by batch.

        Raises:
          Refusal: a value is not finite.
        """
        parts = [signatures.embed(self.retrieval, queries)]
        if self.weight and self.ratings:
            parts.append(signatures.embed(self.ranking, queries, signature=features.RATING_QUERY_SIGNATURE))
        return np.concatenate(parts, axis=1)


def _read_ratings(ranking: Any, name: str, candidates: Candidates) -> RatingVectors | None:
    if features.RATING_CANDIDATES_SIGNATURE not in ranking.signatures:
        signatures.require(ranking, name, (features.RATING_TITLES_SIGNATURE,))
        return None
    outputs = ranking.signatures[features.RATING_CANDIDATES_SIGNATURE]()
    titles = outputs[features.MOVIE_TITLE].numpy()
    if not np.array_equal(titles, candidates.titles):
        raise Refusal("the retrieval and the ranking model have different catalogues: train them in one run")
    lowest, highest = outputs[features.RATING_RANGE].numpy().tolist()
    embeddings = outputs[features.CANDIDATE_EMBEDDING].numpy().astype(np.float32)
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise Refusal(f"{broken} of {len(titles)} candidates' rating vectors hold NaN or infinity")
    return RatingVectors(embeddings, lowest, highest)
