"""Which failures of a step pass by themselves, and how long to wait for that. Called around each step."""

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
# As gRPC and TensorFlow begin what they say where memory, not a quota, is exhausted: no wait brings more.
_OUT_OF_MEMORY = ("OOM", "Out of memory", "failed to allocate")


def is_transient(cause: Cause) -> bool:
    """Tell whether a step that failed so may succeed when it is run again as it is.

    What the project itself raises never is: it says what somebody has to change.

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
