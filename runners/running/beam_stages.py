"""The stages of the Beam pipelines that a step runs in this process, counted as they end."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner


@contextlib.contextmanager
def counted(show: Callable[[int, int], None]) -> Iterator[None]:
    """Tell of every stage that ends in this context.

    FnApiRunner fuses a pipeline into stages, and executes the bundles of one after the other. Beam has no
    listener for that: the hook is around the method that executes a bundle, which is private, and the same
    in Beam 2.64 and 2.77. In a Beam without it nothing is told.

    Args:
      show: is given how many stages of a pipeline are done, and how many it has.
    """
    execute = getattr(FnApiRunner, "_execute_bundle", None)
    if execute is None:
        yield
        return
    # By the execution of a pipeline; the one of BeamDagRunner is around those of the steps.
    done: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()

    def counting(self: FnApiRunner, execution: Any, bundle: Any, *rest: Any) -> Any:
        result = execute(self, execution, bundle, *rest)
        # A stage may have several bundles.
        names = done.setdefault(execution, set())
        names.add(bundle.stage.name)
        show(len(names), len(execution.stages))
        return result

    FnApiRunner._execute_bundle = counting
    try:
        yield
    finally:
        FnApiRunner._execute_bundle = execute
