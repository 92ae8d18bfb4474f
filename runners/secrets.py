"""Keep secrets out of what is written down. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable

# As Beam calls those of its flags that are secrets, and the beginnings of them that its parser completes.
_FLAG = re.compile(r"--(?:[\w-]*(?:secret|token|password|connection_string)[\w-]*|s3_se[cs]\w*|azure_c\w*)")
# A colon before the host that no port follows, whatever the password is made of.
_PASSWORD = r"[^/?#@\s:\[]*:(?!\d+[/?#,])[^@\s]*@"
# What signs a URL of Azure, Amazon or Google.
_SIGNATURE = r"\S*[?&](?:[\w-]+-)?sig(?:nature)?=[^&\s]"
_URL = re.compile(rf"(\w+://)(?:{_PASSWORD}|(?i:{_SIGNATURE}))")
_REMEDY = "let the steps' account have the right, or set it in their environment"


def refuse(texts: Iterable[str], remedy: str = _REMEDY) -> None:
    """Raise where a text is a flag that tells a secret, or a URL with a password or a signature.

    Raises:
      ValueError: one is; it tells the remedy, and does not repeat the secret.

    >>> refuse(["--s3_region_name=eu-west-1", "s3://films/a@b", "https://host:8443/a@b"])
    >>> refuse(["--s3_secret_access_key=hush"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: --s3_secret_access_key must not be given, ...
    """
    for text in texts:
        if flag := _FLAG.match(text):
            raise ValueError(
                f"{flag[0]} must not be given, for flags are written into specifications, metadata and logs: "
                f"{remedy}"
            )
        if url := _URL.search(text):
            raise ValueError(
                f"{url[1]}... must hold no password and no signature, for it is written into specifications, "
                f"metadata and logs: {remedy}"
            )
