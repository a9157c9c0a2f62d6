"""The table of a study, and its Parquet files, whose bytes depend on the results alone."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtu_edge._base import files
from rtu_edge._base.packages import needed_by
from rtu_edge._base.text_table import TextTable
from rtu_edge.learn.findings import Finding
from rtu_edge.study import changes
from rtu_edge.study.run import StudyResult
from rtu_edge.study.scores import LEARNED
from rtu_edge.study.tasks import CURVES

__all__ = [
    "COLUMNS",
    "change_table",
    "document",
    "facts",
    "groups",
    "mean_score",
    "paired_table",
    "pairs",
    "parquet",
    "save_parquet",
    "summarise",
    "table",
    "verdict_table",
    "verdicts",
]

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
    "findings": "string",
    **changes.COLUMNS,
}
_FINDINGS = [str(one.name).lower() for one in Finding]
_RESAMPLES = 10_000
_CURVES = {"task": "int64", "step": "int64", **dict.fromkeys(CURVES, "float64")}


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each variant, or without variants of each plant, in the order of the tasks; of several plants also
    "all"."""
    by = "variant" if any(row["variant"] for row in rows) else "plant"
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return {**found, "all": list(rows)} if by == "plant" and len(found) > 1 else found


def mean_score(rows: Sequence[Mapping[str, Any]]) -> float:
    """Over all runs, each clipped to [-1, 1]; a run too short for a score counts 0. The objective of tune, finite:
    Optuna would keep an infinite value as the best one."""
    return sum(min(max(row["score"] or 0.0, -1.0), 1.0) for row in rows) / len(rows)


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of one group: runs; quartiles and the least of the return; quartiles and mean of the score, see
    mean_score(); learned, locked and below_random as shares."""

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
        "lowest_return": min((row["return"] for row in rows if row["return"] is not None), default=None),
        "score": quartiles("score"),
        "mean_score": mean_score(rows) if any(row["score"] is not None for row in rows) else None,
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
    recovered = [f"change {number}" for number in changes.RECOVERIES]
    shown = TextTable("variant", "learned", "before", "frozen", "after 1", "last", *recovered)
    for name, group in groups(rows).items():
        learned = [row for row in group if row["before"] is not None and row["before"] >= LEARNED]
        cells = [_spread(_middle(learned, column), ".2f").partition(" ")[0] for column in list(changes.COLUMNS)[:4]]
        times = ["" if name.endswith("once") and n > 1 else _recovered(learned, n) for n in changes.RECOVERIES]
        shown.add_row(name, f"{len(learned)}/{len(group)}", *cells, *times)
    return shown


def _middle(rows: Sequence[Mapping[str, Any]], column: str) -> list[float] | None:
    values = [row[column] for row in rows if row[column] is not None]
    return [0.0, statistics.median(values), 0.0] if values else None


def _recovered(rows: Sequence[Mapping[str, Any]], number: int) -> str:
    """Share of the runs that recovered from a change, and the median of their steps."""
    steps = [row[f"recovery_{number}"] for row in rows if row[f"recovery_{number}"] is not None]
    if not steps:
        return "0 %" if rows else "-"
    return f"{100 * len(steps) / len(rows):.0f} % {statistics.median(steps) / 1000:.3g}k"


def verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Runs by verdict: their number, and those in which the learner monitor's windows found anything, and what."""
    found = {}
    for name in ("all", "learned", "locked", "below_random"):
        group = [row for row in rows if name == "all" or row[name]]
        by_name = {which: sum(which in row["findings"] for row in group) for which in _FINDINGS}
        found[name] = {"runs": len(group), "any_finding": sum(bool(row["findings"]) for row in group), **by_name}
    return found


def verdict_table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """The same as a table."""
    found = verdicts(rows)
    shown = TextTable("verdict", "share", *(name.replace("_", " ") for name in found["all"]))
    for name, counts in found.items():
        share = _percent(counts["runs"] / max(len(rows), 1))
        shown.add_row(name.replace("_", " "), share, *(f"{count:,}" for count in counts.values()))
    return shown


def pairs(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each two variants, the differences of the scores on the same machine with the same seeds.

    Returns:
        "variant", "less": whose score is subtracted; "pairs"; "difference": the mean; "low", "high": its 95 % interval,
        by the bootstrap over the pairs; "better": share of pairs above 0. Scores are clipped to [-1, 1], as by tune.
    """
    named = {name: {_pair(row): row["score"] for row in group} for name, group in groups(rows).items()}
    found = []
    for first, second in itertools.combinations(named, 2):
        shared = [key for key in named[first] if None not in (named[first][key], named[second].get(key))]
        if len(shared) < 2:
            continue
        gain = np.subtract(*(np.clip([named[name][key] for key in shared], -1.0, 1.0) for name in (second, first)))
        drawn = np.random.Generator(np.random.PCG64(0)).choice(gain, (_RESAMPLES, len(gain))).mean(axis=1)
        low, high = map(float, np.quantile(drawn, (0.025, 0.975)))
        means = {"difference": float(gain.mean()), "low": low, "high": high, "better": float(np.mean(gain > 0))}
        found.append({"variant": second, "less": first, "pairs": len(gain), **means})
    return found


def paired_table(rows: Sequence[Mapping[str, Any]]) -> TextTable:
    """The same as a table."""
    shown = TextTable("variant", "less", "pairs", "difference", "95 %", "better", left=("less",))
    for one in pairs(rows):
        interval = f"{one['low']:+.3f} to {one['high']:+.3f}"
        count, better = str(one["pairs"]), _percent(one["better"])
        shown.add_row(one["variant"], one["less"], count, f"{one['difference']:+.3f}", interval, better)
    return shown


def _pair(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["plant"], row["machine_seed"], row["agent_seed"]


def _mixed(group: Sequence[Mapping[str, Any]]) -> bool:
    """Returns of several plants have no common unit."""
    return len({row["plant"] for row in group}) > 1


def facts(found: StudyResult) -> str:
    """What the columns mean; mean score, or of one plant the lowest return; the time taken."""
    steps = sum(result["steps"] for result in found.results)
    lines = [
        "return, score: median and quartiles at the end of training; learned: score of .7 or more; locked: score below "
        ".1 with over 90 % of the last 2,000 actions clipped; below random: by over 3 standard errors"
    ]
    whole = summarise(found.rows)
    if whole["lowest_return"] is not None and not _mixed(found.rows):
        lines.append(f"lowest return: {whole['lowest_return']:.4g}")
    elif whole["mean_score"] is not None and "all" in groups(found.rows):
        lines.append(f"mean score over all runs, each clipped to [-1, 1]: {whole['mean_score']:.3f}")
    took = f"{found.done:,} of {len(found.tasks):,} runs in {found.seconds:.1f} s, {steps:,} steps in all"
    return "\n".join((*lines, took))


def document(found: StudyResult, written: Sequence[Path]) -> dict[str, Any]:
    """For --json."""
    return {
        "study": found.study.name,
        "runs": len(found.tasks),
        "seconds": found.seconds,
        "verdicts": verdicts(found.rows),
        "pairs": pairs(found.rows) if any(row["variant"] for row in found.rows) else [],
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
