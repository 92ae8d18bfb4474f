"""When to look for new spans, and which runs to make of them: one specification for every scheduler.

The local scheduler reads it. Timers of systemd, lines of a crontab, schedules of Vertex AI and recurring runs
of Kubeflow Pipelines are made of it.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import re
import shlex
import zoneinfo
from collections.abc import Collection, Sequence
from typing import Any

import pydantic
from cronsim import CronSim, CronSimError

from common.validation import in_words

_UTC = datetime.timezone.utc
_ANY_TIME = datetime.datetime(2024, 1, 1, tzinfo=_UTC)
# A value, or the two ends of a range, before a step.
_STEPPED = re.compile(r"(?<![^ ,])(\w+)(?:-(\w+))?/")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_NUMBERS = {day.upper(): number for number, day in enumerate(_DAYS)}


class Schedule(pydantic.BaseModel):
    """When a pipeline is run again, and on which spans.

    >>> Schedule(cron="30 3 * * 1", time_zone="Europe/Berlin").keep_runs
    3
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Minute, hour, day of the month, month, day of the week, as in crontab(5).
    cron: str = "0 3 * * 1"
    # IANA name of the zone of `cron`.
    time_zone: str = "UTC"
    # Spans that a run reads, 2 or more: models are evaluated on the newest one; None for all. If left out,
    # the configuration's own.
    window: int | None = pydantic.Field(None, ge=2)
    # Whether every span that came since the last run gets a run of its own, the oldest first, and a run is
    # made at once for times that were missed; otherwise only the newest span gets a run, at the next time.
    catch_up: bool = True
    # Runs whose artifacts stay, 1 or more; champions and the last pushed model stay in any case.
    keep_runs: int = pydantic.Field(3, ge=1)

    @pydantic.field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        plain = " ".join(cron.split())
        try:
            if plain.count(" ") != 4:
                raise CronSimError("Not five fields")
            # crontab(5) defines no other steps: some programs read 5/2 as 5-59/2, others as 5 alone.
            if any(_value(first) == _value(last or first) for first, last in _STEPPED.findall(plain)):
                raise CronSimError("a step must follow * or a range of several values")
            next(CronSim(plain, _ANY_TIME))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                "cron must be minute, hour, day of the month, month and day of the week, as in crontab(5), "
                f"and name a date that exists: {str(error) or 'there is none'}; received {cron!r}"
            ) from error
        return plain

    @pydantic.field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise ValueError(
                f"time_zone must be an IANA name such as Europe/Berlin; received {name!r}"
            ) from error
        return name

    def read_window(self, configured: int | None) -> int | None:
        """Return how many spans a run reads, None for all.

        Args:
          configured: the configuration's window, which is used if this schedule leaves it out.

        >>> Schedule().read_window(8), Schedule(window=None).read_window(8)
        (8, None)
        """
        return self.window if "window" in self.model_fields_set else configured

    def next_time(self, after: datetime.datetime) -> datetime.datetime:
        """Find the first time of the schedule after another.

        At a change of clocks it follows Debian's cron: a time in the hour that is left out comes right after
        that hour, and a time in the hour that occurs twice comes once.

        >>> after = datetime.datetime(2024, 3, 31, 0, 30, tzinfo=datetime.timezone.utc)
        >>> Schedule(cron="30 2 * * *", time_zone="Europe/Berlin").next_time(after).isoformat()
        '2024-03-31T03:00:00+02:00'
        """
        after = after.astimezone(_UTC)
        times = CronSim(self.cron, after.astimezone(zoneinfo.ZoneInfo(self.time_zone)))
        # In the second of two equal hours CronSim begins with a time of the first hour, which is past.
        # Compared in UTC, because within a zone Python compares local times.
        return next(time for time in times if time.astimezone(_UTC) > after)

    def is_by_this_machines_clock(self) -> bool:
        """Return whether the zone has this machine's clock time in every month of the next year."""
        now, zone = datetime.datetime.now(_UTC), zoneinfo.ZoneInfo(self.time_zone)
        times = [now + datetime.timedelta(days=30 * month) for month in range(13)]
        return all(t.astimezone().utcoffset() == t.astimezone(zone).utcoffset() for t in times)

    def crontab(self, folder: str, words: Sequence[str]) -> str:
        """Write lines for a crontab, of a cron that knows CRON_TZ.

        Args:
          folder: working directory of the command.
          words: of the command.
        Raises:
          ValueError: one of them has a line break.
        """
        _require_one_line(folder, *words)
        command = f"cd {shlex.quote(folder)} && {shlex.join(words)}"
        escaped = command.replace("%", r"\%")  # Otherwise cron takes it for a line break.
        return f"CRON_TZ={self.time_zone}\n{self.cron} {escaped}\n"

    def systemd(self, name: str, words: Sequence[str], folder: str) -> dict[str, str]:
        """Write a service and the timer that starts it, by file name.

        Args:
          name: of the pipeline; every pipeline has files of its own.
          words: of the command, the first one a path.
          folder: working directory of the command.
        Raises:
          ValueError: systemd cannot express the calendar, or a word or the folder has a line break.
        """
        _require_one_line(folder, *words)
        minutes, hours, days, months, weekdays = self.numbers()
        if "*" not in (days, weekdays):
            raise ValueError(
                "systemd needs the day of the month or the day of the week to be *, because it joins them by "
                f"`and`, and cron by `or`; received {self.cron!r}"
            )
        names = "" if weekdays == "*" else ",".join(_DAYS[int(day)] for day in weekdays.split(",")) + " "
        calendar = f"{names}*-{months}-{days} {hours}:{minutes}:00 {self.time_zone}"
        service = (
            f"[Unit]\nDescription=Retrain {name} on what came in\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={folder.replace('%', '%%')}\n"
            f"ExecStart={' '.join(map(_quoted, words))}\n"
        )
        timer = (
            f"[Unit]\nDescription=When to retrain {name}\n\n"
            f"[Timer]\nOnCalendar={calendar}\nPersistent={str(self.catch_up).lower()}\n\n"
            "[Install]\nWantedBy=timers.target\n"
        )
        return {f"retrain-{name}.service": service, f"retrain-{name}.timer": timer}

    def numbers(self) -> list[str]:
        """Write cron's five fields as `*` or lists of numbers, which systemd and every cloud read alike.

        Raises:
          ValueError: the fields cannot be written as lists of numbers.

        >>> Schedule(cron="*/30 3 * JAN-MAR sun,5").numbers()
        ['0,30', '3', '*', '1,2,3', '0,5']
        """
        parsed = CronSim(self.cron, _ANY_TIME)
        _, _, day, _, weekday = self.cron.split()
        if "*" not in (day, weekday) and "*" in (day[0], weekday[0]):
            raise ValueError(
                "cron must have no * in days of the month and of the week that are both restricted: some "
                f"programs read it as `and`, others as `or`; write numbers. Received {self.cron!r}"
            )
        fields: list[tuple[Collection[Any], range]] = [
            (parsed.minutes, range(60)),
            (parsed.hours, range(24)),
            (parsed.days, range(1, 32)),
            (parsed.months, range(1, 13)),
            ({day % 7 if isinstance(day, int) else day for day in parsed.weekdays}, range(7)),
        ]
        written: list[str] = []
        for values, every in fields:
            if not set(values) <= set(every):
                raise ValueError(
                    "cron must have no days such as the last or the second Monday, which only cron itself "
                    f"knows; received {self.cron!r}"
                )
            whole = set(values) == set(every)
            written.append("*" if whole else ",".join(map(str, sorted(values))))
        # If both are restricted, a day must match one of them; if one of them has all days, every day does.
        if "*" not in (day, weekday) and "*" in (written[2], written[4]):
            written[2] = written[4] = "*"
        return written


def _value(text: str) -> int | str:
    # Returns the number of a text with leading zeros, or of a day's name.
    return int(text) if text.isdigit() else _NUMBERS.get(text.upper(), text.upper())


def _require_one_line(*paths: str) -> None:
    for path in paths:
        if re.search(r"[\x00-\x1f\x7f]", path):
            raise ValueError(
                "a path that a timer names must hold no line break and no other control character, which "
                f"would begin another line of the file; received {path!r}. Rename it"
            )


def _quoted(word: str) -> str:
    # systemd has the same escapes as JSON. It replaces % and $ by values, in quotes too, so they are doubled.
    return json.dumps(word, ensure_ascii=False).replace("%", "%%").replace("$", "$$")


def load(path: pathlib.Path | None) -> Schedule:
    """Read a JSON file with fields of Schedule; without one, the defaults.

    Raises:
      ValueError: the file does not hold a schedule.
    """
    if not path:
        return Schedule()
    try:
        return Schedule.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {in_words(error)}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a readable JSON file: {error}") from error
