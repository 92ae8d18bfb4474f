"""Beam without what it does again for every step of every pipeline: half of a small pipeline's time here.

It reads the signatures of all methods of a DoFn wherever it makes one, and looks there for state and timers.
It parses a pipeline's flags for each class of options at every step. It weighs every side input, for a cache
of 100 MB, by a walk through the globals of all modules. And for every object that it pickles, all loggers
forget which levels they are enabled for.
"""

from __future__ import annotations

import copy
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.internal import dill_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core, userstate

_Signature = tuple[list[str], list[Any]]
_Specs = tuple[set, set]


def use() -> None:
    """Do each of these once in this process, and give side inputs no weight to speak of.

    A Beam that has other names for these stays as it is.
    """
    if read := getattr(core, "get_function_args_defaults", None):
        core.get_function_args_defaults = _remembering(read)
    if find := getattr(userstate, "get_dofn_specs", None):
        userstate.get_dofn_specs = _of_class(find)
    if hasattr(PipelineOptions, "_visible_option_list"):
        PipelineOptions.view_as = _remembered_view()
    if hasattr(statecache, "get_deep_size"):
        statecache.get_deep_size = lambda *values: 1
    if hasattr(dill_pickler.dill.dill, "_trace"):
        dill_pickler.dill.dill._trace = lambda on: None


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


def _of_class(find: Callable[[core.DoFn], _Specs]) -> Callable[[core.DoFn], _Specs]:
    found: weakref.WeakKeyDictionary[type, _Specs] = weakref.WeakKeyDictionary()

    def get_dofn_specs(dofn: core.DoFn) -> _Specs:
        if type(dofn) not in found:
            found[type(dofn)] = find(dofn)
        states, timers = found[type(dofn)]
        return {*states}, {*timers}

    return get_dofn_specs


def _remembered_view() -> Callable[[PipelineOptions, type], PipelineOptions]:
    parsed: dict[tuple[type, tuple[str, ...]], PipelineOptions] = {}

    def view_as(options: PipelineOptions, cls: type) -> PipelineOptions:
        key = cls, tuple(sys.argv[1:] if options._flags is None else options._flags)
        if key not in parsed:
            parsed[key] = cls([*key[1]])
        names = parsed[key]._visible_option_list()
        # Copies, for Beam adds to lists among them.
        values = {name: copy.copy(getattr(parsed[key]._visible_options, name)) for name in names}
        options._all_options.update(values | options._all_options)
        view: PipelineOptions = object.__new__(cls)
        view.__dict__.update(parsed[key].__dict__)
        # Which all views share.
        view.__dict__.update(_flags=options._flags, _all_options=options._all_options)
        return view

    return view_as
