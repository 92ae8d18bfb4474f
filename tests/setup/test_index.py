"""uv uses the package index that pip is set up with."""

import os
import pathlib
import subprocess
import sys

from bootstrap import index


def _pip_config_list(configuration: pathlib.Path, **variables: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(configuration.parent)}
    environ.update(variables, PIP_CONFIG_FILE=str(configuration))
    return subprocess.check_output([sys.executable, "-m", "pip", "config", "list"], env=environ, text=True)


def test_settings_are_read_as_pip_weighs_them(tmp_path: pathlib.Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://global/simple\ntimeout = 9\ncert = /global.pem\n"
        "[install]\nindex-url = https://install/simple\n"
        "[download]\nindex-url = https://download/simple\n"
        "extra-index-url =\n    https://one/simple\n    https://two/it's=here\n"
    )
    settings = index.pip_settings(_pip_config_list(configuration, PIP_CERT="/variable.pem"))
    assert settings["index-url"] == "https://install/simple"
    assert settings["cert"] == "/variable.pem"
    assert settings["timeout"] == "9"
    assert "extra-index-url" not in settings  # only `pip download` was to see it

    listing = _pip_config_list(configuration, PIP_EXTRA_INDEX_URL="https://one/simple https://two/it's=here")
    assert index.pip_settings(listing)["extra-index-url"].split() == [
        "https://one/simple",
        "https://two/it's=here",
    ]


def test_every_setting_of_an_index_reaches_uv(tmp_path: pathlib.Path) -> None:
    settings = {
        "index-url": "https://user:word@mirror/simple",
        "extra-index-url": "\nhttps://one/simple\nhttps://two/simple",
        "find-links": f"{tmp_path} {tmp_path}/absent https://wheels/",
        "trusted-host": "mirror one:8080",
        "cert": "/company.pem",
        "proxy": "http://proxy:3128",
    }
    assert index.uv_variables(settings, {"HOME": "/home/ada"}) == {
        "HOME": "/home/ada",
        "UV_DEFAULT_INDEX": "https://user:word@mirror/simple",
        "UV_INDEX": "https://one/simple https://two/simple",
        "UV_FIND_LINKS": f"{tmp_path},https://wheels/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "mirror one:8080",
        "SSL_CERT_FILE": "/company.pem",
        "ALL_PROXY": "http://proxy:3128",
    }


def test_an_index_that_uv_is_set_up_with_wins() -> None:
    settings = {"index-url": "https://pips/simple", "cert": "/pips.pem"}
    environ = {"UV_INDEX_URL": "https://uvs/simple", "SSL_CERT_FILE": "/own.pem"}
    assert index.uv_variables(settings, environ) == environ


def test_pip_as_it_comes_changes_nothing_but_the_search() -> None:
    assert index.uv_variables({}, {}) == {"UV_INDEX_STRATEGY": "unsafe-best-match"}
