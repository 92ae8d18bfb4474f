"""The report of a run on this machine: `reports/<run>/` below its root, and a list of all runs beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import durable
from common.errors import disk_errors, first_line
from components.index_pusher import push
from components.movielens_example_gen import outcome
from components.run_report import collect, contents, page, viewers
from components.run_report.contents import Report
from modules import features
from pipeline.config import Config
from runners.reporting import summary as summaries
from runners.reporting.figures import figure
from runners.reporting.report import as_dict
from runners.reporting.summary import Summary, read_summary
from runners.running.record import LOOKUPS, Artifact, Step
from serving.stores import store

REPORTS = "reports"
_PAGE, _JSON = "index.html", "report.json"
# Runs that the list of runs shows, the latest.
_LISTED = 100
# Kinds of steps that are never served from the cache.
_NEVER_CACHED = (*LOOKUPS, "IndexPusher")
# Outputs, by step and key.
_EXAMPLES, _PUSHED = "MovieLensExampleGen/examples", "IndexPusher/pushed_model"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that ended.

    Attributes:
      name: of its folder.
      seconds: from its start to its end; None where a platform ran the steps, and shows them.
      failed: message of its failure; empty if it did not fail.
    """

    name: str
    seconds: float | None
    failed: str = ""


def written(root: Path, push_dir: Path, run: Run, config: Config, steps: Sequence[Step]) -> str:
    """Write a run's report; return the line that names its page, or that says why there is none.

    Where a run made nothing and published nothing anew, and an earlier page shows the same results, the line
    names that page, and none is written. No error gets out: what a run has done counts, whether or not there
    is a page about it.

    Args:
      root: the pipeline's folder, whose lock the caller holds.
      push_dir: where bundles are published.
      run: how it ended.
      config: what it made.
      steps: what it recorded.
    """
    started = time.monotonic()
    try:
        summary, show_ids = read_summary(steps), config.report.shows_ids(config.data.release)
        folder, name = root / REPORTS, config.pipeline_name
        if not run.failed and (earlier := _earlier_page(folder, summary, name, show_ids)):
            return f"Report: {earlier} (of an earlier run with the same results)"
        with disk_errors(root):
            path = _write(folder, gather(str(push_dir), run, name, show_ids, summary))
        seconds = time.monotonic() - started
        logging.getLogger(__name__).info("The report took %.1f s: %s", seconds, path)
        return f"Report: {path}"
    except Exception as error:
        logging.getLogger(__name__).exception("The report cannot be written")
        return f"No report could be written: {first_line(error)}"


def _write(folder: Path, report: Report) -> Path:
    """Write a run's report, and the list of runs; return the path of the report's page."""
    path = folder / report.run / _PAGE
    text, figures = page.run(report), report.model_dump_json(indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, text)
    _replace(path.with_name(_JSON), figures)
    _replace(folder / _PAGE, page.runs(_reports(folder)))
    return path


def _earlier_page(folder: Path, summary: Summary, pipeline: str, show_ids: bool) -> Path | None:
    """Find the page that shows the results of a run in which nothing was made anew; None if there is none."""
    ran = [step for step in summary.steps if step.state != "cached" and step.kind not in _NEVER_CACHED]
    if ran or not summary.pushed or summary.pushed.get(push.PUBLISHED_ANEW) != 0:
        return None
    results = json.loads(json.dumps(as_dict(summary)))
    wanted = {"pipeline": pipeline, "show_ids": show_ids, "failed": "", "results": results}
    for report in reversed(_reports(folder)):
        path = folder / report["run"] / _PAGE
        destination = (report.get("bundle") or {}).get("destination")
        same = all(report.get(name) == value for name, value in wanted.items())
        if same and destination == summary.pushed[push.PUSHED_DESTINATION] and path.is_file():
            return path
    return None


def gather(push_dir: str, run: Run, pipeline: str, show_ids: bool, summary: Summary) -> Report:
    """Gather a run's report from its artifacts.

    Args:
      push_dir: where bundles are published, a folder or a URI.
      run: how it ended.
      pipeline: the pipeline's name.
      show_ids: whether users are named by their ids, and bad rows are quoted.
      summary: the run's results.
    """
    outputs = {
        f"{step.node_id}/{artifact.key}": artifact
        for step in summary.steps
        if step.done
        for artifact in step.outputs
    }
    producers = _producers(summary.steps)
    results = as_dict(summary)
    bundles = _bundles(push_dir) if summary.pushed else {}
    tuned = {found.name: found for found in summary.tuned}
    return Report(
        run=run.name,
        pipeline=pipeline,
        show_ids=show_ids,
        ended=time.strftime("%Y-%m-%d %H:%M"),
        seconds=run.seconds,
        failed=run.failed if show_ids else outcome.without_quotes(run.failed),
        results=results,
        steps=[
            contents.Step(
                name=step.node_id,
                state=step.state,
                seconds=step.seconds,
                figure=figure(step),
                reads=sorted({producers[read] for read in step.inputs if read in producers}),
                peak_bytes=step.peak_bytes,
            )
            for step in summary.steps
            if run.seconds is not None
        ],
        data=_data(outputs, show_ids) if summary.data else None,
        drift=[
            contents.Drift(feature=name, distance=distance, bound=bound)
            for name, (distance, bound) in results["drift"].items()
        ],
        models=[_model(model, outputs, tuned) for model in summary.models],
        bundle=collect.bundle(summary.pushed, outputs[_PUSHED].uri) if summary.pushed else None,
        viewers=viewers.collect(_eval_dir(outputs), bundles, show_ids) if summary.pushed else [],
        served=next(iter(bundles), None),
    )


def _producers(steps: Sequence[Step]) -> dict[int, str]:
    """Return the step that made each artifact; the lookups after it also have it among their outputs."""
    return {output.id: step.node_id for step in reversed(steps) for output in step.outputs}


def _data(outputs: Mapping[str, Artifact], quote_rows: bool) -> contents.Data:
    return collect.data(
        outputs[_EXAMPLES].properties,
        outputs["MovieLensExampleGen/quarantine"].uri,
        _uri(outputs, "StatisticsGen.ratings/statistics"),
        _uri(outputs, "Transform/transform_graph"),
        quote_rows,
    )


def _model(
    model: summaries.Model, outputs: Mapping[str, Artifact], tuned: Mapping[str, summaries.Tuned]
) -> contents.Model:
    search = tuned.get(model.name)
    return collect.model(
        model.name,
        model.blessed,
        model.champion,
        model.evaluation,
        log_dir=_uri(outputs, f"Trainer.{model.name}/model_run"),
        tuned=f"{search.objective} {search.score:.4g} with {search.values}" if search else "",
    )


def _eval_dir(outputs: Mapping[str, Artifact]) -> str:
    return f"{outputs[_EXAMPLES].uri}/Split-{features.EVAL_SPLIT}"


def _bundles(push_dir: str) -> dict[int, str]:
    """Return the paths of the served version and of the newest one before it."""
    destination = store.open_store(push_dir)
    served = destination.current()
    before = [version for version in destination.versions() if version < served]
    return {version: store.bundle_path(destination, version) for version in (served, *before[-1:]) if version}


def _uri(outputs: Mapping[str, Artifact], name: str) -> str | None:
    return outputs[name].uri if name in outputs else None


def _reports(folder: Path) -> list[dict[str, Any]]:
    """Read the reports of the latest runs, the oldest first; their names begin with the time."""
    reports = []
    for path in sorted(folder.glob(f"*/{_JSON}"))[-_LISTED:]:
        # One that a full disk cut off must not hide the others.
        with contextlib.suppress(ValueError):
            reports.append(json.loads(path.read_text(encoding="utf-8")))
    return reports


def _replace(path: Path, text: str) -> None:
    durable.replace(path, text.encode(), path.with_name(path.name + ".new"))
