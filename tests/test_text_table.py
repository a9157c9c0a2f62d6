"""Tables at any width: every label and every number is there."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from rtu_edge._base.text_table import TextTable

WIDTHS = (20, 40, 60, 80, 120, 4096)


def printed(table: TextTable, width: int) -> list[str]:
    """The lines of a table at a width."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def letters(text: str) -> str:
    """Text without the spaces, where a line may break."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_label_and_no_number_is_lost(width: int) -> None:
    rng = np.random.default_rng(width)
    names = [f"name{k}" for k in range(9)]
    table = TextTable("label", *names, "remark", prose=("remark",))
    numbers = rng.integers(0, 10**9, (7, 9))
    for k, row in enumerate(numbers):
        table.add_row(f"row {k}", *(f"{value:,}" for value in row), f"remark {k} of several words that may fold")
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    whole = "\n".join(lines)
    for name in ("label", "remark", *names):
        assert name in whole
    for value in numbers.ravel():
        assert re.search(rf"(?<![\d,]){value:,}(?![\d,])", whole), value
    groups = whole.split("\n\n")
    for k in range(7):  # the label is in front of each group of columns
        assert all(re.search(rf"^row {k}\b", group, re.M) for group in groups if group.startswith("label"))
        assert f"remark{k}ofseveralwordsthatmayfold" in letters(whole) or width < 60


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_label_folds_and_a_long_word_too(width: int) -> None:
    table = TextTable("label", "value", header=False)
    label = "runs/2026-11-29/a_name_without_any_space_that_is_longer_than_the_line_of_a_terminal"
    table.add_row(label, "123,456.789")
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    assert "123,456.789" in "\n".join(lines)
    assert letters("".join(lines)).replace("123,456.789", "") == label


def test_wide_enough_is_one_line_per_row() -> None:
    table = TextTable("a", "b", prose=("b",))
    table.add_row("x", "many words " * 40)
    assert len(printed(table, 4096)) == 2
    table.add_section()
    table.add_row("y")
    assert [line[:1] for line in printed(table, 4096)] == ["a", "x", "", "y"]


def test_more_cells_than_columns_are_refused() -> None:
    table = TextTable("a")
    with pytest.raises(ValueError, match="row: 2 cells, expected at most 1"):
        table.add_row("x", "y")
    assert table.row_count == 0


def test_a_table_without_rows_or_with_one_column() -> None:
    assert printed(TextTable("a", "b"), 80) == ["a  b"]
    one = TextTable("a")
    one.add_row("x")
    assert printed(one, 80) == ["a", "x"]
