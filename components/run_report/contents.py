"""The contents of a report, which are also its JSON; collect.py fills them, page.py shows them."""

from __future__ import annotations

from typing import Any

import pydantic

from modules.evaluation.results import Evaluation


class _Part(pydantic.BaseModel):
    # JSON has no NaN and no infinity: they are written as null.
    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="null")


class Step(_Part):
    """A step of the pipeline.

    Attributes:
      name: its id; state: how it ended, `run`, `cached` or `failed`; seconds: how long it took.
      figure: its main figure.
      reads: the steps whose outputs it reads.
      peak_bytes: the most memory that its process had had when the step ended; None where that is not known.
    """

    name: str
    state: str
    seconds: float
    figure: str
    reads: list[str]
    peak_bytes: int | None = None


class RatingShare(_Part):
    """A rating, and the share of the rows of each split that have it, from TFDV's histogram."""

    rating: float
    by_split: dict[str, float]


class Data(_Part):
    """The ratings that the run read.

    Attributes:
      release: its name in the configuration; split: the split's method.
      counts: the ExampleGen's, by name.
      bad_rows: the first rows of the quarantine, quoted; none where users are not named by their ids.
      ratings: how the ratings are distributed, ascending.
      popularity: train's ratings of each title, the most rated first, 1,000 titles at most.
      vocabularies: number of terms that Transform found, by feature.
    """

    release: str
    split: str
    counts: dict[str, int]
    bad_rows: list[str]
    ratings: list[RatingShare]
    popularity: list[int]
    vocabularies: dict[str, int]


class Drift(_Part):
    """A feature's distance of the newest span from the window before it, and the bound."""

    feature: str
    distance: float
    bound: float


class Model(_Part):
    """A model's training and its gates.

    Attributes:
      name: such as `retrieval`.
      blessed: whether its gates passed.
      champion: artifact id of the model that it was compared with; None for none.
      hyperparameters: by name.
      training: by figure, the values by epoch or sweep.
      tuned: the result of its Tuner in words; empty without one.
      evaluation: metrics and gates.
    """

    name: str
    blessed: bool
    champion: int | None
    hyperparameters: dict[str, Any]
    training: dict[str, dict[int, float]]
    tuned: str
    evaluation: Evaluation


class Bundle(_Part):
    """What was pushed, or why nothing was.

    Attributes:
      version: the pushed version; None if none was pushed.
      reason: why none was.
      destination: folder of the version.
      figures: what the IndexPusher measured, by name: values, and tables as lists of rows.
      sizes: bytes by part of the bundle.
      card: its model card, Markdown.
    """

    version: int | None
    reason: str
    destination: str
    figures: dict[str, Any]
    sizes: dict[str, int]
    card: str


class Title(_Part):
    """A title of a list.

    Attributes:
      title: its name.
      score, predicted: of a recommended title; None for one that was rated.
      rated: what the user rated it; in a list of recommendations, in eval, after the training.
    """

    title: str
    score: float | None = None
    predicted: float | None = None
    rated: float | None = None


class Viewer(_Part):
    """A user, and what is recommended to them.

    Attributes:
      name: the id, or a hash of it.
      rows: the user's ratings in eval.
      latest: rated last before the newest of these, the latest first.
      served: by version, the list a day after that.
    """

    name: str
    rows: int
    latest: list[Title]
    served: dict[int, list[Title]]


class Report(_Part):
    """A run; what it did not reach is None or empty.

    Attributes:
      run: its name; pipeline: the pipeline's name.
      ended: local time in words; seconds: from start to end, None where a platform runs the steps.
      failed: message of the failure; empty if it did not fail.
      show_ids: whether users are named by their ids.
      results: what `local_runner.py --report` writes, see runners.reporting.report.
      served: the version in service when the run ended; None where no list was asked for.
    """

    run: str
    pipeline: str
    ended: str
    seconds: float | None
    failed: str = ""
    show_ids: bool = False
    results: dict[str, Any] = {}
    steps: list[Step] = []
    data: Data | None = None
    drift: list[Drift] = []
    models: list[Model] = []
    bundle: Bundle | None = None
    viewers: list[Viewer] = []
    served: int | None = None
