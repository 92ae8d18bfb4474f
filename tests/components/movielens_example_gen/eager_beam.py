"""A runner of Beam that applies each step to a list as soon as it can, for tests of what the steps compute.

Beam's local runner spends half a second on the encodings and descriptions of a pipeline of ten rows. This
one knows the transforms that the data preparation is made of, and neither windows nor state. test_shards.py
compares what both of them write.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.internal import util
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.pvalue import PCollection, PValue, TaggedOutput
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

# What a test passes as `beam_pipeline_args`; the image keeps TFX from packing its own source.
FLAGS = (f"--runner={__name__}.EagerRunner", "--sdk_container_image=none")

# Composites of Beam's own that are done in one step.
_WHOLE = (beam.Create, beam.Reshuffle, beam.CombineGlobally)


class EagerRunner(PipelineRunner):
    """Run a bounded pipeline here and now."""

    def apply(self, transform: beam.PTransform, input: Any, options: PipelineOptions) -> Any:
        return PCollection(input.pipeline) if isinstance(transform, _WHOLE) else transform.expand(input)

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        pipeline.visit(_Evaluation())
        return PipelineResult(PipelineState.DONE)


class _Evaluation(PipelineVisitor):
    """Keeps every collection's elements; Beam visits a step after those that it reads."""

    def __init__(self) -> None:
        self._elements: defaultdict[PValue, list] = defaultdict(list)

    def visit_transform(self, node: AppliedPTransform) -> None:
        transform = node.transform
        inputs = list(itertools.chain.from_iterable(self._elements[value] for value in node.inputs))
        if isinstance(transform, beam.ParDo):
            views = [
                view._from_runtime_iterable(self._elements[view.pvalue], view._view_options())
                for view in transform.side_inputs
            ]
            for output in _processed(transform, inputs, views):
                tagged = isinstance(output, TaggedOutput)
                tag, value = (output.tag, output.value) if tagged else (None, output)
                if tag in node.outputs:  # Else nobody reads it.
                    self._elements[node.outputs[tag]].append(value)
        else:
            (collection,) = node.outputs.values()
            self._elements[collection] = _computed(transform, inputs)


def _processed(transform: beam.ParDo, inputs: Sequence, views: Sequence) -> Iterable:
    args, kwargs = util.insert_values_in_args(transform.args, transform.kwargs, views)
    for element in inputs:
        yield from transform.fn.process(element, *args, **kwargs) or ()


def _computed(transform: beam.PTransform, inputs: Sequence) -> list:
    if isinstance(transform, beam.Create):
        return list(transform.values)
    if isinstance(transform, beam.Reshuffle | beam.Flatten):
        return list(inputs)
    if isinstance(transform, beam.GroupByKey):
        grouped = defaultdict(list)
        for key, value in inputs:
            grouped[key].append(value)
        return list(grouped.items())
    if isinstance(transform, beam.CombineGlobally):
        total = transform.fn.create_accumulator()
        for value in inputs:
            total = transform.fn.add_input(total, value)
        return [transform.fn.extract_output(total)]
    raise TypeError(f"the eager runner does not know {type(transform).__name__}")
