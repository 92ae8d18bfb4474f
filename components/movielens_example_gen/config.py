"""Settings of the data; the executor gets them as JSON in an execution property."""

from __future__ import annotations

from typing import Final, Literal

import pydantic

from components.movielens_example_gen.sources import releases
from modules import features

HASH: Final = "hash"
TIME: Final = "time"
GIVEN: Final = "given"
SPAN: Final = "span"


class SplitConfig(pydantic.BaseModel):
    """How rows are divided into train and eval."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # hash: each row by a seeded hash of itself, stable when rows are appended;
    # time: every row from one timestamp on is eval; given: the input has train/ and eval/ folders;
    # span: the newest span is eval, all earlier ones of the window are train.
    method: Literal["hash", "time", "given", "span"] = HASH
    # Share of the rows that go to eval, above 0 and below 1; not used by `given` and `span`.
    eval_share: float = pydantic.Field(default=0.2, gt=0, lt=1)
    # Seed of the hash, 0 or more; also decides which file a row is written to, and where in it.
    seed: int = pydantic.Field(default=42, ge=0, lt=2**63)
    # `time` and `span` only, of no effect elsewhere: whether eval rows count in the history of later eval
    # rows, as in serving. Otherwise only train rows do.
    rolling: bool = True


class SpansConfig(pydantic.BaseModel):
    """Which spans of the input are read, see `spans`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Number of spans, the newest ones, 2 or more; None for all.
    window: int | None = pydantic.Field(None, ge=2)
    # Number of the last span that is read, as if no later one had come; None for the newest there is.
    newest: int | None = pydantic.Field(None, ge=0)
    # Version of each span that is read, by the span's number; other spans are not read. None for the latest
    # version of every span.
    versions: dict[int, int] | None = None
    # Whether a span number that is missing within the window stops the run, or gives a warning.
    gaps: Literal["stop", "warn"] = "stop"


class DataConfig(pydantic.BaseModel):
    """Which data, how it is split, and how many bad rows are allowed.

    >>> DataConfig(release="ml-1m").split.method
    'hash'
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # A name in releases.RELEASES; `custom` for CSV or Parquet files of one's own.
    release: str = "ml-100k"
    # How to read data that arrives as spans; None where the input is one release.
    spans: SpansConfig | None = None
    split: SplitConfig = SplitConfig()
    # Ratings in a row's history at most, the user's latest before the row; 0 for none. A row of train has at
    # most 20.
    history_length: int = pydantic.Field(features.HISTORY_LENGTH, ge=0, le=features.HISTORY_LENGTH)
    # Greatest allowed share of bad rows, 0 to 1; of the ratings, of the movies and of the users alike.
    max_bad_share: float = pydantic.Field(default=0.001, ge=0, le=1)

    @pydantic.field_validator("release")
    @classmethod
    def _known_release(cls, name: str) -> str:
        if name not in releases.RELEASES:
            raise ValueError(f"release must be one of {', '.join(releases.RELEASES)}; received {name!r}")
        return name

    @pydantic.model_validator(mode="after")
    def _split_fits_the_input(self) -> DataConfig:
        if self.split.method == SPAN and not self.spans:
            raise ValueError("split method span needs spans to be set; received none")
        if self.split.method == GIVEN and self.spans:
            raise ValueError("spans go with the split methods hash, time and span; received given")
        return self

    def with_window(self, window: int) -> DataConfig:
        """Return the same with another number of spans.

        Raises:
          ValueError: the input is not read as spans, or the number is below 2.

        >>> DataConfig(spans=SpansConfig()).with_window(8).spans.window
        8
        """
        if self.spans is None:
            raise ValueError(f"a window is of data that arrives as spans; received {window}, and no spans")
        return DataConfig.model_validate(
            {**self.model_dump(), "spans": {**self.spans.model_dump(), "window": window}}
        )

    @property
    def is_own(self) -> bool:
        """Whether the rows are a user's own files, which release and split do not identify.

        >>> DataConfig().is_own, DataConfig(release="custom").is_own
        (False, True)
        """
        return self.release == releases.CUSTOM or self.split.method == GIVEN or self.spans is not None

    @property
    def spec(self) -> releases.Release:
        """The release's row in the table."""
        return releases.RELEASES[self.release]

    def input_files(self) -> dict[str, tuple[str, ...]]:
        """Name every file that is read, below the input folder, by its part in the input.

        Returns:
          Relative names; several names in one part mean any one of them.

        >>> DataConfig(split=SplitConfig(method="given")).input_files()["ratings_eval"]
        ('eval/u.data',)
        """
        spec = self.spec
        if self.split.method == GIVEN:
            parts = {
                f"ratings_{split}": tuple(f"{split}/{name}" for name in spec.ratings.names)
                for split in ("train", "eval")
            }
        else:
            parts = {"ratings": spec.ratings.names}
        parts["movies"] = spec.movies.names
        if spec.users:
            parts["users"] = spec.users.names
        return parts
