"""Cut a release into spans, and run the pipeline on new spans, once or by a schedule.

python -m retraining cut|run|watch|timer --help
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import signal
import sys
import warnings
from collections.abc import Sequence

from common import streams
from common.errors import DataError
from common.progress import progress
from components.movielens_example_gen.config import DataConfig
from components.movielens_example_gen.sources.releases import RELEASES
from pipeline.config import Config, of_data
from retraining import runs, schedule
from retraining.journal import JournalError
from retraining.runs import Workspace
from runners import exit_codes, flags
from runners.running import workspace

_PRESET = "retraining"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the process's exit code."""
    options = parse(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", stream=sys.stdout)
    progress.setLevel(logging.INFO)
    warnings.simplefilter("ignore")  # Warnings of libraries, which are for their own users.
    # systemd stops a service by SIGTERM: end the child process too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exit_codes.STOPPED))
    try:
        return options.do(options)
    except ValueError as error:
        print(f"retraining: {error}", file=sys.stderr)
        return exit_codes.MISTAKE
    except (DataError, JournalError, workspace.BusyError, OSError) as error:
        print(f"retraining: {error}", file=sys.stderr)
        return exit_codes.FAILED
    except KeyboardInterrupt:
        print("retraining: stopped", file=sys.stderr)
        return exit_codes.STOPPED


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the flags; a wrong one ends the process with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m retraining", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    cut = commands.add_parser("cut", help="cut a release's ratings into spans of equal length")
    cut.add_argument("into", type=flags.local_path, help="folder for the spans, which does not exist yet")
    cut.add_argument(
        "--release",
        choices=list(RELEASES),
        default="ml-100k",
        metavar="NAME",
        help=f"which data: {', '.join(RELEASES)} (default: %(default)s)",
    )
    cut.add_argument(
        "--data",
        type=flags.local_path,
        metavar="PATH",
        help="folder or zip with the release's files (default: the cache, else they are fetched)",
    )
    cut.add_argument("--days", type=int, default=7, help="length of a span (default: %(default)s)")
    cut.set_defaults(do=_cut)

    run = commands.add_parser("run", help="run the pipeline on spans that came since the last run, and end")
    run.add_argument(
        "--since", type=int, metavar="SPAN", help="backfill: run on every span from this one, oldest first"
    )
    run.set_defaults(do=_run)
    watch = commands.add_parser("watch", help="keep running, and do as `run` at every time of the schedule")
    watch.set_defaults(do=_watch)
    timer = commands.add_parser("timer", help="write the files by which systemd or cron do as `run`")
    timer.add_argument("kind", choices=("systemd", "crontab"), help="which of the two")
    timer.add_argument("--into", type=flags.local_path, default=".", help="folder for systemd's files")
    timer.set_defaults(do=_timer)
    for command in (run, watch, timer):
        _add_flags(command)
    return parser.parse_args(arguments)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=flags.local_path, required=True, metavar="DIR", help="folder of the spans"
    )
    parser.add_argument(
        "--schedule",
        type=pathlib.Path,
        metavar="FILE",
        help="JSON with fields of retraining.schedule.Schedule (default: Mondays at 3, UTC)",
    )
    flags.add_configuration(parser)
    parser.set_defaults(preset=_PRESET)
    parser.add_argument(
        "--pipeline-root",
        type=flags.local_path,
        default="runs",
        metavar="DIR",
        help="folder for artifacts, metadata and logs (default: %(default)s)",
    )
    parser.add_argument(
        "--push-dir",
        type=flags.local_path,
        metavar="DIR",
        help="folder to push to (default: pushed-PRESET in --pipeline-root)",
    )


def _cut(options: argparse.Namespace) -> int:
    from components.movielens_example_gen.fetching import fetch
    from retraining.cut import cut

    if options.days < 1:
        raise ValueError(f"--days must be 1 or more; received {options.days}")
    config = DataConfig(release=options.release)
    release = fetch.resolve_data(config, options.data)
    written = cut(release, config, options.into, options.days)
    timeless = f", {written.timeless:,} of them without a time, in span 1" if written.timeless else ""
    print(f"{options.into}: {written.spans} spans of {options.days} days, {written.rows:,} rows{timeless}")
    return 0


def _prepare(options: argparse.Namespace) -> tuple[Workspace, Config, schedule.Schedule]:
    config = flags.configure(options)
    flags.run_here(config)
    runs.require_spans(config)
    root, data = options.pipeline_root, options.data
    push_dir = options.push_dir or root / f"pushed-{options.preset}"
    if not data.is_dir():
        raise ValueError(f"--data must name a folder with spans; there is none at {data}")
    name = of_data(config, data).pipeline_name
    return Workspace(data, root, push_dir, name), config, schedule.load(options.schedule)


def _run(options: argparse.Namespace) -> int:
    folders, config, when = _prepare(options)
    made = runs.run_due(folders, config, when, runs.launch, options.since)
    return exit_codes.FAILED if any(entry.outcome == "failed" for entry in made) else 0


def _watch(options: argparse.Namespace) -> int:
    from retraining.watch import watch

    folders, config, when = _prepare(options)
    watch(when, lambda: runs.run_due(folders, config, when, runs.launch))
    return 0


def _timer(options: argparse.Namespace) -> int:
    folders, _, when = _prepare(options)
    folder = pathlib.Path(__file__).resolve().parents[1]
    words = [sys.executable, "-m", "retraining", "run", "--data", folders.data, "--preset", options.preset]
    words += ["--pipeline-root", folders.root, "--push-dir", folders.push_dir]
    for flag, path in (("--config", options.config), ("--schedule", options.schedule)):
        words += [flag, path.resolve()] if path else []
    words += ["--release", options.release] if options.release else []
    words += ["--tune"] if options.tune else []
    words += ["--batch-recommendations"] if options.batch_recommendations else []
    words += ["--strategy", options.strategy] if options.strategy else []
    words = [str(word) for word in words]
    if options.kind == "crontab":
        print(when.crontab(str(folder), words), end="")
        if not when.is_by_this_machines_clock():
            print(
                "retraining: the cron of Debian and Ubuntu ignores CRON_TZ, and would follow the machine's "
                "clock. There, use `timer systemd`, or a schedule in the machine's own time_zone.",
                file=sys.stderr,
            )
        return 0
    files = when.systemd(folders.name, words, str(folder))
    options.into.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (options.into / name).write_text(text, encoding="utf-8")
        print(options.into / name)
    return 0


if __name__ == "__main__":
    sys.exit(streams.run("retraining", lambda: main(sys.argv[1:])))
