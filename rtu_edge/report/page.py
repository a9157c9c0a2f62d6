"""The report's page: HTML around the pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.log import Stage, Summary
from rtu_edge.report import figures

__all__ = ["page"]

Array = npt.NDArray[Any]

_DARK = {
    "ink": "#e4eaf0",
    "muted": "#93a1af",
    "faint": "#2b3743",
    "paper": "#151c23",
    "agent": "#3cc1b8",
    "control": "#f0894f",
    "force": "#8a9cf0",
    "good": "#51cf66",
    "bad": "#ff6b6b",
}

_CSS = """
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 44px 28px 64px }
header { margin-bottom: 26px }
.over { color: var(--agent); font-weight: 650; letter-spacing: .07em; text-transform: uppercase; font-size: 12px }
h1 { font-size: 30px; line-height: 1.2; margin: 6px 0 10px; font-weight: 680; letter-spacing: -.012em }
td.number:last-child, th.number:last-child { padding-right: 0 }
h2 { font-size: 17px; margin: 0 0 4px; font-weight: 650 }
.lead { font-size: 16.5px; max-width: 62em; margin: 0 }
.when, .note { color: var(--muted); font-size: 13.5px }
.when { margin: 8px 0 0 }
.note { margin: 0 0 10px; max-width: 74em }
.verdict { display: inline-block; border-radius: 99px; padding: 1px 11px; font-size: 13px;
  font-weight: 650; margin-right: 8px;
  color: var(--paper) }
.verdict.good { background: var(--good) } .verdict.bad { background: var(--bad) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(158px, 1fr)); gap: 12px; margin: 0 0 18px }
.tile, section { background: var(--paper); border: 1px solid var(--faint); border-radius: 10px }
.tile { padding: 13px 16px 12px }
.tile b { display: block; font-size: 23px; font-weight: 660; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; white-space: nowrap }
.tile span { color: var(--muted); font-size: 12.5px }
section { padding: 20px 22px 18px; margin: 0 0 16px }
section svg { display: block; width: 100%; height: auto; margin-top: 6px }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; align-items: start }
.pair section { margin: 0 0 16px; height: calc(100% - 16px) }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin-top: 8px; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--muted); font-weight: 550; font-size: 12.5px }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--faint); vertical-align: top }
tr:last-child td { border-bottom: 0 }
td.number, th.number { text-align: right; white-space: nowrap }
td.mark { width: 26px; font-weight: 700 } td.mark.good { color: var(--good) } td.mark.bad { color: var(--bad) }
.facts td:first-child { color: var(--muted); white-space: nowrap; width: 1%; padding-right: 22px }
.facts td { overflow-wrap: anywhere }
.wide { columns: 3; column-gap: 36px; font-size: 14px; margin-top: 8px }
.wide div { padding: 4px 0; break-inside: avoid; overflow-wrap: anywhere; display: grid;
  grid-template-columns: 10.5em 1fr }
.wide span, .counters span { color: var(--muted) }
.wide i { font-style: normal }
.counters { display: flex; flex-wrap: wrap; gap: 6px 28px; font-size: 14px; margin-top: 14px; font-variant-numeric: tabular-nums }
.counters b { font-weight: 600 }
pre { font: 12.5px/1.55 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace;
  overflow-x: auto; margin: 10px 0 0 }
.columns { columns: 2; column-gap: 40px }
summary { cursor: pointer; font-size: 17px; font-weight: 650 }
footer { color: var(--muted); font-size: 12.5px; margin-top: 22px }
@media (max-width: 760px) { .pair { grid-template-columns: 1fr } .columns, .wide { columns: 1 } main { padding: 26px 14px } }
@media print { body { background: none } .tile, section { break-inside: avoid } }
"""

# Counters worth a zero.
_ALWAYS = ("missed", "skipped", "crc_errors", "gated")

_SAFETY = (
    "Not a certified safety function. The device's own limits, its command lifetime and an emergency stop that works "
    "without this software come first."
)


def page(summary: Summary, arrays: Mapping[str, Array], config: str) -> str:
    """The whole report.

    Args:
        summary: results and checks.
        arrays: telemetry by stage, as in telemetry.npz; may be empty.
        config: the configuration's text.

    Returns:
        HTML that refers to nothing outside itself.
    """
    data = dict(arrays)
    body = [
        _header(summary),
        _tiles(summary, data),
        _checks(summary),
        _learning(summary, data),
        _episode(summary, data),
        _timing(summary, data),
        '<div class="pair">',
        _facts("Device", _device(summary)),
        _facts("Machine", {_plain(key): value for key, value in summary.machine.items()}),
        "</div>",
        _facts("Learner", _learner(summary), wide=True),
        _config(config),
        f"<footer>rtu_edge {_text(summary.version)}. {_SAFETY}</footer>",
    ]
    title = _text(f"{summary.name}: {summary.title}" if summary.title else summary.name)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_colours()}{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _colours() -> str:
    def block(palette: Mapping[str, str], ground: str) -> str:
        names = "".join(f"--{name}:{value};" for name, value in palette.items())
        return f":root{{{names}--ground:{ground}}}"

    return block(figures.PALETTE, "#f3f5f7") + f"@media (prefers-color-scheme: dark){{{block(_DARK, '#0e1318')}}}"


def _header(summary: Summary) -> str:
    held = sum(check.passed for check in summary.checks)
    verdict = ""
    if summary.checks:
        kind = "good" if summary.passed else "bad"
        verdict = f'<span class="verdict {kind}">{held} of {len(summary.checks)} checks held</span>'
    when = ", ".join(
        part
        for part in (
            summary.started,
            f"seed {summary.seed}",
            f"{summary.seconds:.0f} s in all",
            f"configuration {summary.config_hash}",
        )
        if part
    )
    return (
        f'<header><div class="over">rtu_edge run &middot; {_text(summary.name)}</div>'
        f"<h1>{_text(summary.title or summary.name)}</h1>"
        f'<p class="lead">{_text(summary.headline)}</p>'
        f'<p class="when">{verdict}{_text(when)}</p></header>'
    )


def _tiles(summary: Summary, arrays: Mapping[str, Array]) -> str:
    tiles: list[tuple[str, str]] = []
    episodes = arrays.get("learning_episodes")
    learning = summary.stages.get("learning")
    if episodes is not None and len(episodes):
        mean = figures.running_mean(episodes["total_return"], summary.target_episodes)
        best = mean[summary.target_episodes - 1 :] if len(mean) >= summary.target_episodes else mean
        tiles.append((f"{best.max():.0f}", f"best mean return of {summary.target_episodes} episodes"))
    if summary.reached_after_steps is not None:
        tiles.append((f"{summary.reached_after_steps:,}", "steps from scratch to the goal"))
    if learning is not None and learning.seconds > 0:
        tiles.append((f"{learning.steps_per_s:,.0f} /s", "control steps over the port while learning"))
    timed = arrays.get("realtime")
    if timed is not None and len(timed):
        tail = float(np.percentile(figures.latencies(timed)["Step time"], 99.0))
        tiles.append((f"{tail:.0f} µs", "predict + learn in real time, p99"))
    if summary.onnx_difference is not None:
        tiles.append((f"{summary.onnx_difference:.1e}", "largest difference, ONNX Runtime and native"))
    if summary.learner_bytes:
        tiles.append((f"{summary.learner_bytes / 1024:.1f} KiB", "the whole learner, fixed size"))
    cells = "".join(f'<div class="tile"><b>{_text(value)}</b><span>{_text(what)}</span></div>' for value, what in tiles)
    return f'<div class="tiles">{cells}</div>' if cells else ""


def _checks(summary: Summary) -> str:
    if not summary.checks:
        return ""
    rows = "".join(
        f'<tr><td class="mark {"good" if check.passed else "bad"}">{"✓" if check.passed else "✗"}</td>'
        f"<td>{_text(check.title)}</td><td>{_text(check.measured)}</td><td>{_text(check.required)}</td></tr>"
        for check in summary.checks
    )
    head = "<tr><th></th><th>check</th><th>measured</th><th>required</th></tr>"
    return f"<section><h2>What had to hold</h2><table>{head}{rows}</table></section>"


def _learning(summary: Summary, arrays: dict[str, Array]) -> str:
    episodes = arrays.get("learning_episodes")
    if episodes is None or not len(episodes):
        return ""
    note = "One dot an episode."
    if "control_episodes" in arrays:
        note += " Beside it the memoryless control: the same learner, sensors and seed without the recurrent cell."
    return _section("Learning curve", note, figures.learning_svg(summary, arrays))


def _episode(summary: Summary, arrays: dict[str, Array]) -> str:
    records = figures.last_episode(arrays)
    if records is None or not len(records) or not summary.observations:
        return ""
    names = " and ".join(figures.tidy(row.name) for row in summary.observations)
    seconds = f"{len(records) * summary.period_s:.1f} s" if summary.period_s else f"{len(records)} steps"
    note = f"{seconds}. All that the policy sees: {names}."
    return _section("The last episode", note, figures.episodes_svg(summary, records))


def _timing(summary: Summary, arrays: Mapping[str, Array]) -> str:
    records = arrays.get("realtime")
    stage = summary.stages.get("realtime")
    if records is None or not len(records) or stage is None:
        return ""
    note = (
        f"{stage.steps:,} steps in {stage.seconds:.1f} s of wall clock, learning all the while, ticked by the device. "
        "Step time is predict and learn together. Logarithmic both ways; lines at the median and at p99. "
        "Measured on this machine, under its load at the time: a report, not a promise."
    )
    table = _table(
        ["µs", "p50", "p90", "p99", "p99.9", "max"],
        [
            [name, *(f"{value:,.1f}" for value in (*np.percentile(times, [50, 90, 99, 99.9]), times.max()))]
            for name, times in figures.latencies(records).items()
            if len(times)
        ],
    )
    shown = {name: value for name, value in stage.counters.items() if value or name in _ALWAYS}
    extra = "".join(f"<div><span>{_text(_plain(name))}</span> <b>{value:,}</b></div>" for name, value in shown.items())
    extra = f'<div class="counters">{extra}</div>' if extra else ""
    extra += _link(stage)
    extra += "".join(f'<p class="note">Not granted: {_text(what)}</p>' for what in stage.privileges)
    return _section("Timing", note, figures.latency_svg(records) + table + extra)


def _link(stage: Stage) -> str:
    link = stage.link
    if "round_trip_us" not in link:
        return ""
    facts = {
        "round trip": f"{link['round_trip_min_us']:,.0f} to {link['round_trip_max_us']:,.0f} µs"
        f", jitter {link.get('jitter_us', 0.0):,.0f} µs",
        "device's clock": f"{link['drift_ppm']:+.1f} ppm against ours" if "drift_ppm" in link else "",
        "age of a command, by the device's clock": f"at most {link['command_age_max_us'] / 1e3:,.1f} ms"
        if "command_age_max_us" in link
        else "",
        "frames lost": f"{link['lost_in']:,.0f} from the device, {link['lost_out']:,.0f} to it",
    }
    cells = "".join(
        f"<div><span>{_text(name)}</span> <b>{_text(value)}</b></div>" for name, value in facts.items() if value
    )
    return f'<div class="counters">{cells}</div>'


def _device(summary: Summary) -> dict[str, str]:
    facts = {_plain(key): value for key, value in summary.device.items()}
    for kind, rows in (("observes", summary.observations), ("moves", summary.actuators)):
        facts[kind] = ", ".join(
            f"{_plain(row.name)} {row.minimum:g}..{row.maximum:g} {row.unit}".strip() for row in rows
        )
    if summary.period_s:
        facts["period"] = f"{summary.period_s * 1e3:g} ms ({1 / summary.period_s:g} Hz)"
    return {key: value for key, value in facts.items() if value}


def _learner(summary: Summary) -> dict[str, str]:
    facts = {_plain(key): _short(value) for key, value in summary.learner.items() if value is not None}
    if summary.state_hash:
        facts["state hash"] = summary.state_hash
    return facts


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_plain(str(key))} {_short(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _config(config: str) -> str:
    if not config:
        return ""
    inside = f'<summary>Configuration</summary><pre class="columns">{_text(config)}</pre>'
    return f"<section><details>{inside}</details></section>"


def _facts(title: str, facts: Mapping[str, str], wide: bool = False) -> str:
    if not facts:
        return ""
    if wide:
        cells = "".join(f"<div><span>{_text(key)}</span><i>{_text(value)}</i></div>" for key, value in facts.items())
        return f'<section><h2>{title}</h2><div class="wide">{cells}</div></section>'
    rows = "".join(f"<tr><td>{_text(key)}</td><td>{_text(value)}</td></tr>" for key, value in facts.items())
    return f'<section><h2>{title}</h2><table class="facts">{rows}</table></section>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(tag: str, values: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place else ''}>{_text(value)}</{tag}>" for place, value in enumerate(values)
        )

    inside = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>{inside}</table>"


def _section(title: str, note: str, inside: str) -> str:
    return f'<section><h2>{title}</h2><p class="note">{_text(note)}</p>{inside}</section>'


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _text(value: str) -> str:
    return html.escape(str(value), quote=True)
