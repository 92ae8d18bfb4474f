"""Keep secrets out of what is written down, and off open wires. Standard library only."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
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


def require_private(host: str) -> None:
    """Require of an endpoint that a token on its way there can be read by nobody: TLS, or this machine.

    Args:
      host: a URL, http where it has no scheme.
    Raises:
      ValueError: it is neither.

    >>> require_private("https://kf.example"), require_private("localhost:8080")
    (None, None)
    """
    url = urllib.parse.urlsplit(host if "://" in host else f"http://{host}")
    name = url.hostname or ""
    try:
        is_here = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_here = name == "localhost"
    if url.scheme != "https" and not is_here:
        raise ValueError(
            f"--host must begin with https://, for the token would be read on its way; received {host}"
        )
