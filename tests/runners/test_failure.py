"""The cause of a failure, in words."""

from __future__ import annotations

import errno
import os
import traceback

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from common.errors import DataError
from pipeline.beam_flags import with_runner
from runners.reporting.failure import cause_in_text, cause_of

BAD_ROW = "u.data, line 3: a rating must be a number; received 'q'.\nCorrect it."


def refuse(row: str) -> float:
    """Raise the project's own error from a builtin one."""
    try:
        return float(row)
    except ValueError as error:
        raise DataError(BAD_ROW) from error


def raised(function, *args: object) -> BaseException:
    with pytest.raises(BaseException) as info:
        function(*args)
    return info.value


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_error_of_the_project_is_shown_in_its_own_words_alone() -> None:
    assert str(cause_of(raised(refuse, "q"))) == BAD_ROW


def test_a_foreign_error_is_shown_with_its_type() -> None:
    assert str(cause_of(raised(float, "q"))) == "ValueError: could not convert string to float: 'q'"


def test_an_error_without_a_message_is_shown_as_its_type() -> None:
    assert str(cause_of(NotImplementedError())) == "NotImplementedError"


def test_the_cause_inside_wrapping_exceptions_is_found() -> None:
    def wrap() -> None:
        try:
            refuse("q")
        except DataError as error:
            raise RuntimeError("step failed") from error

    assert str(cause_of(raised(wrap))) == BAD_ROW


def test_the_root_of_foreign_wrappers_is_shown_but_not_what_merely_came_before() -> None:
    def wrap() -> None:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise OSError(5, "Input/output error")  # noqa: B904 - the context is the point
        except OSError as error:
            raise RuntimeError("internal error") from error

    assert str(cause_of(raised(wrap))) == "OSError: [Errno 5] Input/output error"


@pytest.mark.parametrize(
    ("error", "path"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/model"), " (/runs/model)"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ""),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), ""),
        (RuntimeError("Error when executing query: database or disk is full query: INSERT"), ""),
    ],
)
def test_a_full_disk_is_one_sentence_with_the_remedy(error: Exception, path: str) -> None:
    def run() -> None:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("step failed") from cause

    words = f"The disk is full{path}. Free some space."
    assert str(cause_of(raised(run))) == words
    assert str(cause_of(RuntimeError(text_of(error)))) == words


def test_beam_in_this_process() -> None:
    def run() -> None:
        with beam.Pipeline(options=PipelineOptions(with_runner([]))) as pipeline:
            _ = pipeline | beam.Create(["q"]) | "Parse" >> beam.Map(refuse)

    assert str(cause_of(raised(run))) == BAD_ROW


@pytest.mark.slow("a new interpreter with Beam")
def test_beam_in_worker_processes() -> None:
    # One worker: Beam waits for ever where a step fails before all of several have connected (fn_api_runner's
    # ControlConnection.close tells nothing to a worker that connects later, and stop_worker joins it).
    options = PipelineOptions(
        with_runner(["--direct_running_mode=multi_processing", "--direct_num_workers=1"])
    )

    def run() -> None:
        with beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create(["q"]) | "Parse" >> beam.Map(float)

    assert str(cause_of(raised(run))) == "ValueError: could not convert string to float: 'q'"


def test_the_traceback_of_another_process_in_a_foreign_error() -> None:
    inner = text_of(raised(refuse, "q"))
    assert str(cause_of(RuntimeError(f"worker said: {inner}"))) == BAD_ROW
    assert str(cause_in_text(f"worker said: {inner}")) == BAD_ROW


def test_a_message_of_several_lines_is_whole() -> None:
    text = "Traceback (most recent call last):\n  File x\ncomponents.a.DataError: foo must hold\nRemedy: do x"
    assert str(cause_in_text(text)) == "foo must hold\nRemedy: do x"


def test_a_text_without_a_traceback_has_no_cause() -> None:
    assert cause_in_text("all is well: or so it seems") is None


def test_a_long_foreign_message_is_cut() -> None:
    shown = str(cause_of(RuntimeError("x" * 5000)))
    assert shown == "RuntimeError: " + "x" * 600 + " ..."
