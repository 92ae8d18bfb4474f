"""Beam's flags of the steps. Called by the wiring, and by the runner on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

# By its path, since Beam 2.64 does not know the class by its name alone.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# Unless a flag says what workers have installed, TFX packs its own source for them in every step that has any
# flags (dependency_utils.make_beam_dependency_flags): 2 s a step. The local runner starts no container; its
# workers use this interpreter.
NO_PACKAGE = "--sdk_container_image=none"


def with_runner(flags: Sequence[str]) -> list[str]:
    """Name Beam's runner in the step's own process where the flags name no runner.

    Beam's default, DirectRunner, chooses that runner in Beam 2.64. From Beam 2.68 on it first downloads
    another one, Prism, and checks no digest.

    >>> with_runner(["--runner=DirectRunner"])
    ['--runner=DirectRunner']
    >>> with_runner([])
    ['--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner', '--sdk_container_image=none']
    """
    if PipelineOptions(list(flags)).view_as(StandardOptions).runner:
        return list(flags)
    return [f"--runner={LOCAL_RUNNER}", NO_PACKAGE, *flags]
