"""Keep secrets out of files and logs, and off unencrypted connections. Standard library only."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Iterable

# A password: text between a colon, which no port follows, and the @ before the host.
_PASSWORD = r"[^/?#@\s:\[]*:(?!\d+[/?#,])[^@\s]*@"
# A signature or token in the query of a URL, as of Azure, Amazon and Google.
_SIGNATURE = r"\S*[?&](?:(?:[\w-]+-)?sig(?:nature)?|[\w-]*token|password)=[^&\s]"
_URL = re.compile(rf"(\w+://)(?:{_PASSWORD}|(?i:{_SIGNATURE}))")
REMEDY = "let the steps' account have the right, or set it in their environment"


def reject(texts: Iterable[str], remedy: str = REMEDY) -> None:
    """Raise if a text holds a URL with a password or a signature.

    Raises:
      ValueError: a text does; the message names the remedy, and does not repeat the secret.

    >>> reject(["--s3_endpoint_url=http://host:9000", "s3://films/a@b", "https://host:8443/a@b"])
    >>> reject(["--data=https://me:hush@host/films"])  # doctest: +ELLIPSIS
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
    """Require that nobody can read a token on its way to an endpoint: it has TLS, or is this machine.

    Args:
      host: a URL; without a scheme, http.
    Raises:
      ValueError: it has no TLS and is another machine.

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
