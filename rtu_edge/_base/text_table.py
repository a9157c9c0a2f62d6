"""A table for terminals of any width: no label and no number is lost.

In order, as far as the width requires: the natural widths; the columns of prose fold; the columns are set in groups one
under the other, each group with the label column in front; the label column folds too.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["FactGrid", "TextTable", "facts"]

_PROSE = 18  # minimum width of a folded column of prose
_GAP = 3  # columns between two facts
_LABEL = 4  # minimum width of a folded label


class TextTable:
    """A table without lines whose first column is the label of its row; a rich renderable.

    Args:
        columns: their titles.
        prose: titles of the columns that may fold, all of them left-aligned.
        left: titles of other left-aligned columns; the first one always is. The rest is right-aligned.
        header: print the titles.
        padding: columns of a terminal between two columns of the table.
    """

    def __init__(
        self,
        *columns: str,
        prose: Collection[str] = (),
        left: Collection[str] = (),
        header: bool = True,
        padding: int = 2,
    ) -> None:
        self._titles = [Text.from_markup(name, style="dim") for name in columns]
        self._folds = [name in prose for name in columns]
        self._left = [not at or name in prose or name in left for at, name in enumerate(columns)]
        self._header = header
        self._padding = padding
        self._rows: list[list[Text]] = []
        self._sections: list[int] = []

    @property
    def row_count(self) -> int:
        """Rows so far."""
        return len(self._rows)

    def add_row(self, *cells: str | Text) -> None:
        """A row; text is markup, missing cells are empty.

        Raises:
            ValueError: more cells than columns.
        """
        if len(cells) > len(self._titles):
            raise ValueError(f"row: {len(cells)} cells, expected at most {len(self._titles)}")
        row = [cell if isinstance(cell, Text) else Text.from_markup(cell) for cell in cells]
        self._rows.append(row + [Text()] * (len(self._titles) - len(row)))

    def add_section(self) -> None:
        """An empty line before the next row."""
        self._sections.append(len(self._rows))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        natural = sum(self._widths()) + self._padding * (len(self._titles) - 1)
        return Measurement(min(natural, _LABEL, options.max_width), min(natural, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, group in enumerate(self._groups(options.max_width)):
            if number:
                yield Text()
            yield self._table(group)

    def _widths(self) -> list[int]:
        cells = [[title] if self._header else [] for title in self._titles]
        for row in self._rows:
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
        return [max((_width(cell) for cell in column), default=0) for column in cells]

    def _groups(self, most: int) -> Iterator[list[tuple[int, int]]]:
        """The tables to print, each as its columns with their widths."""
        widths = self._widths()
        least = [min(width, _PROSE) if folds else width for width, folds in zip(widths, self._folds, strict=True)]
        beside = max(least[1:], default=0) + (self._padding if len(least) > 1 else 0)
        if not self._folds[0] and least[0] + beside > most:
            least[0] = max(min(least[0], _LABEL), most - beside)
        at = 1
        while at < len(widths) or at == 1:
            group = [0]
            used = least[0]
            while at < len(widths) and (len(group) == 1 or used + self._padding + least[at] <= most):
                used += self._padding + least[at]
                group.append(at)
                at += 1
            given = _shared([widths[k] for k in group], [least[k] for k in group], most - used)
            yield list(zip(group, given, strict=True))
            if at == 1:
                return

    def _table(self, group: Sequence[tuple[int, int]]) -> Table:
        # Gaps are columns of their own: rich before 14.3 reserves padding after the last column, and truncates others.
        table = Table(box=None, show_header=self._header, header_style="", pad_edge=False, padding=0)
        for place, width in group:
            if place != group[0][0]:
                table.add_column(width=self._padding)
            table.add_column(
                self._titles[place],
                justify="left" if self._left[place] else "right",
                overflow="fold",
                width=max(width, 1),
            )
        for number, row in enumerate(self._rows):
            if number in self._sections:
                table.add_row()
            table.add_row(row[group[0][0]], *(cell for place, _ in group[1:] for cell in ("", row[place])))
        return table


def facts(pairs: Sequence[tuple[str, str]], width: int, *, strong: str = "", indent: int = 0) -> Text:
    """Names and values one after another; a line breaks between two pairs only.

    Args:
        pairs: plain text.
        width: columns of a line, the indent included.
        strong: names that begin so have a bold value.
        indent: columns before each line.
    """
    text, used = Text(" " * indent), indent
    for name, value in pairs:
        length = len(name) + 1 + len(value)
        if used > indent:
            fits = used + _GAP + length <= width
            text.append(" " * _GAP if fits else "\n" + " " * indent)
            used = used + _GAP if fits else indent
        text.append(f"{name} ", style="dim")
        text.append(value, style="bold" if strong and name.startswith(strong) else "")
        used += length
    return text


class FactGrid:
    """Names and values in columns, as many as fit; a value folds only where one column is too wide.

    A rich renderable; false where there is nothing to show.

    Args:
        rows: names with their values, plain text; they fill one column after the other.
        columns: at most.
    """

    def __init__(self, rows: list[tuple[str, str]], columns: int) -> None:
        self._rows, self._columns = rows, columns

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        most = self._needed(self._columns) if self._rows else 0
        return Measurement(min(most, _LABEL), min(most, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows:
            return
        columns = self._columns
        while columns > 1 and self._needed(columns) > options.max_width:
            columns -= 1
        names = [max(len(name) for name, _ in part) for part in self._parts(columns)]
        table = Table.grid(padding=(0, _GAP, 0, 0))
        for width in names:
            table.add_column(width=width, no_wrap=True)
            table.add_column(overflow="fold")
        for cells in itertools.zip_longest(*self._parts(columns), fillvalue=("", "")):
            table.add_row(
                *(Text(text, style=style) for cell in cells for text, style in zip(cell, ("dim", ""), strict=True))
            )
        yield table

    def __bool__(self) -> bool:
        return bool(self._rows)

    def _parts(self, columns: int) -> list[list[tuple[str, str]]]:
        height = -(-len(self._rows) // columns)
        return [self._rows[at : at + height] for at in range(0, len(self._rows), height)]

    def _needed(self, columns: int) -> int:
        parts = self._parts(columns)
        return sum(
            max(len(name) for name, _ in part) + max(len(value) for _, value in part) + 2 * _GAP for part in parts
        )


def _width(text: Text) -> int:
    return max((line.cell_len for line in text.split("\n", allow_blank=True)), default=0)


def _shared(widths: list[int], least: list[int], spare: int) -> list[int]:
    """Widths between least and natural: spare width goes to the folded columns, the narrowest first."""
    given = list(least)
    open_ = [k for k in range(len(widths)) if widths[k] > least[k]]
    while open_ and spare > 0:
        each = max(spare // len(open_), 1)
        k = min(open_, key=lambda k: widths[k] - given[k])
        more = min(widths[k] - given[k], each, spare)
        given[k] += more
        spare -= more
        open_.remove(k)
    return given
