"""Hyper-parameters of the models, with the values of each preset.

Composed into the pipeline's config by the compiler and handed to the Trainers as JSON; standard library and
pydantic only.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import pydantic

from modules import features

# What the models of the tutorials and of the default preset read.
_IDS: dict[str, Any] = {"query_features": (features.USER_ID,), "candidate_features": (features.MOVIE_TITLE,)}
_FEATURES: dict[str, Any] = {
    "query_features": (
        *(features.USER_ID, features.USER_GENDER, features.USER_AGE, features.USER_OCCUPATION),
        features.TIMESTAMP_BUCKET,
    ),
    "candidate_features": (features.MOVIE_TITLE, features.MOVIE_GENRES, features.MOVIE_YEAR),
}

BAYESIAN: Final = "bayesian"
HEADS = (BAYESIAN, "factorization", "mlp")


class HistoryConfig(pydantic.BaseModel):
    """How the query tower reads the ratings before a query (features.HISTORY_FEATURES)."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Share of them that a training step leaves out, 0 or more and below 1.
    dropout: float = pydantic.Field(0.0, ge=0, lt=1)


class TrainingConfig(pydantic.BaseModel):
    """What every model has: which features its towers read, their size, and a seed."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Transformed features that the query tower reads (names in features.TRANSFORMED_FEATURES).
    query_features: tuple[str, ...]
    # Transformed features that the candidate tower reads.
    candidate_features: tuple[str, ...]
    # Length of an embedding, 1 or more.
    embedding_dim: int = pydantic.Field(ge=1)
    # Seed of all that is drawn: initial weights, the order of rows, a posterior's samples.
    seed: int = pydantic.Field(42, ge=0)

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


class GradientConfig(TrainingConfig):
    """How a model is fitted that goes down a gradient."""

    # How the query tower reads the user's history; None not to.
    history: HistoryConfig | None = None
    # Share of rows in training whose user and moment are taken as unknown, so that what stands for those
    # outside train is learned too; of as many again the moment alone is. 0 or more, and at most a half.
    unknown_share: float = pydantic.Field(0.0, ge=0, le=0.5)
    # Weight of the squared norm of the embeddings of a row, 0 or more.
    l2: float = pydantic.Field(0.0, ge=0)
    # Which of Keras' optimizers goes down the gradient.
    optimizer: Literal["adagrad", "adam"] = "adam"
    # Step size, above 0.
    learning_rate: float = pydantic.Field(gt=0)
    # none: it stays; cosine: it falls to 0 over all steps.
    learning_rate_decay: Literal["none", "cosine"] = "none"
    # Rows in a step. The last, smaller batch of an epoch is kept, but in a long training that XLA compiles.
    batch_size: int = pydantic.Field(ge=1)
    # Passes over the train split.
    epochs: int = pydantic.Field(ge=1)


class SoftmaxConfig(pydantic.BaseModel):
    """The retrieval task: which candidates a query's own one is told apart from, and how."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Size of the catalogue up to which all of its titles are told apart, 0 or more. In a larger one it is the
    # other candidates of the batch (tfrs.tasks.Retrieval), with the corrections below.
    full_up_to: int = pydantic.Field(20_000, ge=0)
    # Up to full_up_to only. From a catalogue with more titles so many are drawn for each step, by chance, and
    # stand for all, 1 or more.
    max_negatives: int = pydantic.Field(2048, ge=1)
    # Softmax temperature, above 0.
    temperature: float = pydantic.Field(1.0, gt=0)
    # batch only. Subtract the log of a candidate's share of the train rows (logQ correction).
    sampling_correction: bool = True
    # batch only. Do not count a query's own candidate, met again in the batch, as a negative.
    remove_accidental_hits: bool = True
    # batch only. Keep this many negatives, those that score highest; None keeps all.
    num_hard_negatives: int | None = pydantic.Field(None, ge=1)


class SequenceConfig(pydantic.BaseModel):
    """A member of retrieval whose query tower attends to the ratings before a query.

    See modules.towers.sequence. It has the features, optimizer, penalty and seed of the other members, and
    knows 100 earlier ratings, whatever data.history_length.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Length of its embeddings, a multiple of heads.
    embedding_dim: int = pydantic.Field(64, ge=1)
    # Heads of the attention, 1 or more.
    heads: int = pydantic.Field(2, ge=1)
    # Share of the values that a training step sets to 0, 0 or more and below 1.
    dropout: float = pydantic.Field(0.2, ge=0, lt=1)
    # Passes over the train split.
    epochs: int = pydantic.Field(8, ge=1)

    @pydantic.model_validator(mode="after")
    def _heads_share_the_embedding(self) -> SequenceConfig:
        if self.embedding_dim % self.heads:
            raise ValueError(f"embedding_dim must be a multiple of heads; received {self.embedding_dim}")
        return self


class ColdStartConfig(pydantic.BaseModel):
    """A member of retrieval that scores titles for users who have no embedding, by their histories.

    It is computed, see modules.towers.linear_autoencoder. With user_id, users of train have an embedding.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Length of its embeddings, 1 or more.
    embedding_dim: int = pydantic.Field(64, ge=1)
    # Added to the squared singular values, above 0.
    l2: float = pydantic.Field(100.0, gt=0)
    # Of its scores beside those of the other members, above 0.
    weight: float = pydantic.Field(3.0, gt=0)


class RetrievalConfig(GradientConfig):
    """The two-tower retrieval model."""

    # Units of a residual block over the query's embedding; 0 for none.
    query_hidden_units: int = pydantic.Field(0, ge=0)
    # Pairs of towers that are trained beside each other and whose scores are added, 1 or more. Embeddings are
    # as many times longer.
    members: int = pydantic.Field(1, ge=1)
    # One more member, fitted to sequences of ratings; None for none. Only where the softmax is full.
    sequence: SequenceConfig | None = None
    # One more member, for users who have no embedding; None for none.
    cold_start: ColdStartConfig | None = None
    softmax: SoftmaxConfig = SoftmaxConfig()

    @pydantic.model_validator(mode="after")
    def _members_that_read_histories_have_them(self) -> RetrievalConfig:
        for name in ("sequence", "cold_start"):
            if getattr(self, name) and not self.history:
                raise ValueError(f"{name} must be null where history is")
        return self


class BayesianRankingConfig(TrainingConfig):
    """The model of the rating as the mean of factorisation machines that are drawn from a posterior.

    It holds train in memory. See sampler in modules.bayesian.
    """

    # bayesian: the mean of factorisation machines drawn from a posterior.
    head: Literal["bayesian"] = BAYESIAN
    # Whether the query tower reads the user's recent rating bias in the history, that is how far the latest
    # ratings are from their titles' means.
    history: bool = True
    # Length of the vectors in a draw, 1 or more; their mean is then fitted into embedding_dim.
    sample_dim: int = pydantic.Field(10, ge=1)
    # Numbers that describe a title by who rated it in train, see rater_embedding there; 0 for none.
    rater_embedding_dim: int = pydantic.Field(16, ge=0)
    # Passes over the train split, each of which gives a draw, above burn_in.
    sweeps: int = pydantic.Field(150, ge=1)
    # The first draws, which still depend on the start and are left out, 0 or more.
    burn_in: int = pydantic.Field(30, ge=0)

    @pydantic.model_validator(mode="after")
    def _draws_are_kept_and_raters_are_of_titles(self) -> BayesianRankingConfig:
        if self.sweeps <= self.burn_in:
            raise ValueError(f"sweeps must be above burn_in, {self.burn_in}; received {self.sweeps}")
        if self.rater_embedding_dim and features.MOVIE_TITLE not in self.candidate_features:
            needed = f"0 without {features.MOVIE_TITLE} in candidate_features"
            raise ValueError(f"rater_embedding_dim must be {needed}; received {self.rater_embedding_dim}")
        return self


class GradientRankingConfig(GradientConfig):
    """The model of the rating as towers and a head that are fitted together."""

    # factorization: a factorisation machine between the two sides' features; mlp: dense layers over both
    # embeddings.
    head: Literal["factorization", "mlp"] = "factorization"
    # mlp only. Units of each hidden layer, rectified.
    hidden_units: tuple[int, ...] = ()

    @pydantic.model_validator(mode="after")
    def _only_dense_layers_have_units(self) -> GradientRankingConfig:
        if self.hidden_units and self.head != "mlp":
            received = list(self.hidden_units)
            raise ValueError(f"hidden_units must be [] with head {self.head}; received {received}")
        return self


class MultitaskConfig(GradientRankingConfig):
    """One pair of towers for both tasks."""

    # factorization only. More columns of an embedding, which only the rating reads, 0 or more.
    rating_dim: int = pydantic.Field(0, ge=0)
    softmax: SoftmaxConfig = SoftmaxConfig()
    # Weights of the two losses, 0 or more: the retrieval loss is a sum over the batch, the rating's a mean.
    retrieval_weight: float = pydantic.Field(1.0, ge=0)
    rating_weight: float = pydantic.Field(1.0, ge=0)

    @pydantic.model_validator(mode="after")
    def _only_a_machine_has_columns_of_its_own(self) -> MultitaskConfig:
        if self.rating_dim and self.head != "factorization":
            raise ValueError(f"rating_dim must be 0 with head {self.head}; received {self.rating_dim}")
        return self


RankingConfig = BayesianRankingConfig | GradientRankingConfig


def read_ranking(values: Any) -> RankingConfig:
    """Read the hyper-parameters of the ranking model from a dict; `head` says which it has.

    Raises:
      ValueError: the head is unknown, or a value or field is none of its own.
    """
    # Not pydantic's discriminated union, whose errors name the head among the fields that lead to a mistake.
    if isinstance(values, BayesianRankingConfig | GradientRankingConfig):
        return values
    head = values.get("head") if isinstance(values, dict) else values
    if head not in HEADS:
        raise ValueError(f"it must be an object whose head is one of {', '.join(HEADS)}; received {head!r}")
    kind = BayesianRankingConfig if head == BAYESIAN else GradientRankingConfig
    for name, value in values.items():
        if name not in kind.model_fields:
            parts = [f"{name}.{part}" for part in value] if isinstance(value, dict) and value else [name]
            fields = ", ".join(kind.model_fields)
            raise ValueError(f"a field of head {head} must be one of {fields}; received {', '.join(parts)}")
    return kind.model_validate(values)


class ModelsConfig(pydantic.BaseModel):
    """The three models of a pipeline."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    retrieval: RetrievalConfig
    ranking: Annotated[RankingConfig, pydantic.BeforeValidator(read_ranking)]
    multitask: MultitaskConfig


def tutorial() -> ModelsConfig:
    """Return what the three tutorials of TensorFlow Recommenders train.

    References: tensorflow.org/recommenders/examples, basic_retrieval, basic_ranking and, of multitask, the
    joint model.
    """
    fit = {
        **_IDS,
        "embedding_dim": 32,
        "optimizer": "adagrad",
        "learning_rate": 0.1,
        "batch_size": 8192,
        "epochs": 3,
    }
    softmax = SoftmaxConfig(full_up_to=0, sampling_correction=False, remove_accidental_hits=False)
    return ModelsConfig(
        retrieval=RetrievalConfig(**fit, softmax=softmax),
        ranking=GradientRankingConfig(**fit, head="mlp", hidden_units=(256, 64)),
        multitask=MultitaskConfig(**fit, head="mlp", hidden_units=(256, 128), softmax=softmax),
    )


def ranking_preset(head: str) -> RankingConfig:
    """Return what the default preset has for the ranking model, or would have if its head were another."""
    if head == BAYESIAN:
        return BayesianRankingConfig(**_FEATURES, embedding_dim=16)
    return GradientRankingConfig(
        **_FEATURES,
        history=HistoryConfig(),
        embedding_dim=16,
        l2=0.1,
        learning_rate=0.005,
        batch_size=1024,
        epochs=8,
    )


def with_head(config: RankingConfig, head: object) -> RankingConfig:
    """Return these hyper-parameters where a head has the same fields, else `ranking_preset` of the head.

    >>> with_head(default().ranking, "mlp").learning_rate
    0.005
    """
    if head is None or (head == BAYESIAN) == (config.head == BAYESIAN):
        return config
    return ranking_preset(BAYESIAN if head == BAYESIAN else "factorization")


def default() -> ModelsConfig:
    """Return the models that Marquee pushes; benchmarks/README.md says how their values were found."""
    return ModelsConfig(
        retrieval=RetrievalConfig(
            **_FEATURES,
            history=HistoryConfig(dropout=0.5),
            unknown_share=0.2,
            query_hidden_units=256,
            members=1,
            sequence=SequenceConfig(),
            cold_start=ColdStartConfig(),
            embedding_dim=128,
            # The loss is a sum over the batch, as TFRS has it; so this is 0.02 a row.
            l2=10.0,
            learning_rate=0.004,
            learning_rate_decay="cosine",
            batch_size=512,
            epochs=6,
        ),
        ranking=ranking_preset(BAYESIAN),
        multitask=MultitaskConfig(
            **_FEATURES,
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
