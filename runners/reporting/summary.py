"""The results of a run as plain data: read from ML Metadata and from the Evaluators' files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from modules.evaluation.results import Evaluation, read_evaluation
from runners import paths
from runners.running.record import Artifact, Step


@dataclasses.dataclass(frozen=True)
class Data:
    """The data that the ExampleGen read and wrote.

    Attributes:
      counts: its counts, by name (see components.movielens_example_gen.outcome).
      quarantine: folder of the rows that could not be used.
    """

    counts: dict[str, int]
    quarantine: str


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The result of a search for hyper-parameters.

    Attributes:
      name: the model's name, such as `retrieval`.
      trials: number of trials.
      objective: name of the metric that ranks the trials.
      score: the best trial's metric.
      own_score: the metric of the configured values, of `blend` that of weight 0; None if it was not finite.
      values: the best trial's hyper-parameters, as text.
    """

    name: str
    trials: int
    objective: str
    score: float
    own_score: float | None
    values: str


@dataclasses.dataclass(frozen=True)
class Model:
    """The verdict on one model.

    Attributes:
      name: the model's name, such as `retrieval`.
      blessed: whether its gates passed.
      champion: artifact id of the model that it was compared with; None if there was none.
      evaluation: metrics and thresholds.
    """

    name: str
    blessed: bool
    champion: int | None
    evaluation: Evaluation


@dataclasses.dataclass(frozen=True)
class Summary:
    """A run; a part that did not finish is None or absent."""

    data: Data | None
    tuned: tuple[Tuned, ...]
    models: tuple[Model, ...]
    pushed: dict[str, int | float | str] | None
    steps: tuple[Step, ...]


def read_summary(steps: Sequence[Step]) -> Summary:
    """Gather the results of a run.

    Args:
      steps: of one run, see record.latest_run.
    """
    done = [step for step in steps if step.done]
    data = [_data(step) for step in done if step.kind == "MovieLensExampleGen"]
    tuned = [_tuned(step) for step in done if step.kind == "CandidateTuner"]
    models = [_model(step) for step in done if step.kind == "Evaluator"]
    pushed = [_pushed(step) for step in done if step.kind == "IndexPusher"]
    return Summary(
        data=data[0] if data else None,
        tuned=tuple(sorted(tuned, key=lambda tuned: tuned.name)),
        models=tuple(sorted(models, key=lambda model: model.name)),
        pushed=pushed[0] if pushed else None,
        steps=tuple(steps),
    )


def _data(step: Step) -> Data:
    examples, quarantine = _only(step, "examples"), _only(step, "quarantine")
    counts = {name: value for name, value in examples.properties.items() if isinstance(value, int)}
    return Data(counts, paths.as_given(quarantine.uri))


def _tuned(step: Step) -> Tuned:
    search = _only(step, "best_hyperparameters").properties
    own = search.get("own_score")
    return Tuned(
        name=_model_name(step),
        trials=int(search["trials"]),
        objective=str(search["objective"]),
        score=float(search["score"]),
        own_score=None if own is None else float(own),
        values=str(search["values"]),
    )


def _model_name(step: Step) -> str:
    return step.node_id.split(".", 1)[-1]


def _model(step: Step) -> Model:
    blessing = _only(step, "blessing").properties
    champion = blessing.get("baseline_model_id")
    return Model(
        name=_model_name(step),
        blessed=blessing.get("blessed") == 1,
        champion=int(champion) if champion else None,
        evaluation=read_evaluation(_only(step, "evaluation").uri),
    )


def _pushed(step: Step) -> dict[str, int | float | str]:
    properties = _only(step, "pushed_model").properties
    # The artifact of a cached step holds the properties of the run that made it.
    return {**properties, "published_anew": 0} if step.state == "cached" else properties


def _only(step: Step, key: str) -> Artifact:
    artifact = step.output(key)
    if artifact is None:
        raise ValueError(f"{step.node_id} must have recorded its output {key}; it recorded {step.outputs}")
    return artifact
