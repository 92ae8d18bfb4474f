"""Keep secrets out of what is written down. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable

# As Beam calls those of its flags that are secrets, and the beginnings of them that its parser completes.
_FLAG = re.compile(r"--(?:[\w-]*(?:secret|token|password|connection_string)[\w-]*|s3_se[cs]\w*|azure_c\w*)")
# A colon before the host that no port follows, whatever the password is made of.
_PASSWORD = r"[^/?#@\s:\[]*:(?!\d+[/?#,])[^@\s]*@"
# What signs a URL of Azure, Amazon or Google, or lets its bearer in.
_SIGNATURE = r"\S*[?&](?:(?:[\w-]+-)?sig(?:nature)?|[\w-]*token|password)=[^&\s]"
_URL = re.compile(rf"(\w+://)(?:{_PASSWORD}|(?i:{_SIGNATURE}))")
# As Beam takes the environment of its workers.
_JSON = re.compile(r'"[\w-]*(?:secret|token|password)[\w-]*"\s*:', re.IGNORECASE)
REMEDY = "let the steps' account have the right, or set it in their environment"


def refuse(texts: Iterable[str], remedy: str = REMEDY) -> None:
    """Raise where a text tells a secret: by a flag or field, or by a URL with a password or a signature.

    Raises:
      ValueError: one is; it tells the remedy, and does not repeat the secret.

    >>> refuse(["--s3_region_name=eu-west-1", "s3://films/a@b", "https://host:8443/a@b"])
    >>> refuse(["--s3_secret_access_key=hush"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: --s3_secret_access_key must not be given, ...
    """
    for text in texts:
        if flag := _FLAG.match(text) or _JSON.search(text):
            raise ValueError(
                f"{flag[0].rstrip(' :')} must not be given, for flags are written into specifications, "
                f"metadata and logs: {remedy}"
            )
        if url := _URL.search(text):
            raise ValueError(
                f"{url[1]}... must hold no password and no signature, for it is written into specifications, "
                f"metadata and logs: {remedy}"
            )
