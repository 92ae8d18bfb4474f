"""Settings of the BatchRecommender; read by the compiler and by the executor."""

from __future__ import annotations

import pydantic


class BatchConfig(pydantic.BaseModel):
    """What every user is recommended.

    >>> BatchConfig(k=20).timestamp is None
    True
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Titles for each user, at least 1; a user who has fewer left gets those.
    k: int = pydantic.Field(default=10, ge=1, lt=2**31)
    # Moment of the requests, Unix seconds; None: when the step begins.
    timestamp: int | None = pydantic.Field(default=None, ge=0, lt=2**63)
