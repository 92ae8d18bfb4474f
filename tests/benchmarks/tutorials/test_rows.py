"""What the commands print of given figures."""

from benchmarks.figures import Figures
from benchmarks.processes import Cost
from benchmarks.tutorials import __main__ as tutorials
from benchmarks.tutorials import cost
from benchmarks.tutorials.cost import Pair


def _run(shift: float) -> tutorials.Run:
    return {
        (tutorials.POPULARITY, ""): Figures(0.3, 0.1, 0.41, 0.05, 0.12, 0.02, 0.06),
        (tutorials.BIASES, ""): Figures(rmse=0.94),
        **{
            (name, way): Figures(
                top_100=published.top_100 and published.top_100 + shift,
                top_100_unseen=published.top_100 and 0.5,
                rmse=published.rmse,
            )
            for name, published in tutorials.PUBLISHED.items()
            for way in (tutorials.PLAIN, tutorials.TUTORIAL, tutorials.DEFAULT)
        },
    }


def _cells(markdown: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_tutorials_stand_beside_what_was_published() -> None:
    cells = _cells(tutorials.reproduction([_run(0.01), _run(-0.03), _run(0.0)]))
    assert list(cells) == ["retrieval, top-100", "ranking, RMSE", "multitask, top-100", "multitask, RMSE"]
    assert cells["retrieval, top-100"] == ["0.24", *["0.240 (0.210 to 0.250)"] * 2]
    assert cells["multitask, RMSE"] == ["1.06", *["1.060 (1.060 to 1.060)"] * 2]


def test_models_stand_beside_the_baselines() -> None:
    cells = _cells(tutorials.comparison([_run(0.0)]))
    assert cells["popularity"] == ["0.300", "0.100", "0.410", "0.050", "0.120", "0.020", "0.060", ""]
    assert cells["user and title biases"] == [*[""] * 7, "0.940"]
    assert cells["default: ranking"] == [*[""] * 7, "1.100"]
    assert cells["tutorial: multitask"] == ["0.248", "", "0.500", *[""] * 4, "1.060"]
    assert len(cells) == 8


def test_the_ratio_is_that_of_each_pair() -> None:
    pairs = [
        Pair(
            Cost(ours, 10**9, 2 * 10**9),
            Cost(9, 1, 1),
            "17 of 17 steps from the cache",
            Cost(200, 1, 1),
            {"a": 50},
        )
        for ours in (100, 150, 400)
    ]
    rows = {row[0]: row[1:] for row in cost.rows(pairs, [8.0, 9.0, 8.5])}
    assert rows["pipeline, cold / tutorials"][0] == "0.75 (0.50 to 2.00)"
    assert rows["the pipeline, cold"] == [
        "150.0 (100.0 to 400.0)",
        "1.00 (1.00 to 1.00)",
        "2.00 (2.00 to 2.00)",
    ]
    assert rows["again: 17 of 17 steps from the cache"][0] == "9.0 (9.0 to 9.0)"
    assert rows["of either, imports"][0] == "8.5 (8.0 to 9.0)"
    assert rows["of which a"][0] == "50.0 (50.0 to 50.0)"
