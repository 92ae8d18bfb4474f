"""Hyper-parameters of the models, with the values of each preset.

Composed into the pipeline's config by the compiler and handed to the Trainers as JSON; standard library and
pydantic only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import pydantic

from modules import features

_IDS = ((features.USER_ID,), (features.MOVIE_TITLE,))
_SIDES = (features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION)


class HistoryConfig(pydantic.BaseModel):
    """How the query tower reads the ratings before a query (features.HISTORY_FEATURES)."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Share of them that a training step leaves out, 0 or more and below 1.
    dropout: float = pydantic.Field(0.0, ge=0, lt=1)


class TrainingConfig(pydantic.BaseModel):
    """What every model has: which features its towers read, their size, and how they are fitted."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Transformed features that the query tower reads (names in features.TRANSFORMED_FEATURES).
    query_features: tuple[str, ...]
    # Transformed features that the candidate tower reads.
    candidate_features: tuple[str, ...]
    # How the query tower reads the user's history; None not to.
    history: HistoryConfig | None = None
    # Share of rows in training whose user and moment are taken as unknown, so that what stands for those
    # outside train is learned too; of as many again the moment alone is. 0 or more, and at most a half.
    unknown_share: float = pydantic.Field(0.0, ge=0, le=0.5)
    # Length of an embedding, 1 or more.
    embedding_dim: int = pydantic.Field(ge=1)
    # Weight of the squared norm of the embeddings of a row, 0 or more.
    l2: float = pydantic.Field(0.0, ge=0)
    optimizer: Literal["adagrad", "adam"] = "adam"
    # Step size, above 0.
    learning_rate: float = pydantic.Field(gt=0)
    # none: it stays; cosine: it falls to 0 over all steps.
    learning_rate_decay: Literal["none", "cosine"] = "none"
    # Rows in a step; the last, smaller batch of an epoch is kept.
    batch_size: int = pydantic.Field(ge=1)
    # Passes over the train split.
    epochs: int = pydantic.Field(ge=1)
    # Seed of initial weights and of the order of rows.
    seed: int = pydantic.Field(42, ge=0)

    @property
    def sampled(self) -> bool:
        """Whether the model is drawn from a posterior: without epochs, and anew each time."""
        return False

    @pydantic.model_validator(mode="after")
    def _features_are_of_their_side(self) -> TrainingConfig:
        for field, side in (
            ("query_features", features.Side.QUERY),
            ("candidate_features", features.Side.CANDIDATE),
        ):
            known = [feature.name for feature in features.TRANSFORMED_FEATURES if feature.side is side]
            unknown = sorted(set(getattr(self, field)) - set(known))
            if unknown or not getattr(self, field):
                received = ", ".join(unknown) or "none"
                raise ValueError(f"{field} must name at least one of {', '.join(known)}; received {received}")
        return self


class SoftmaxConfig(pydantic.BaseModel):
    """The retrieval task: which candidates a query's own one is told apart from, and how."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Size of the catalogue up to which all of its titles are told apart, 0 or more. In a larger one it is the
    # other candidates of the batch (tfrs.tasks.Retrieval), with the corrections below.
    full_up_to: int = pydantic.Field(20_000, ge=0)
    # Softmax temperature, above 0.
    temperature: float = pydantic.Field(1.0, gt=0)
    # batch only. Subtract the log of a candidate's share of the train rows (logQ correction).
    sampling_correction: bool = True
    # batch only. Do not count a query's own candidate, met again in the batch, as a negative.
    remove_accidental_hits: bool = True
    # batch only. Keep this many negatives, those that score highest; None keeps all.
    num_hard_negatives: int | None = pydantic.Field(None, ge=1)


class RetrievalConfig(TrainingConfig):
    """The two-tower retrieval model."""

    # Units of a residual block over the query's embedding; 0 for none.
    query_hidden_units: int = pydantic.Field(0, ge=0)
    # Pairs of towers that are trained beside each other and whose scores are added, 1 or more. Embeddings are
    # as many times longer.
    members: int = pydantic.Field(1, ge=1)
    softmax: SoftmaxConfig = SoftmaxConfig()


class BayesianConfig(pydantic.BaseModel):
    """How a factorisation machine is sampled, see modules.bayesian.sampler."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Length of the vectors in a draw, 1 or more; their mean is then fitted into embedding_dim.
    sample_dim: int = pydantic.Field(10, ge=1)
    # Numbers that describe a title by who rated it, see modules.bayesian.rater_embedding; 0 for none.
    rater_embedding_dim: int = pydantic.Field(16, ge=0)
    # Passes over the train split, each of which gives a draw, above burn_in.
    sweeps: int = pydantic.Field(150, ge=1)
    # The first draws, which still depend on the start and are left out, 0 or more.
    burn_in: int = pydantic.Field(30, ge=0)

    @pydantic.model_validator(mode="after")
    def _some_draw_is_kept(self) -> BayesianConfig:
        if self.sweeps <= self.burn_in:
            raise ValueError(f"sweeps must be above burn_in, {self.burn_in}; received {self.sweeps}")
        return self


class RankingConfig(TrainingConfig):
    """The model of the rating."""

    # factorization: a factorisation machine over all features; mlp: dense layers over both embeddings;
    # bayesian: a factorisation machine between the two sides' features, the mean of draws from its posterior.
    # It holds train in memory. Of a history it reads the user's recent bias, that is how far the latest
    # ratings are from their titles' means; of a title, who rated it in train. Nothing from l2 to epochs
    # applies to it, nor does history.dropout.
    head: Literal["factorization", "mlp", "bayesian"] = "factorization"
    # bayesian only.
    bayesian: BayesianConfig = BayesianConfig()
    # mlp only. Units of each hidden layer, rectified.
    hidden_units: tuple[int, ...] = ()

    @property
    def sampled(self) -> bool:
        """See TrainingConfig."""
        return self.head == "bayesian"


class MultitaskConfig(RankingConfig):
    """One pair of towers for both tasks."""

    # factorization only. More columns of an embedding, which only the rating reads, 0 or more.
    rating_dim: int = pydantic.Field(0, ge=0)
    softmax: SoftmaxConfig = SoftmaxConfig()
    # Weights of the two losses, each summed over the batch as in the tutorial, 0 or more.
    retrieval_weight: float = pydantic.Field(1.0, ge=0)
    rating_weight: float = pydantic.Field(1.0, ge=0)

    @pydantic.model_validator(mode="after")
    def _both_losses_go_down_one_gradient(self) -> MultitaskConfig:
        if self.sampled:
            raise ValueError(
                "head must be factorization or mlp where towers are shared, for a posterior is sampled of "
                "ratings alone; received bayesian"
            )
        return self


class ModelsConfig(pydantic.BaseModel):
    """The three models of a pipeline."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    retrieval: RetrievalConfig
    ranking: RankingConfig
    multitask: MultitaskConfig


Config = TypeVar("Config", bound=TrainingConfig)


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """Put values in the place of some of a model's own.

    Args:
      config: of the model.
      values: by field; a dot leads into a field that has fields, as in `softmax.temperature`.
    Raises:
      ValueError: a field is unknown, or a value is not what its field takes.

    >>> replaced(default().retrieval, {"epochs": 3, "softmax.temperature": 0.5}).softmax.temperature
    0.5
    """
    changed = config.model_dump()
    for path, value in values.items():
        *parents, field = path.split(".")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[field] = value
    return type(config).model_validate(changed)


def described(values: Mapping[str, Any]) -> str:
    """Write values out for a person's line.

    >>> described({"learning_rate": 0.00312345, "epochs": 8})
    'learning_rate 0.00312, epochs 8'
    """
    texts = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def tutorial() -> ModelsConfig:
    """Return what the three tutorials of TensorFlow Recommenders train.

    References: tensorflow.org/recommenders/examples, basic_retrieval, basic_ranking and, of multitask, the
    joint model.
    """
    fit = {
        "query_features": _IDS[0],
        "candidate_features": _IDS[1],
        "embedding_dim": 32,
        "optimizer": "adagrad",
        "learning_rate": 0.1,
        "batch_size": 8192,
        "epochs": 3,
    }
    softmax = SoftmaxConfig(full_up_to=0, sampling_correction=False, remove_accidental_hits=False)
    return ModelsConfig(
        retrieval=RetrievalConfig(**fit, softmax=softmax),
        ranking=RankingConfig(**fit, head="mlp", hidden_units=(256, 64)),
        multitask=MultitaskConfig(**fit, head="mlp", hidden_units=(256, 128), softmax=softmax),
    )


def default() -> ModelsConfig:
    """Return the models that Marquee pushes; benchmarks/README.md says how their values were found."""
    query = (features.USER_ID, *_SIDES)
    candidate = (features.MOVIE_TITLE, features.MOVIE_GENRES, features.MOVIE_YEAR)
    rating_query = (*query, features.TIMESTAMP_BUCKET)
    return ModelsConfig(
        retrieval=RetrievalConfig(
            query_features=rating_query,
            candidate_features=candidate,
            history=HistoryConfig(dropout=0.5),
            unknown_share=0.2,
            query_hidden_units=256,
            members=2,
            embedding_dim=128,
            # The loss is a sum over the batch, as TFRS has it; so this is 0.02 a row.
            l2=5.0,
            learning_rate=0.003,
            learning_rate_decay="cosine",
            batch_size=256,
            epochs=6,
        ),
        ranking=RankingConfig(
            query_features=rating_query,
            candidate_features=candidate,
            history=HistoryConfig(),
            head="bayesian",
            embedding_dim=16,
            # From here on what head="factorization" takes.
            l2=0.1,
            learning_rate=0.005,
            batch_size=1024,
            epochs=8,
        ),
        multitask=MultitaskConfig(
            query_features=rating_query,
            candidate_features=candidate,
            history=HistoryConfig(dropout=0.4),
            unknown_share=0.1,
            embedding_dim=96,
            rating_dim=32,
            l2=0.1,
            learning_rate=0.003,
            learning_rate_decay="cosine",
            batch_size=256,
            epochs=5,
            # The retrieval loss is a sum over the batch, the rating's a mean.
            retrieval_weight=0.009,
            rating_weight=2.0,
        ),
    )
