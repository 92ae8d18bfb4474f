"""The command of the quality benchmark: what is kept, what is made again, what is printed."""

import contextlib
import io
import pathlib
import sys

import numpy as np
import pytest

from benchmarks import splits
from benchmarks.figures import Figures, by_group, visits
from benchmarks.quality import __main__ as quality
from benchmarks.quality import results, tables, variants
from benchmarks.quality.data import Data
from benchmarks.quality.results import Key, Measured, Result, Store
from benchmarks.rivals import rivals
from benchmarks.splits import LEAVE_ONE_OUT, OFFICIAL, RANDOM, ROLLING, STATIC, TIME
from common.errors import DataError
from components.movielens_example_gen.sources.releases import RELEASES
from modules import features, hyperparameters
from runners.terminal.status import Terminal

OURS_ALONE = tuple(rival for rival in rivals.RIVALS if rival.library is None)


def _key(**values) -> Key:
    plain = {"data": "d", "protocol": RANDOM, "split": "seed 1", "view": STATIC, "seed": 1, "method": "m"}
    return Key(**{**plain, "settings": {"parts": ("a",)}, **values})


def _result(
    value: float | None, seconds: float = 1.0, rmse: float | None = None, groups=(), **values
) -> Result:
    figures = Figures(top_10_unseen=0.1, top_100_unseen=value, rmse=rmse)
    measured = Measured(rows=10, **figures._asdict())
    return Result(key=_key(**values), seconds=seconds, groups=dict.fromkeys(("all", *groups), measured))


def test_what_was_measured_is_found_again(tmp_path) -> None:
    path = tmp_path / "new" / "quality.json"
    Store(path).add(_result(0.5))
    again = Store(path)
    assert again.find(_key()) == _result(0.5).model_copy(update={"key": _key(settings={"parts": ["a"]})})
    assert again.find(_key(settings={"parts": ("b",)})) is None
    assert again.find(_key(view=ROLLING)) is None
    again.add(_result(0.6, seed=2))
    assert Store(path).find(_key()) and Store(path).find(_key(seed=2))


def test_another_file_is_not_taken_for_results(tmp_path) -> None:
    path = tmp_path / "quality.json"
    path.write_text('[{"key": 3}]')
    with pytest.raises(DataError, match="must hold figures of benchmarks.quality"):
        Store(path)


def test_figures_of_groups_and_none_of_an_empty_one() -> None:
    columns = {
        features.RATING: np.array([5.0, 3.0, 1.0]),
        features.RANK: np.array([0.0, 100.0, 99.0]),
        features.RANK_UNSEEN: np.array([0.0, 99.0, np.nan]),
    }
    masks = {"all": np.ones(3, bool), "late": np.array([False, True, True]), "none": np.zeros(3, bool)}
    # Of the rows rated 5, 3 and 1, whose gains are 31, 7 and 1, the first alone is among the ten.
    assert by_group(columns, masks) == {
        "all": (3, Figures(2 / 3, 1 / 3, 2 / 3, 1 / 3, 1.0, 0.0, 31 / 39)),
        "late": (2, Figures(0.5, 0.0, 0.5, 0.0, None, 0.0, 0.0)),
    }


def test_a_row_whose_title_is_excluded_counts_for_no_figure_without_known_titles() -> None:
    out = features.EXCLUDED_ROW
    columns = {features.RATING: np.ones(5), features.RANK_UNSEEN: np.array([out, 0.0, 9.0, 10.0, out])}
    masks = {"all": np.ones(5, bool), "none counts": np.array([True, False, False, False, True])}
    found = by_group(columns, masks)
    assert found["none counts"] == (2, Figures())
    rows, figures = found["all"]
    assert (rows, *figures[:3]) == (5, None, 2 / 3, 1.0)
    # Ranks 0 and 9 gain 1 and 1 / log2(11), of three rows that count.
    assert figures.ndcg_10_unseen == pytest.approx((1 + 0.2890648) / 3)


def test_figures_by_visit_are_of_its_rows_and_of_all() -> None:
    columns = {
        features.RATING: np.array([5.0, 3.0, 1.0, 4.0]),
        features.RANK_UNSEEN: np.array([0.0, 99.0, 100.0, features.EXCLUDED_ROW]),
        features.VISIT: np.array([b"first", b"return", b"return", b"return"]),
    }
    assert by_group(columns, visits(columns)) == {
        "all": (4, Figures(None, 1 / 3, 2 / 3, 1 / 3, 1.0, 0.0, 31 / 39)),
        "first": (1, Figures(None, 1.0, 1.0, 1.0, 1.0, None, 1.0)),
        "return": (3, Figures(None, 0.0, 0.5, 0.0, None, 0.0, 0.0)),
    }


def test_the_summary_has_medians_in_their_columns() -> None:
    found = [_result(value, seed=seed, seconds=value * 10) for seed, value in ((1, 0.2), (2, 0.4), (3, 0.3))]
    found += [_result(0.7, split=f"u{i}", protocol=OFFICIAL, rmse=0.9 + i / 100) for i in (1, 2)]
    found += [
        _result(0.6, protocol=TIME, view=ROLLING, groups=("cold", "return")),
        _result(0.5, protocol=LEAVE_ONE_OUT, view=ROLLING),
        _result(0.1, method="other"),
    ]
    recommending, rating = (_rows(text) for text in tables.summary(found).split("\n\n"))
    assert recommending["m"] == {
        "top-10, excluded": "0.100",
        "top-100, excluded": "0.300",
        "u1: top-100, excluded": "0.700",
        "time, rolling: top-10, excluded": "0.100",
        "time, rolling: top-100, excluded": "0.600",
        "return visits: top-10, excluded": "0.100",
        "return visits: top-100, excluded": "0.600",
        "cold-start users: top-100, excluded": "0.600",
        "leave-one-out: top-10, excluded": "0.100",
        "seconds to train": "3.0",
    }
    assert recommending["other"]["top-100, excluded"] == "0.100"
    assert rating == {"m": {"u1: RMSE": "0.910", "seconds to train": "3.0"}}


def _rows(markdown: str) -> dict[str, dict[str, str]]:
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines()]
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def test_details_tell_ranges_and_the_groups_of_the_time_cut() -> None:
    found = [
        _result(value, protocol=TIME, groups=("return", "cold"), split=f"seed {value}")
        for value in (0.25, 0.5, 0.75)
    ]
    laid_out = dict(tables.details(found))
    assert list(laid_out) == [
        "Time cut, static: seed 0.25, seed 0.5, seed 0.75",
        "Time cut, static: top-10, excluded, by group of rows",
        "Time cut, static: top-100, excluded, by group of rows",
    ]
    whole, _, groups = laid_out.values()
    assert " 0.500 (0.250 to 0.750) |" in whole
    assert list(_rows(groups)["m"]) == ["all (10 rows)", "cold-start (10 rows)", "return visit (10 rows)"]


def _write_release(folder: pathlib.Path) -> None:
    random = np.random.RandomState(5)
    films = random.randint(0, 120, 400)
    # The twelfth user is there at the end alone.
    users = np.where(np.arange(400) < 370, 1 + random.randint(0, 11, 400), 12)
    rows = [f"{users[i]}\t{1 + films[i]}\t{1 + films[i] % 5}\t{900 + i}\n" for i in range(400)]
    (folder / "u.data").write_text("".join(rows))
    (folder / "u.item").write_text(
        "".join(f"{1 + i}|Film {i} (1990)|01-Jan-1990||u" + "|0" * 19 + "\n" for i in range(120))
    )
    (folder / "u.user").write_text("".join(f"{1 + i}|30|F|writer|00000\n" for i in range(12)))


class _Screen(Terminal):
    """Remembers which steps were taken."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.steps: list[str] = []

    @contextlib.contextmanager
    def step(self, name: str, expected: float = 0.0):
        self.steps.append(name)
        with super().step(name, expected) as outcome:
            yield outcome


@pytest.mark.parametrize("protocol, rows", [(RANDOM, 80), (TIME, 80), (LEAVE_ONE_OUT, 12)])
def test_baselines_are_measured_once(tmp_path, protocol, rows) -> None:
    _write_release(tmp_path)
    data = Data.read(tmp_path, RELEASES["ml-100k"])
    (split,) = splits.of_protocol(protocol, tmp_path, data.release, data.ratings, seeds=[4])
    first, second = _Screen(), _Screen()
    path = tmp_path / "quality.json"
    found = quality.baselines(data, split, OURS_ALONE, Store(path), first)
    assert len(first.steps) == len(OURS_ALONE) == 3
    assert [r.key.view for r in found if r.key.method == "popularity"] == list(split.views)
    assert {r.groups["all"].rows for r in found} == {rows}
    assert ("cold" in found[0].groups) == (protocol == TIME)
    # All happens within minutes, so that nobody returns.
    of_visits = [[r.groups[visit].rows for visit in features.VISITS if visit in r.groups] for r in found]
    assert all("return" not in r.groups for r in found)
    assert {sum(sizes) for sizes in of_visits} == {rows}
    assert quality.baselines(data, split, OURS_ALONE, Store(path), second) == [
        Result.model_validate_json(result.model_dump_json()) for result in found
    ]
    assert second.steps == []


@pytest.mark.parametrize("name", ["u.data", "u.item", "u.user"])
def test_figures_of_other_files_are_not_those_of_these(tmp_path, name: str) -> None:
    _write_release(tmp_path)
    before = Data.read(tmp_path, RELEASES["ml-100k"]).digest
    path = tmp_path / name
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    assert Data.read(tmp_path, RELEASES["ml-100k"]).digest != before


def test_one_baseline_can_be_measured_without_the_libraries_of_the_others(
    tmp_path, monkeypatch, capsys
) -> None:
    _write_release(tmp_path)
    monkeypatch.setattr(rivals, "LIBRARIES", {"implicit": "no_such_module_a", "myfm": "no_such_module_b"})
    output = tmp_path / "tables.md"
    command = ["quality", "--data", str(tmp_path), "--output", str(output), "--seeds", "1", "--only"]
    monkeypatch.setattr(sys, "argv", [*command, "EASE", "--protocols", RANDOM])
    quality.main()
    assert "| EASE" in output.read_text() and "popularity" not in output.read_text()
    monkeypatch.setattr(sys, "argv", [*command, "iALS"])
    with pytest.raises(SystemExit, match="2"):
        quality.main()
    assert "need implicit: " in capsys.readouterr().err


def test_the_command_writes_its_tables(tmp_path, monkeypatch, capsys) -> None:
    _write_release(tmp_path)
    monkeypatch.setattr(rivals, "RIVALS", OURS_ALONE)
    monkeypatch.setattr(rivals, "LIBRARIES", {})
    output = tmp_path / "out" / "tables.md"
    arguments = ["--data", str(tmp_path), "--only", "baselines", "--seeds", "1", "2", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["quality", *arguments])
    quality.main()
    text = output.read_text()
    assert text in capsys.readouterr().out
    assert "## Quality on ml-100k" in text
    assert "## Time cut, rolling: seed 1, seed 2" in text
    assert "u1 to u5: not measured, for this copy of the data has no such files." in text
    assert len(results.Store(output.with_suffix(".json"))._results) == 2 * 4 * 3


def test_missing_libraries_are_named_with_the_remedy(monkeypatch, capsys) -> None:
    monkeypatch.setattr(rivals, "LIBRARIES", {"implicit": "no_such_module_a", "myfm": "no_such_module_b"})
    monkeypatch.setattr(sys, "argv", ["quality"])
    with pytest.raises(SystemExit, match="2"):
        quality.main()
    assert "need implicit, myfm: .venv/bin/pip install --require-hashes" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*variants.OURS, *variants.ABLATIONS])
def test_every_variant_can_be_built_and_changes_what_it_says(name: str) -> None:
    variant = {**variants.OURS, **variants.ABLATIONS}[name]
    model, config = variant.trained()
    default = getattr(hyperparameters.default(), model)
    assert (config == default) == (not variant.changes)
    assert name.startswith(model)
