"""What stands on the terminal while steps run, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import threading
from collections.abc import Iterator

import pytest

from common.progress import done, progress
from runners.terminal.display import Outcome
from runners.terminal.status import Terminal, _Added


class Clock:
    """A clock whose seconds the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestElsewhere:
    """A stream that is no terminal: lines stay where they are."""

    @pytest.fixture(autouse=True)
    def with_terminal(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        # A busy machine may stand still for as long as a quick step must not take.
        monkeypatch.setattr("runners.terminal.status._STARTS_AFTER", 3600)
        self.clock = Clock()
        self.stream = io.StringIO()
        self.terminal = Terminal(self.stream, self.clock)
        with self.terminal.listening():
            yield

    def lines(self) -> list[str]:
        return [re.sub(" +", " ", line) for line in self.stream.getvalue().splitlines()]

    def test_a_quick_step_is_one_line(self) -> None:
        with self.terminal.step("Transform") as outcome:
            self.clock.now += 0.4
            outcome.state, outcome.figure = "cached", "3 vocabularies"
        assert self.lines() == ["Transform 0.4 s cached 3 vocabularies"]

    def test_a_step_with_progress_is_announced_and_its_progress_thinned_out(self) -> None:
        with self.terminal.step("Trainer.retrieval") as outcome:
            for epoch in range(1, 9):
                progress.info("epoch %d", epoch)
                self.clock.now += 2
            outcome.figure = "[loss 3]"
        assert self.lines() == [
            "Trainer.retrieval ...",
            " epoch 1",
            " epoch 4",
            " epoch 7",
            "Trainer.retrieval 16.0 s run [loss 3]",
        ]

    def test_there_is_no_bar(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1 of 2", extra=done(1, 2))
        assert self.lines()[:2] == ["Trainer.retrieval ...", " epoch 1 of 2"]

    def test_stages_of_beam_and_expected_seconds_say_nothing(self) -> None:
        with self.terminal.step("Transform", expected=50):
            self.clock.now += 20
            self.terminal.stages(3, 4)
        assert self.lines() == ["Transform 20.0 s run"]

    def test_the_last_line_of_progress_stands_for_a_figure(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1")
            progress.info("epoch 2")
        assert self.lines() == ["Trainer.retrieval ...", " epoch 1", "Trainer.retrieval 0.0 s run epoch 2"]

    def test_a_figure_is_not_taken_from_an_earlier_step(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1")
        with self.terminal.step("Champion.retrieval"):
            pass
        assert self.lines()[-1] == "Champion.retrieval 0.0 s run"

    def test_a_step_that_takes_a_while_is_announced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("runners.terminal.status._STARTS_AFTER", 0.01)
        announced = threading.Event()
        monkeypatch.setattr(self.stream, "flush", announced.set)
        with self.terminal.step("Transform"):
            assert announced.wait(10)
        assert self.lines() == ["Transform ...", "Transform 0.0 s run"]

    def test_an_interrupt_amid_an_announcement_ends_the_display(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = threading.Event()

        def interrupted() -> None:
            monkeypatch.undo()
            self.terminal.end("Stopped.")
            ended.set()

        def announce() -> None:
            with self.terminal.step("Transform"):
                monkeypatch.setattr(self.stream, "flush", interrupted)
                progress.info("row 1")

        threading.Thread(target=announce, daemon=True).start()
        assert ended.wait(10)
        assert "Stopped." in self.lines()

    def test_an_announcement_that_hangs_does_not_hold_up_the_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the timer's thread does, while the interrupted main thread holds the console."""
        monkeypatch.setattr("runners.terminal.status._GIVES_UP_AFTER", 0.01)
        held, over, display = threading.Event(), threading.Event(), self.terminal._display
        assert isinstance(display, _Added)

        def announce() -> None:
            with display._lock:
                held.set()
                over.wait(60)

        thread = threading.Thread(target=announce)
        thread.start()
        try:
            assert held.wait(60)
            self.terminal.end("Stopped.")
            assert self.lines() == ["Stopped."]
        finally:
            over.set()
            thread.join()

    def test_progress_of_steps_that_run_at_once_has_their_names(self) -> None:
        for name in ("Trainer.retrieval", "Trainer.ranking"):
            self.terminal.begin(name)
            self.terminal.note("epoch 1", name=name)
        self.terminal.note("epoch 2", name="Trainer.retrieval")
        self.clock.now += 6
        self.terminal.note("epoch 3", name="Trainer.retrieval")
        self.terminal.finish("Trainer.retrieval", Outcome("failed"))
        self.clock.now += 6
        self.terminal.note("epoch 2", name="Trainer.ranking")
        self.terminal.finish("Trainer.ranking", Outcome())
        assert self.lines() == [
            *("Trainer.retrieval ...", " epoch 1", "Trainer.ranking ...", " Trainer.ranking: epoch 1"),
            " Trainer.retrieval: epoch 3",
            "Trainer.retrieval 6.0 s failed epoch 3",
            " epoch 2",
            "Trainer.ranking 12.0 s run epoch 2",
        ]

    def test_a_failed_step_says_so(self) -> None:
        with pytest.raises(ZeroDivisionError), self.terminal.step("Transform"):
            _ = 1 / 0
        assert self.lines() == ["Transform 0.0 s failed"]

    def test_lines_outside_a_step_all_stay(self) -> None:
        progress.info("Data kept in %s", "[cache]")
        progress.info("Fetching")
        assert self.lines() == [" Data kept in [cache]", " Fetching"]

    def test_a_long_line_is_neither_cut_nor_broken(self) -> None:
        with self.terminal.step("IndexPusher") as outcome:
            outcome.figure = "x" * 300
        assert self.lines() == ["IndexPusher 0.0 s run " + "x" * 300]

    def test_nothing_is_heard_after_listening(self) -> None:
        quiet = io.StringIO()
        with Terminal(quiet).listening():
            pass
        progress.info("late")
        assert quiet.getvalue() == ""


class TestOnATerminal:
    """A pseudo-terminal: the line of the step that runs is overwritten."""

    @pytest.fixture(autouse=True)
    def with_terminal(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        self.reader, writer = pty.openpty()
        self.clock = Clock()
        with os.fdopen(writer, "w", buffering=1) as self.stream:
            self.terminal = Terminal(self.stream, self.clock)
            with self.terminal.listening():
                yield
        os.close(self.reader)

    def raw(self) -> str:
        chunks = []
        while select.select([self.reader], [], [], 0)[0]:
            chunks.append(os.read(self.reader, 1 << 16))
        return b"".join(chunks).decode()

    def test_progress_is_overwritten_and_one_line_stays(self) -> None:
        with self.terminal.step("Trainer.retrieval") as outcome:
            progress.info("epoch 1, loss 9")
            self.clock.now += 61
            progress.info("epoch 2, loss 3")
            outcome.figure = "loss 3"
        raw = self.raw()
        assert re.search(r"Trainer\.retrieval +61 s +epoch 2, loss 3", raw)
        assert visible(raw) == ["Trainer.retrieval 61.0 s run loss 3"]

    def test_a_training_has_a_bar_and_the_time_left(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            self.clock.now += 20
            progress.info("epoch 1 of 5", extra=done(1, 5))
            assert re.search(r" 20 s +━+\S*━+ 80 s left  epoch 1 of 5", plain(self.raw()))
            self.clock.now += 15
            progress.info("a word in between")
            assert " 65 s left  a word" in plain(self.raw())
            self.clock.now += 5
            progress.info("epoch 5 of 5", extra=done(5, 5))
            assert "left" not in plain(self.raw()).rpartition("\r")[2]
            self.clock.now += 10
            progress.info("another, epoch 1 of 2", extra=done(1, 2))
            assert " 10 s left  another" in plain(self.raw())
        assert visible(self.raw()) == ["Trainer.retrieval 50.0 s run another, epoch 1 of 2"]

    def shown(self) -> str:
        """The line of the running step, drawn anew."""
        self.raw()
        progress.info("rows")
        return plain(self.raw()).rpartition("\r")[2]

    def test_a_step_on_beam_has_a_bar_of_its_stages(self) -> None:
        with self.terminal.step("Transform"):
            self.clock.now += 20
            assert "stages" not in self.shown()
            self.terminal.stages(1, 4)
            assert re.search(r" 20 s +━+\S*━+ 1 of 4 stages  rows", self.shown())
            self.terminal.stages(4, 4)
            assert "stages" not in self.shown()
            # The step's next Beam pipeline.
            self.terminal.stages(1, 3)
            assert "1 of 3 stages" in self.shown()
        with self.terminal.step("AnomalyGate"):
            assert "stages" not in self.shown()

    def test_a_step_that_ran_before_has_a_bar_of_the_time_that_it_took(self) -> None:
        with self.terminal.step("Transform", expected=50):
            assert "left" not in self.shown(), "it may come from the cache"
            self.clock.now += 20
            self.terminal.stages(1, 4)
            assert re.search(r" 20 s +━+\S*━+ 30 s left  rows", self.shown())
            self.clock.now += 31
            assert "1 of 4 stages" in self.shown(), "it takes longer this time"
        with self.terminal.step("Trainer.ranking", expected=50):
            self.clock.now += 10
            progress.info("epoch 1 of 2", extra=done(1, 2))
            assert " 10 s left  rows" in self.shown(), "its epochs know better"

    def test_a_bar_stays_on_one_line(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1 %s", "x" * 300, extra=done(1, 2))
        assert len(visible(self.raw())) == 1

    def test_a_long_line_of_progress_stays_on_one_line(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1 %s", "x" * 300)
        (line,) = visible(self.raw())
        assert line.startswith("Trainer.retrieval 0.0 s run epoch 1 xxx") and line.endswith("…")

    def test_steps_that_run_at_once_have_a_line_each(self) -> None:
        self.terminal.begin("Trainer.retrieval", 50)
        self.terminal.begin("Transform")
        self.clock.now += 10
        self.terminal.stages(1, 4, name="Transform")
        self.terminal.note("epoch 1 of 5", 0.2, name="Trainer.retrieval")
        raw = self.raw()
        above, below = visible(raw)
        assert re.search(r"Trainer\.retrieval 10 s ━+\S*━+ 40 s left epoch 1 of 5", above)
        assert re.search(r"Transform 10 s ━+\S*━+ 1 of 4 stages", below)
        self.terminal.finish("Transform", Outcome("run", "3 vocabularies"))
        self.clock.now += 10
        self.terminal.finish("Trainer.retrieval", Outcome("run", "loss 3"))
        assert visible(raw + self.raw()) == [
            "Transform 10.0 s run 3 vocabularies",
            "Trainer.retrieval 20.0 s run loss 3",
        ]

    def test_an_end_clears_the_line(self) -> None:
        with self.terminal.step("Trainer.retrieval"):
            progress.info("epoch 1")
            self.terminal.end("Stopped.")
            assert visible(self.raw()) == ["Stopped."]

    def test_lines_outside_a_step_stay(self) -> None:
        progress.info("Data kept")
        assert visible(self.raw()) == ["Data kept"]


def plain(raw: str) -> str:
    """Leave the control sequences out."""
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", raw)


def visible(raw: str) -> list[str]:
    """What a person sees in the end: text after the control sequences that rich uses were obeyed."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", raw):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= int(token[2:-1] or 1)
        elif token == "\x1b[2K":
            lines[row] = ""
        elif not token.startswith("\x1b") and token != "\r":
            lines[row] += token
    return [re.sub(" +", " ", line).strip() for line in lines if line.strip()]
