"""Beam without what it does again for every step of every pipeline: a fifth of an Evaluator's time here.

It reads the signatures of all methods of a DoFn wherever it makes one. And it weighs every side input, for a
cache of 100 MB, by a walk through the globals of all modules.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.runners.worker import statecache
from apache_beam.transforms import core

_Signature = tuple[list[str], list[Any]]


def use() -> None:
    """Read each function's signature once in this process, and give side inputs no weight to speak of.

    A Beam that has other names for these stays as it is.
    """
    if read := getattr(core, "get_function_args_defaults", None):
        core.get_function_args_defaults = _remembering(read)
    if hasattr(statecache, "get_deep_size"):
        statecache.get_deep_size = lambda *values: 1


def _remembering(read: Callable[[Callable], _Signature]) -> Callable[[Callable], _Signature]:
    found: dict[bool, weakref.WeakKeyDictionary[Callable, _Signature]] = {
        bound: weakref.WeakKeyDictionary() for bound in (False, True)
    }

    def get_function_args_defaults(function: Callable) -> _Signature:
        plain = getattr(function, "__func__", function)
        if not isinstance(plain, types.FunctionType):
            return read(function)
        known = found[plain is not function]
        if plain not in known:
            known[plain] = read(function)
        names, defaults = known[plain]
        return [*names], [*defaults]

    return get_function_args_defaults
