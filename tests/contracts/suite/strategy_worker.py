"""One worker of a spread training, as a process: `... strategy_worker MODULE FN_ARGS_AS_JSON`."""

from __future__ import annotations

import importlib
import json
import sys
import types

if __name__ == "__main__":
    name, fn_args = sys.argv[1:]
    importlib.import_module(name).run_fn(types.SimpleNamespace(**json.loads(fn_args)))
