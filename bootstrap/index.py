"""Tell uv the package index that pip is set up with: uv does not read pip's configuration."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


def pip_configuration() -> str:
    """Return what `pip config list` prints, nothing where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def pip_settings(listing: str) -> dict[str, str]:
    r"""Return pip's settings from what `pip config list` prints, the one in force for each name.

    >>> pip_settings("global.index-url='https://a/'\n:env:.index-url='https://b/'")
    {'index-url': 'https://b/'}
    """
    settings = {}
    for section in ("global.", "install.", ":env:."):  # the later wins, as in pip
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                settings[name[len(section) :]] = str(ast.literal_eval(value))
    return settings


def uv_variables(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with pip's settings in it as uv's variables; those that are set already win.

    They are variables and not flags because a URL may carry a password, and any user of a machine sees flags.
    """
    words = {name: value.split() for name, value in settings.items()}
    offers = {
        "UV_INSECURE_HOST": " ".join(words.get("trusted-host", [])),
        "SSL_CERT_FILE": settings.get("cert", ""),
        "ALL_PROXY": settings.get("proxy", ""),
    }
    if not any(name in environ for name in INDEX_VARIABLES):
        # pip passes over a folder that is not there; uv fails.
        links = [link for link in words.get("find-links", []) if "://" in link or os.path.exists(link)]
        offers["UV_DEFAULT_INDEX"] = settings.get("index-url", "")
        offers["UV_INDEX"] = " ".join(words.get("extra-index-url", []))
        offers["UV_FIND_LINKS"] = ",".join(links)
        # pip looks for a version in every index; uv stops at the first that knows the package, for fear of a
        # stranger's. The lock files' hashes see to that.
        offers["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {**{name: value for name, value in offers.items() if value}, **environ}
