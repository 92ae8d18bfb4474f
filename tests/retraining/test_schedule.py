"""One specification of a schedule: its times, and what is written of it for other schedulers."""

from __future__ import annotations

import datetime
import json
import pathlib
import shutil
import subprocess
import time
import zoneinfo

import pytest

from retraining import schedule
from retraining.schedule import Schedule

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def times(cron: str, start: datetime.datetime, count: int, zone: str = "Europe/Berlin") -> list[str]:
    planned, found = Schedule(cron=cron, time_zone=zone), []
    for _ in range(count):
        start = planned.next_time(start)
        found.append(start.isoformat())
    return found


def test_its_time_is_the_zones_summer_and_winter() -> None:
    friday = datetime.datetime(2024, 3, 29, 12, tzinfo=datetime.timezone.utc)
    assert times("30 3 * * 1", friday, 2) == ["2024-04-01T03:30:00+02:00", "2024-04-08T03:30:00+02:00"]
    december = datetime.datetime(2024, 12, 31, 23, 59, tzinfo=BERLIN)
    assert times("0 0 1 1 *", december, 1) == ["2025-01-01T00:00:00+01:00"]


def test_an_hour_that_is_left_out_or_occurs_twice_makes_one_time() -> None:
    before = datetime.datetime(2024, 3, 30, 12, tzinfo=BERLIN)
    assert times("30 2 * * *", before, 2) == ["2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00"]
    before = datetime.datetime(2024, 10, 26, 12, tzinfo=BERLIN)
    assert times("30 2 * * *", before, 2) == ["2024-10-27T02:30:00+02:00", "2024-10-28T02:30:00+01:00"]


@pytest.mark.parametrize("cron", ["30 2 * * *", "30 2 * * 0", "30 1-5 * * *", "*/10 * * * *", "0 2,3 * * *"])
def test_the_next_time_is_never_past(cron: str) -> None:
    when = Schedule(cron=cron, time_zone="Europe/Berlin")
    midnight = datetime.datetime(2024, 10, 26, 22, tzinfo=datetime.timezone.utc)
    for minutes in range(0, 6 * 60, 5):
        after = midnight + datetime.timedelta(minutes=minutes, seconds=5)
        assert when.next_time(after).astimezone(datetime.timezone.utc) > after
    # From the second 02:10 on: 02:30 was an hour ago.
    second = datetime.datetime(2024, 10, 27, 1, 10, tzinfo=datetime.timezone.utc)
    expected = {
        "30 2 * * *": "2024-10-28T02:30:00+01:00",
        "30 2 * * 0": "2024-11-03T02:30:00+01:00",
        "30 1-5 * * *": "2024-10-27T03:30:00+01:00",
        "*/10 * * * *": "2024-10-27T02:20:00+01:00",
        "0 2,3 * * *": "2024-10-27T03:00:00+01:00",
    }
    assert when.next_time(second).isoformat() == expected[cron]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cron": "0 3 * *"}, "cron must be minute, hour.*Not five fields; received '0 3 * *'"),
        ({"cron": "61 3 * * *"}, "Bad minute"),
        ({"cron": "5-5/10 3 * * *"}, r"a step must follow \* or a range of several values; received '5-5/10"),
        ({"cron": "0\t3/4 * * *"}, r"a step must follow \* or a range of several values"),
        ({"cron": "0 3 * * 1,mon-01/4"}, r"a step must follow \* or a range of several values"),
        ({"cron": "0 3 * JAN-jan/2 *"}, r"a step must follow \* or a range of several values"),
        ({"cron": "0 0 31 2 *"}, "cron must be"),
        ({"time_zone": "Europe/Berln"}, "time_zone must be an IANA name.*received 'Europe/Berln'"),
        ({"window": 1}, r"schedule.json: window: .*greater than or equal to 2; received 1$"),
        ({"windw": 3}, "windw: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_schedule_is_rejected_in_words(fields: dict, words: str, tmp_path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=words.replace("*'", "\\*'").replace("* \\*", "\\* \\*")) as error:
        schedule.load(path)
    assert str(error.value).startswith(str(path))


def test_a_file_says_what_differs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text('{"cron": " 0  4 * * * ", "catch_up": false}')
    assert schedule.load(path) == Schedule(cron="0 4 * * *", catch_up=False)
    assert schedule.load(None) == Schedule()
    with pytest.raises(ValueError, match="must be a readable JSON file"):
        schedule.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("machine", "zone", "same"),
    [
        ("UTC0", "UTC", True),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin", True),
        ("JST-9", "UTC", False),
        ("GMT0BST,M3.5.0/1,M10.5.0", "UTC", False),  # In summer.
        ("WAT-1", "Europe/Berlin", False),  # In winter alone.
    ],
)
def test_a_zone_is_the_machines_if_its_clocks_show_the_same_all_year(
    machine: str, zone: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", machine)
    time.tzset()
    try:
        assert Schedule(time_zone=zone).is_by_this_machines_clock() == same
    finally:
        monkeypatch.undo()
        time.tzset()


def test_cron_gets_its_line() -> None:
    written = Schedule(cron="0 4 * * 1", time_zone="Asia/Tokyo").crontab("/a folder", ["retrain", "5%", "$A"])
    assert written == "CRON_TZ=Asia/Tokyo\n0 4 * * 1 cd '/a folder' && retrain 5\\% '$A'\n"


@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("0 3 * * 1", "Mon *-*-* 3:0:00 Europe/Berlin"),
        ("*/20 3,15 1-3 * *", "*-*-1,2,3 3,15:0,20,40:00 Europe/Berlin"),
        ("5 * * 6 sun,7", "Sun *-6-* *:5:00 Europe/Berlin"),
    ],
)
def test_systemd_gets_a_timer_and_a_service(cron: str, calendar: str) -> None:
    files = Schedule(cron=cron, time_zone="Europe/Berlin").systemd(
        "films", ["/bin/retrain", "5%", "/$A", 'it\'s "C:\\x"'], "/srv/5%"
    )
    timer, service = files["retrain-films.timer"], files["retrain-films.service"]
    assert f"\nOnCalendar={calendar}\n" in timer
    assert "\nPersistent=true\n" in timer
    assert '\nExecStart="/bin/retrain" "5%%" "/$$A" "it\'s \\"C:\\\\x\\""\n' in service
    assert "\nWorkingDirectory=/srv/5%%\n" in service


@pytest.mark.parametrize("letter", ["\n", "\r", "\0", "\x1b"])
def test_a_path_with_a_line_break_is_rejected(letter: str) -> None:
    """What follows it would be another line of the file: a command at a time of its own."""
    path = f"/srv/films{letter}* * * * * /bin/evil"
    words = r"must hold no line break and no other control character.*received '/srv/films\\"
    for write in (
        lambda: Schedule().crontab("/srv", ["/bin/retrain", path]),
        lambda: Schedule().crontab(path, ["/bin/retrain"]),
        lambda: Schedule().systemd("films", ["/bin/retrain", path], "/srv"),
        lambda: Schedule().systemd("films", ["/bin/retrain"], path),
    ):
        with pytest.raises(ValueError, match=words):
            write()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="asks systemd itself")
def test_systemd_reads_the_same_times() -> None:
    planned = Schedule(cron="30 4 * * 2,5")
    [line] = [
        line
        for line in planned.systemd("films", ["/bin/retrain"], "/srv")["retrain-films.timer"].splitlines()
        if line.startswith("OnCalendar=")
    ]
    now = datetime.datetime.now(datetime.timezone.utc)
    said = subprocess.run(
        ["systemd-analyze", "calendar", line.removeprefix("OnCalendar=")],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    assert f"{planned.next_time(now):%Y-%m-%d %H:%M:%S} UTC" in said


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="asks systemd itself")
def test_systemd_takes_the_files(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a folder, 5%"
    folder.mkdir()
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    words = [str(folder / "run"), "--data", 'C:\\spans "of" it\'s 5% $A']
    for name, text in Schedule().systemd("films", words, str(folder)).items():
        (tmp_path / name).write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "./retrain-films.service", "./retrain-films.timer"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 3 1 * 1", "joins them by `and`"),
        ("0 3 L * *", "such as the last"),
        ("0 3 * * 1#2", "such as the last"),
        ("0 3 1 * */2", "programs read it as `and`, others as `or`"),
    ],
)
def test_what_systemd_cannot_say_is_rejected(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(cron=cron).systemd("films", ["/bin/retrain"], "/srv")
