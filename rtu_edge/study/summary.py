"""The table of a study, and its Parquet files, whose bytes depend on the results alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtu_edge._base import files
from rtu_edge._base.packages import needed_by
from rtu_edge._base.text_table import TextTable
from rtu_edge.study import changes
from rtu_edge.study.run import StudyResult
from rtu_edge.study.scores import LEARNED
from rtu_edge.study.tasks import CURVES

__all__ = ["COLUMNS", "change_table", "document", "facts", "groups", "parquet", "save_parquet", "summarise", "table"]

COLUMNS = {
    "plant": "string",
    "variant": "string",
    "machine_seed": "int64",
    "agent_seed": "int64",
    "steps": "int64",
    "return": "float64",
    "return_error": "float64",
    "random": "float64",
    "reference": "float64",
    "score": "float64",
    "learned": "bool",
    "locked": "bool",
    "below_random": "bool",
    "clipped": "float64",
    "episodes": "int64",
    "problem": "string",
    "hash": "string",
    **changes.COLUMNS,
}
_CURVES = {"task": "int64", "step": "int64", **dict.fromkeys(CURVES, "float64")}


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each variant, or without variants of each plant, in the order of the tasks; of several plants also
    "all"."""
    by = "variant" if any(row["variant"] for row in rows) else "plant"
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return {**found, "all": list(rows)} if by == "plant" and len(found) > 1 else found


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of one group: runs; quartiles of return and score; learned, locked and below_random as shares."""

    def quartiles(name: str) -> list[float] | None:
        values = [row[name] for row in rows if row[name] is not None]
        if len(values) < 2:
            return values * 3 or None
        return statistics.quantiles(values, n=4, method="inclusive")

    def share(name: str) -> float | None:
        values = [row[name] for row in rows if row[name] is not None]
        return sum(values) / len(values) if values else None

    return {
        "runs": len(rows),
        "return": quartiles("return"),
        "score": quartiles("score"),
        **{name: share(name) for name in ("learned", "locked", "below_random")},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """Median and quartiles of each plant, shares of runs that learned, locked or ended below random."""
    shown = TextTable(
        "variant" if any(row["variant"] for row in rows) else "plant",
        "runs",
        "return",
        "score",
        "learned",
        "locked",
        "below random",
    )
    for name, group in groups(rows).items():
        if name == "all":
            shown.add_section()
        found = summarise(group)
        shown.add_row(
            name,
            str(found["runs"]),
            "" if _mixed(group) else _spread(found["return"], ".4g"),
            _spread(found["score"], ".2f"),
            *(_percent(found[which]) for which in ("learned", "locked", "below_random")),
        )
    return shown


def change_table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """Medians of the scores around changes, share of runs that recovered, and the steps that they took.

    Of the runs that had learned before the first change.
    """
    shown = TextTable("variant", "learned", "before", "frozen", "after 1", "after last", "recovered 1", "last")
    for name, group in groups(rows).items():
        learned = [row for row in group if row["before"] is not None and row["before"] >= LEARNED]
        cells = [_spread(_middle(learned, column), ".2f").partition(" ")[0] for column in list(changes.COLUMNS)[:4]]
        shown.add_row(
            name, f"{len(learned)}/{len(group)}", *cells, *(_recovered(learned, n) for n in ("first", "last"))
        )
    return shown


def _middle(rows: Sequence[Mapping[str, Any]], column: str) -> list[float] | None:
    values = [row[column] for row in rows if row[column] is not None]
    return [0.0, statistics.median(values), 0.0] if values else None


def _recovered(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    steps = [row[f"recovery_{which}"] for row in rows if row[f"recovery_{which}"] is not None]
    if not steps:
        return "-" if not rows else "0 %"
    return f"{100 * len(steps) / len(rows):.3g} %, {statistics.median(steps):,.0f} steps"


def _mixed(group: Sequence[Mapping[str, Any]]) -> bool:
    """Returns of several plants have no common unit."""
    return len({row["plant"] for row in group}) > 1


def facts(found: StudyResult) -> str:
    """What the columns mean, and the time taken."""
    steps = sum(result["steps"] for result in found.results)
    took = f"{found.done:,} of {len(found.tasks):,} runs in {found.seconds:.1f} s, {steps:,} steps in all"
    return (
        "return, score: median and quartiles at the end of training; learned: score of .7 or more; locked: score below "
        f".1 with over 90 % of the last 2,000 actions clipped; below random: by over 3 standard errors\n{took}"
    )


def document(found: StudyResult, written: Sequence[Path]) -> dict[str, Any]:
    """For --json."""
    return {
        "study": found.study.name,
        "runs": len(found.tasks),
        "seconds": found.seconds,
        "plants": {name: summarise(group) for name, group in groups(found.rows).items()},
        "files": [str(path) for path in written],
    }


def _spread(values: Sequence[float] | None, form: str) -> str:
    if values is None:
        return "-"
    low, middle, high = (format(value, form) for value in values)
    return f"{middle} ({low} to {high})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3g} %"


def parquet(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; the message has the command to install it.
    """
    with needed_by("Parquet"):
        import pyarrow
        import pyarrow.parquet
    types = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    sink = pyarrow.BufferOutputStream()
    content = pyarrow.Table.from_pylist([{name: row[name] for name in columns} for row in rows], schema)
    pyarrow.parquet.write_table(content, sink, compression="zstd")
    return bytes(sink.getvalue())


def save_parquet(found: StudyResult, folder: Path) -> list[Path]:
    """results.parquet, a row per task, and curves.parquet, a row per task and 1 000 steps.

    Raises:
        ModuleNotFoundError, OSError: nothing is written.
    """
    curves = [
        {"task": number, "step": 1000 * (at + 1), **dict(zip(CURVES, values, strict=True))}
        for number, result in enumerate(found.results)
        for at, values in enumerate(result["curves"])
    ]
    written = {"results.parquet": parquet(COLUMNS, found.rows), "curves.parquet": parquet(_CURVES, curves)}
    for name, data in written.items():
        files.write(folder / name, data)
    return [folder / name for name in written]
