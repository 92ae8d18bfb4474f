"""Tell uv the package index that pip is set up with: uv does not read pip's configuration. Pure functions."""

import ast
import os
from typing import Dict, Mapping

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


def pip_settings(listing: str) -> Dict[str, str]:
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


def uv_variables(settings: Mapping[str, str], environ: Mapping[str, str]) -> Dict[str, str]:
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
