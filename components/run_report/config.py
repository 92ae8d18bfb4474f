"""Settings of the report; read by the runners."""

from __future__ import annotations

from typing import Literal

import pydantic


class ReportConfig(pydantic.BaseModel):
    """What a report tells of people.

    >>> ReportConfig().shows_ids("ml-100k"), ReportConfig().shows_ids("custom")
    (True, False)
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # How users are named: by their ids, or by hashes under a key that is not kept. None: by ids in MovieLens'
    # releases, whose users GroupLens made anonymous, and by hashes in all other data.
    users: Literal["ids", "hashes"] | None = None

    def shows_ids(self, release: str) -> bool:
        """Return whether the users of a release are named by their ids."""
        return release.startswith("ml-") if self.users is None else self.users == "ids"
