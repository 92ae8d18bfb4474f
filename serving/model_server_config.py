"""What TF Serving is told to load: a ModelServerConfig, in protobuf's text format.

Told by `--model_config_file`, and polled with `--model_config_file_poll_wait_seconds`. Per model two
versions: the one in service, and the one that a rollback would turn to, which so is in memory when it is
needed. No version above the one in service is listed: a request that names no version gets the highest that
is loaded, and until a new one is loaded that is the one before, so no moment is without a model.

No labels. TF Serving refuses a whole configuration that moves a label to a version that is not loaded yet
(server_core.cc, UpdateModelVersionLabelMap, which runs before the versions are changed): it would never load
a version that comes with its label. Nor a model that cannot load, for the server then waits for it for ever
(tensorflow/serving#2189): what needs ScaNN's operations has a configuration of its own.

Base paths are absolute, since the server has no flag for what relative ones would start from. So a container
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
