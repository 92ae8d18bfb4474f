"""The most important figure of a step, for its line on the terminal. Pure.

To give a component a figure, add a row to `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable

from runners import paths
from runners.running.record import Step


def figure(step: Step) -> str:
    """Describe a step's outputs in a few words; empty if the step has no figure."""
    words = FIGURES.get(step.kind)
    return words(step) if words and step.done else ""


def _data(step: Step) -> str:
    examples = step.output("examples")
    counts = examples.properties if examples else {}
    bad = sum(int(counts.get(name, 0)) for name in ("bad_ratings", "bad_movies", "bad_users"))
    return (
        f"{counts.get('train_rows', 0):,} train rows, {counts.get('eval_rows', 0):,} eval rows, "
        f"{counts.get('candidates', 0):,} candidates, {bad:,} bad rows"
    )


def _champion(step: Step) -> str:
    model = step.output("model")
    if not step.passed_over:
        return f"model {model.id}" if model else "none yet"
    passed_over = " and ".join(map(str, step.passed_over))
    return f"{f'model {model.id}' if model else 'none'}, because the files of model {passed_over} are missing"


def _tuned(step: Step) -> str:
    best = step.output("best_hyperparameters")
    search = best.properties if best else {}
    return f"{search.get('objective')} {search.get('score', 0):.4g} at best: {search.get('values')}"


def _verdict(step: Step) -> str:
    blessing = step.output("blessing")
    return "blessed" if blessing and blessing.properties.get("blessed") == 1 else "not blessed"


def _push(step: Step) -> str:
    pushed = step.output("pushed_model")
    if not pushed or not pushed.properties.get("pushed"):
        return "not pushed"
    return f"version {pushed.properties.get('pushed_version')}"


def _recommended(step: Step) -> str:
    written = step.output("recommendations")
    counts = written.properties if written else {}
    if not written or not counts.get("recommended"):
        return str(counts.get("reason", ""))
    return f"{counts['rows']:,} titles for {counts['users']:,} users: {paths.as_given(written.uri)}"


FIGURES: dict[str, Callable[[Step], str]] = {
    "MovieLensExampleGen": _data,
    "AnomalyGate": lambda _: "no anomalies",
    "Resolver": _champion,
    "CandidateTuner": _tuned,
    "Evaluator": _verdict,
    "IndexPusher": _push,
    "BatchRecommender": _recommended,
}
