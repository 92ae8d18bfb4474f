"""Settings of the BatchRecommender; read by the compiler and by the executor."""

from __future__ import annotations

import pydantic


class BatchConfig(pydantic.BaseModel):
    """Number of titles for each user, and time of the requests.

    >>> BatchConfig(k=20).timestamp is None
    True
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Titles for each user, at least 1; a user with fewer unseen titles gets fewer.
    k: int = pydantic.Field(default=10, ge=1, lt=2**31)
    # Time of the requests, Unix seconds; None: when the step begins.
    timestamp: int | None = pydantic.Field(default=None, ge=0, lt=2**63)
