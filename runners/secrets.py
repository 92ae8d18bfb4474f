"""Keep secrets out of what is written down. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable

# As Beam calls those of its flags that are secrets.
_FLAG = re.compile(r"--\w*(?:secret|token|password|connection_string)\w*")
_URL = re.compile(r"(\w+://)[^/@\s]*:[^/@\s]*@")


def refuse(texts: Iterable[str]) -> None:
    """Raise where a text is a flag that tells a secret, or a URL with a password.

    Raises:
      ValueError: one is; it does not repeat the secret.

    >>> refuse(["--s3_region_name=eu-west-1", "s3://films/a@b"])
    >>> refuse(["--s3_secret_access_key=hush"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: --s3_secret_access_key must not be given, ...
    """
    for text in texts:
        if flag := _FLAG.match(text):
            raise ValueError(
                f"{flag[0]} must not be given, for flags are written into specifications, metadata and logs: "
                "let the steps' account have the right, or set it in their environment"
            )
        if url := _URL.search(text):
            raise ValueError(
                f"{url[1]}... must hold no password, for it is written into specifications, metadata and "
                "logs: let the steps' account have the right, or set it in their environment"
            )
