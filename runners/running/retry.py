"""Which failures of a step are transient, and how long to wait before it is tried again."""

from __future__ import annotations

from runners.reporting.failure import Cause

# Seconds before the second and before the third, last try.
DELAYS = (5.0, 30.0)

# Names of exceptions without their module: of Python, requests, urllib3, Google's clients and TensorFlow.
_TRANSIENT = frozenset(
    (
        *("ConnectionError", "ConnectionResetError", "ConnectionAbortedError", "ConnectionRefusedError"),
        *("BrokenPipeError", "TimeoutError", "Timeout", "ConnectTimeout", "ReadTimeout"),
        *("ChunkedEncodingError", "ProtocolError", "NewConnectionError", "MaxRetryError"),
        *("ServiceUnavailable", "TooManyRequests", "ResourceExhausted", "DeadlineExceeded"),
        *("InternalServerError", "BadGateway", "GatewayTimeout", "RetryError"),
        *("UnavailableError", "ResourceExhaustedError", "DeadlineExceededError", "AbortedError"),
    )
)
# gRPC's and TensorFlow's messages begin so if memory, not a quota, is exhausted: to wait does not help then.
_OUT_OF_MEMORY = ("OOM", "Out of memory", "failed to allocate")


def is_transient(cause: Cause) -> bool:
    """Return whether a step that failed so may succeed if it is run again unchanged.

    An error of the project itself is never transient: its message says what the user has to change.

    >>> is_transient(Cause("requests.exceptions.ConnectionError", "reset by peer"))
    True
    >>> is_transient(Cause("common.errors.DataError", "u.data is empty"))
    False
    >>> is_transient(Cause("ValueError", "shapes differ"))
    False
    """
    if cause.own or cause.disk_full or any(words in cause.message for words in _OUT_OF_MEMORY):
        return False
    return cause.name.rsplit(".", 1)[-1] in _TRANSIENT
