"""Objects of Google Cloud Storage that several publishers write, so that none overwrites another's change.

Every write gives an object a new generation, and the store rejects a write that names another generation than
the object has. So of two publishers that have read the same generation, one writes and the other gets an
error, without a clock or a wait.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from common.errors import first_line
from serving.stores.lease import LeaseLost

# Key of an object's metadata: who wrote it, so that a write whose answer was lost on its way is known again.
_WRITER = "writer"

# Seconds in which an object is read again whose content arrives damaged: the client retries refused requests,
# not a checksum that differs.
_DAMAGED_TIMEOUT = 10.0


class Objects:
    """Small texts by name. Of each, the generation that was read or written last is remembered."""

    def __init__(self, destination: str) -> None:
        """Open a destination, gs://bucket/folder.

        Raises:
          ValueError: Google's client is not installed.
          OSError: there are no credentials.
        """
        try:
            from google.api_core import exceptions, retry
            from google.auth.exceptions import GoogleAuthError
            from google.cloud.storage import Client
            from google.resumable_media import DataCorruption
        except ModuleNotFoundError as error:
            raise ValueError(
                f"A destination of Google Cloud Storage needs google-cloud-storage; received {destination}, "
                f"and {error}. Run this in the environment of the pipeline."
            ) from error
        self._location = destination
        self._absent, self._changed = exceptions.NotFound, exceptions.PreconditionFailed
        self._errors = (exceptions.GoogleAPIError, GoogleAuthError)
        self._retry_damaged = retry.Retry(
            retry.if_exception_type(DataCorruption), initial=0.05, timeout=_DAMAGED_TIMEOUT
        )
        bucket, _, self._folder = destination.removeprefix("gs://").partition("/")
        with self._in_words():
            # None: what is read and written needs no project.
            self._bucket = Client(project=None).bucket(bucket)
        self._seen: dict[str, int] = {}

    def forget(self) -> None:
        """Forget the generations: who begins to change the destination reads what it is going to change."""
        self._seen.clear()

    def read(self, name: str) -> str | None:
        """Text of an object; None where it is absent.

        Raises:
          OSError: it can't be read, or arrives damaged each time.
        """
        blob = self._blob(name)
        try:
            with self._in_words():
                content = self._retry_damaged(blob.download_as_bytes)()
        except FileNotFoundError:
            self._seen[name] = 0
            return None
        self._seen[name] = int(blob.generation)
        return content.decode(errors="replace")

    def look(self, name: str) -> None:
        """Remember the generation of an object that was not read."""
        if name not in self._seen:
            self.read(name)

    def write(self, name: str, text: str) -> None:
        """Replace an object that was read, or looked at.

        Raises:
          LeaseLost: another wrote it since.
        """
        blob, writer = self._blob(name), secrets.token_hex(16)
        blob.metadata = {_WRITER: writer}
        with self._in_words():
            try:
                blob.upload_from_string(text, if_generation_match=self._seen[name])
            except self._changed as error:
                blob = self._bucket.get_blob(blob.name)
                if blob is None or (blob.metadata or {}).get(_WRITER) != writer:
                    raise LeaseLost(
                        "A publisher must hold its destination to the end; another wrote "
                        f"{self._location}/{name} since this one read it. Publish again."
                    ) from error
        self._seen[name] = int(blob.generation)

    def remove(self, name: str) -> None:
        """Delete an object that was read; one that another wrote since is left."""
        with contextlib.suppress(FileNotFoundError), self._in_words(), contextlib.suppress(self._changed):
            self._blob(name).delete(if_generation_match=self._seen.pop(name))

    def _blob(self, name: str):
        return self._bucket.blob(f"{self._folder}/{name}" if self._folder else name)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Raise what a caller that knows nothing of Google's client can handle."""
        try:
            yield
        except self._absent as error:
            raise FileNotFoundError(f"{self._location}: {error.message}") from error
        except self._errors as error:
            raise OSError(f"{self._location}: {first_line(error)}") from error
