import pytest

from benchmarks import table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table.markdown(["", "RMSE"], [["biases", "0.9"], ["a", ""]]).splitlines() == [
        "|        | RMSE |",
        "| ------ | ---: |",
        "| biases |  0.9 |",
        "| a      |      |",
    ]


def test_a_row_of_another_length_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"2 cells; received \['a'\]"):
        table.markdown(["", "RMSE"], [["a"]])


def test_spread() -> None:
    assert table.spread([3.0, 1.0, 2.04], 1) == "2.0 (1.0 to 3.0)"
    assert table.spread([0.5], 2) == "0.50"
    assert table.spread([], 2) == ""
