"""The file that says which models TF Serving loads: a ModelServerConfig, in protobuf's text format.

TF Serving reads the file that `--model_config_file` names, again and again with
`--model_config_file_poll_wait_seconds`. The file lists two versions of each model: the served one, and the
one that a rollback would serve, which is then already in memory. It lists no version above the served one: a
request that names no version gets the highest loaded version. Until a new version is loaded, that is the
version before, so that a model is loaded at all times.

The file has no labels. TF Serving rejects a whole configuration that moves a label to a version that is not
loaded yet (server_core.cc, UpdateModelVersionLabelMap, which runs before the versions are changed): it would
never load a version that comes with its label. Nor does the file list a model that cannot load, because the
server would wait for it for ever (tensorflow/serving#2189): models with ScaNN's operations have a
configuration of their own.

Base paths are absolute, since the server has no flag that says what relative paths start from. So a container
mounts the destination under the path that it has outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from serving.layout import SERVING


def write_text(location: str, versions: Mapping[str, Sequence[int]]) -> str:
    """Compose the file.

    Args:
      location: the destination, an absolute path or a URI.
      versions: versions to load, by model.

    >>> print(write_text("/pushed", {"ranking": [3, 2]}), end="")
    model_config_list {
      config {
        name: "ranking"
        base_path: "/pushed/serving/ranking"
        model_platform: "tensorflow"
        model_version_policy {
          specific {
            versions: 3
            versions: 2
          }
        }
      }
    }
    """
    lines = ["model_config_list {"]
    for model, numbers in versions.items():
        lines += [
            "  config {",
            f"    name: {_quoted(model)}",
            f"    base_path: {_quoted(f'{location}/{SERVING}/{model}')}",
            '    model_platform: "tensorflow"',
            "    model_version_policy {",
            "      specific {",
            *(f"        versions: {number}" for number in numbers),
            "      }",
            "    }",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    # JSON's escapes are among those of the text format.
    return json.dumps(text, ensure_ascii=False)
