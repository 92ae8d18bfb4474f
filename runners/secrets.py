"""Keep URLs that hold a secret out of what is written down. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable

# A colon before the host that no port follows, whatever the password is made of.
_PASSWORD = r"[^/?#@\s:\[]*:(?!\d+[/?#,])[^@\s]*@"
# What signs a URL of Azure, Amazon or Google, or lets its bearer in.
_SIGNATURE = r"\S*[?&](?:(?:[\w-]+-)?sig(?:nature)?|[\w-]*token|password)=[^&\s]"
_URL = re.compile(rf"(\w+://)(?:{_PASSWORD}|(?i:{_SIGNATURE}))")
REMEDY = "let the steps' account have the right, or set it in their environment"


def refuse(texts: Iterable[str], remedy: str = REMEDY) -> None:
    """Raise where a text holds a URL with a password or a signature.

    Raises:
      ValueError: one does; it tells the remedy, and does not repeat the secret.

    >>> refuse(["--s3_endpoint_url=http://host:9000", "s3://films/a@b", "https://host:8443/a@b"])
    >>> refuse(["--data=https://me:hush@host/films"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: https://... must hold no password and no signature, ...
    """
    for text in texts:
        if url := _URL.search(text):
            raise ValueError(
                f"{url[1]}... must hold no password and no signature, for it is written into specifications, "
                f"metadata and logs: {remedy}"
            )
