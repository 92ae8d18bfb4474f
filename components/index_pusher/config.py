"""Settings of the IndexPusher; read by the compiler and by the executor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.publish import KEEP_VERSIONS


class PublishConfig(BaseModel):
    """How many published versions stay; no part of a bundle's identity.

    >>> PublishConfig().keep_versions
    5
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Newest versions that stay. The served one, and the one that a rollback would serve, stay in any case.
    keep_versions: int = Field(default=KEEP_VERSIONS, ge=2)


class BlendConfig(BaseModel):
    """The order of recommendations: by `retrieval score + rating_weight * predicted rating`.

    Where the rating is an inner product (heads `bayesian` and `factorization`), so is this sum, and one
    search finds the best of the whole catalogue; the rating in it is not clipped to the scale. Where the head
    is dense layers (`mlp`), a user's `pool` best by retrieval score are put in this order.

    >>> BlendConfig(rating_weight=2.0).pool
    200
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What a star is worth in units of the retrieval score, a logit; 0 for the order by this score alone.
    # None: it is chosen on a part of train, see modules.tuners.blend; where that is not possible, it is 0.
    rating_weight: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    # Of dense layers alone: candidates that are put in order; k of them if a request has a larger k.
    pool: int = Field(default=200, ge=1)


class QuantizedConfig(BaseModel):
    """How much worse than the exact TFLite file a quantised one may be; a worse file is left out.

    >>> QuantizedConfig().max_hit_loss
    0.005
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Greatest increase of the RMSE of predicted ratings, in stars.
    max_rmse_increase: float = Field(default=0.005, ge=0.0)
    # Greatest decrease of the share of rated titles that are among the best, at the depth of the gates.
    max_hit_loss: float = Field(default=0.005, ge=0.0, le=1.0)


class ServedListConfig(BaseModel):
    """How the served list is evaluated.

    >>> ServedListConfig().max_ratings
    25000
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Ratings of eval that a list is asked for at most; where there are more, all those of some users.
    max_ratings: int = Field(default=25_000, ge=1)


class IndexConfig(BaseModel):
    """How the index is built, and the recall that it must reach.

    If `num_leaves_to_search` or `num_reordering_candidates` is None, it begins low (see `searches.plan`) and
    is raised until the recall is reached. A value given here is not raised; if the recall is then too low,
    the bundle is refused.

    >>> IndexConfig(min_recall=0.95).recall_k
    100
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Share of the exact top `recall_k` that the index must return, in (0, 1].
    min_recall: float = Field(default=0.99, gt=0.0, le=1.0)
    # Depth at which recall is measured, in candidates.
    recall_k: int = Field(default=100, ge=1)
    # Real queries drawn from the eval split, for recall and for the TFLite parity.
    num_queries: int = Field(default=1_000, ge=1)
    # Partitions of the catalogue; None: from its size.
    num_leaves: int | None = Field(default=None, ge=1)
    # Partitions searched per query; None: a hundredth of num_leaves, then as many as the recall needs.
    num_leaves_to_search: int | None = Field(default=None, ge=1)
    # Candidates scored exactly after the hashed pass; None: 5 recall_k, then as many as the recall needs.
    num_reordering_candidates: int | None = Field(default=None, ge=1)
    # The order of recommendations.
    blend: BlendConfig = BlendConfig()
    # Weight of similarity against relevance where the best 50 are put in an order in which genres recur less,
    # by maximal marginal relevance (see composite/diversity.py), in [0, 1); 0 for the order as it is.
    diversity: float = Field(default=0.0, ge=0.0, lt=1.0)
    # How the list that is served is evaluated.
    served_list: ServedListConfig = ServedListConfig()
    # How much worse the quantised TFLite files may be.
    quantized: QuantizedConfig = QuantizedConfig()

    @model_validator(mode="after")
    def _leaves_agree(self) -> IndexConfig:
        if self.num_leaves_to_search is None:
            return self
        if self.num_leaves is None:
            raise ValueError(
                f"num_leaves_to_search={self.num_leaves_to_search} needs num_leaves; give both, or neither."
            )
        if self.num_leaves_to_search > self.num_leaves:
            raise ValueError(
                f"num_leaves_to_search must be at most num_leaves; received {self.num_leaves_to_search} of "
                f"{self.num_leaves}. Lower the first or raise the second."
            )
        return self
