"""A runner of Beam that applies each step to a list as soon as it can, for tests of what the steps compute.

Of small data, Beam's local runner spends most of its time on encodings and descriptions. This one knows
bounded data in one window, and neither state nor splittable functions. What both of them write is compared by
tests/pipeline/test_beam_paths.py and, of the data preparation, by test_shards.py.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io import iobase
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.pvalue import PCollection, PValue
from apache_beam.runners import common
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

# What a test passes as `beam_pipeline_args`; the image keeps TFX from packing its own source.
FLAGS = (f"--runner={__name__}.EagerRunner", "--sdk_container_image=none")

# Composites of Beam's own that are done in one step.
_WHOLE = (beam.Create, beam.Reshuffle, iobase.Read)


class EagerRunner(PipelineRunner):
    """Run a bounded pipeline here and now."""

    def apply(self, transform: beam.PTransform, input: Any, options: PipelineOptions) -> Any:
        return PCollection(input.pipeline) if isinstance(transform, _WHOLE) else transform.expand(input)

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        pipeline.visit(_Evaluation())
        return PipelineResult(PipelineState.DONE)


class _Received(common.Receiver):
    """Keeps what a step puts out under a tag."""

    def __init__(self, elements: list[WindowedValue]) -> None:
        self._elements = elements

    def receive(self, windowed_value: WindowedValue) -> None:
        self._elements.append(windowed_value)


class _Evaluation(PipelineVisitor):
    """Keeps every collection's elements; Beam visits a step after those that it reads."""

    def __init__(self) -> None:
        self._elements: defaultdict[PValue, list[WindowedValue]] = defaultdict(list)

    def visit_transform(self, node: AppliedPTransform) -> None:
        transform = node.transform
        inputs = list(itertools.chain.from_iterable(self._elements[value] for value in node.inputs))
        if isinstance(transform, beam.ParDo):
            self._process(node, inputs)
        else:
            (collection,) = node.outputs.values()
            self._elements[collection] = _computed(transform, inputs)

    def _process(self, node: AppliedPTransform, inputs: Sequence[WindowedValue]) -> None:
        transform = node.transform
        # Outputs that nobody reads are received too.
        receivers: defaultdict[str | None, _Received] = defaultdict(lambda: _Received([]))
        receivers[None] = _Received([])
        for tag, collection in node.outputs.items():
            receivers[tag] = _Received(self._elements[collection])
        views = [
            SideInputMap(type(view), view._view_options(), self._elements[view.pvalue])
            for view in transform.side_inputs
        ]
        runner = common.DoFnRunner(
            transform.fn,
            transform.args,
            transform.kwargs,
            views,
            next(iter(node.outputs.values())).windowing,
            receivers,
            step_name=node.full_label,
        )
        runner.setup()
        runner.start()
        for element in inputs:
            runner.process(element)
        runner.finish()
        runner.teardown()


def _computed(transform: beam.PTransform, inputs: Sequence[WindowedValue]) -> list[WindowedValue]:
    if isinstance(transform, beam.Impulse):
        return _windowed([b""])
    if isinstance(transform, beam.Create):
        return _windowed(transform.values)
    if isinstance(transform, iobase.Read):
        source = transform.source
        return _windowed(source.read(source.get_range_tracker(None, None)))
    if isinstance(transform, beam.Reshuffle | beam.Flatten):
        return list(inputs)
    if isinstance(transform, beam.GroupByKey):
        grouped = defaultdict(list)
        for element in inputs:
            key, value = element.value
            grouped[key].append(value)
        return _windowed(grouped.items())
    raise TypeError(f"the eager runner does not know {type(transform).__name__}")


def _windowed(values: Iterable) -> list[WindowedValue]:
    return [GlobalWindows.windowed_value(value) for value in values]
