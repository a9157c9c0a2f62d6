"""The page of a suite: a table for each target, a strip of time for each fault."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil.case import Result
from rtu_edge.hil.faults import Response
from rtu_edge.hil.run import Report
from rtu_edge.report.html import SAFETY, document, facts, plain, section, text, tiles

__all__ = ["page"]

_FROM_MS, _TO_MS = -320.0, 1880.0
_WIDTH, _HEIGHT = 330, 30

_CSS = """
main { max-width: 1240px }
table.hil td { vertical-align: middle }
table.hil td.response { white-space: nowrap }
table.hil td:nth-child(2) { width: 27% }
table.hil td.strip { padding: 3px 0; width: 330px }
table.hil td.strip svg { margin: 0; width: 330px; height: 30px }
table.hil small { display: block; color: var(--muted); font-size: 12px }
table.hil small.why { color: var(--bad) }
table.hil tr.skipped { color: var(--muted) }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; color: var(--muted); font-size: 12.5px; margin-top: 10px }
.legend i { display: inline-block; width: 14px; height: 10px; border-radius: 2px; margin-right: 6px }
.armed { fill: var(--agent); opacity: .2 } .resetting { fill: var(--force); opacity: .25 }
.safe { fill: var(--control); opacity: .55 } .estop { fill: var(--bad); opacity: .6 } .disarmed { fill: var(--faint) }
.fault { fill: var(--ink); opacity: .75 }
.applied { fill: none; stroke: var(--ink); stroke-width: 1; opacity: .8 }
.noticed { fill: var(--force) } .zero { stroke: var(--muted); stroke-width: .6; opacity: .5 }
@media (max-width: 760px) {
  table.hil, table.hil tbody { display: block }
  table.hil tr { display: flex; flex-wrap: wrap; gap: 2px 16px; align-items: baseline; padding: 9px 0;
    border-bottom: 1px solid var(--faint) }
  table.hil th { display: none }
  table.hil th.scale { display: block; flex: 0 0 100% }
  table.hil td { display: block; border: 0; padding: 0 }
  table.hil td.mark { width: 12px; margin-right: -4px }
  table.hil td:nth-child(2) { flex: 0 0 calc(100% - 30px); width: auto }
  table.hil td:nth-child(3) { flex: 0 0 100% }
  table.hil td.number { text-align: left }
  table.hil td.number::before, table.hil td.response::before { content: attr(data-name) " "; color: var(--muted);
    font-size: 12.5px }
  table.hil td.number:empty { display: none }
  table.hil td.number small, table.hil td.response small { display: inline; margin-left: 5px }
  table.hil td.strip, table.hil th.scale { padding: 3px 0 0 }
  table.hil td.strip svg, table.hil th.scale svg { max-width: 100% }
}
"""

# Settings shown without their key.
_CLEAR = ("clock", "controller", "direction", "how", "what")

_BAND = {
    DeviceState.BOOT: "disarmed",
    DeviceState.DISARMED: "disarmed",
    DeviceState.ARMED: "armed",
    DeviceState.SAFE: "safe",
    DeviceState.ESTOP: "estop",
    DeviceState.RESETTING: "resetting",
}


def page(report: Report) -> str:
    """The whole report.

    Returns:
        Self-contained HTML.
    """
    body = [_header(report), _tiles(report), _failures(report.results)]
    body += [_target(report, target) for target in report.targets]
    body += [
        facts("Host", {plain(key): value for key, value in report.host.items()}),
        f"<footer>rtu_edge {text(report.version)}. {SAFETY}</footer>",
    ]
    return document(f"hardware in the loop: {report.suite}", body, _CSS)


def _header(report: Report) -> str:
    run = [result for result in report.results if not result.skipped]
    held = sum(result.passed for result in run)
    skipped = len(report.results) - len(run)
    verdict = f'<span class="verdict {"good" if report.passed else "bad"}">{held} of {len(run)} as expected</span>'
    when = [report.started, f"seed {report.seed}", f"{report.seconds:.0f} s in all"]
    when += [f"{skipped} not for their target"] if skipped else []
    return (
        f'<header><div class="over">rtu_edge hil &middot; {text(report.suite)}</div>'
        f"<h1>{len({result.name for result in report.results})} faults on {text(_listed(report.targets))}</h1>"
        '<p class="lead">Each fault must produce its expected outcome. A stop that was not expected is a failure, as '
        "is a stop that did not come.</p>"
        f'<p class="when">{verdict}{text(", ".join(when))}</p></header>'
    )


def _tiles(report: Report) -> str:
    safe = [r for r in report.results if r.response == Response.GOES_SAFE and r.safe_ms is not None]
    bound = [r for r in safe if r.settings.get("clock") != "lockstep" and (r.safe_limit_ms or 0) < 2 * report.ttl_ms]
    found = []
    if bound:
        worst = max(bound, key=lambda r: r.safe_ms or 0.0)
        found.append((f"{worst.safe_ms:.1f} ms", f"longest time to safe, {worst.safe_limit_ms:g} ms allowed"))
    if safe:
        found.append((str(sum(r.accepted_after or 0 for r in safe)), "commands accepted after the end of a session"))
    noticed = [r.detected_ms for r in report.results if r.detected_ms is not None]
    if noticed:
        found.append((f"{sorted(noticed)[len(noticed) // 2]:.0f} ms", "until a fault was noticed, median"))
    back = [r.recovery_ms for r in safe if r.recovery_ms is not None]
    if back:
        found.append((f"{max(back):.0f} ms", "longest recovery: a new session drives"))
    again = sum(r.attempts > 1 for r in report.results)
    found.append((str(again), "faults tried again: the host was disturbed"))
    return tiles(found)


def _failures(results: Iterable[Result]) -> str:
    rows = "".join(
        f'<tr><td class="mark bad">✗</td><td>{text(r.name)}<small>{text(r.target)}</small></td>'
        f"<td>{text('; '.join(r.why))}<small>{text(r.message)}</small></td>"
        f"<td><small>{text(r.log)}</small></td></tr>"
        for r in results
        if not r.passed and not r.skipped
    )
    head = "<tr><th></th><th>fault</th><th>deviation</th><th>log</th></tr>"
    return f'<section><h2>Failures</h2><table class="hil">{head}{rows}</table></section>' if rows else ""


def _target(report: Report, target: str) -> str:
    results = report.of(target)
    head = "".join(
        f"<th{kind}>{name}</th>"
        for name, kind in (
            ("", ""),
            ("fault", ""),
            ("result", ""),
            ("noticed", " class=number"),
            ("safe", " class=number"),
            ("accepted", " class=number"),
            ("recovered", " class=number"),
            (_scale(), " class=scale"),
        )
    )
    note = (
        "Noticed: from the fault's beginning, by host or device. Safe: from the observation that the last accepted "
        "command "
        "answers to the actuators' safe behaviour, by the device's own clock. Accepted: commands after that. "
        "Recovered: "
        "from the fault's end, or from the start of a new session, until commands are accepted."
    )
    held = sum(result.passed for result in results)
    title = f"{text(target)}: {held} of {sum(not r.skipped for r in results)}"
    rows = "".join(map(_row, results))
    return section(title, note, f'<table class="hil"><tr>{head}</tr>{rows}</table>{_legend()}')


def _row(result: Result) -> str:
    if result.skipped:
        return (
            f'<tr class="skipped"><td class="mark">–</td><td>{text(result.name)}</td>'
            f'<td colspan="6">not run: {text(result.skipped)}</td></tr>'
        )
    mark = '<td class="mark good">✓</td>' if result.passed else '<td class="mark bad">✗</td>'
    why = f'<small class="why">expected: {text(_words(result.expected))}</small>'
    response = text(_words(result.response)) + ("" if result.response == result.expected else why)
    because = ", ".join(result.fallback) or ("" if result.reason in ("request", "signal") else _words(result.reason))
    said = f"<small>{text(because)}</small>" if because else ""
    limit = f"<small>of {result.safe_limit_ms:g}</small>" if result.safe_ms is not None else ""
    by = f"<small>{text(_words(result.detected_by))}</small>" if result.detected_by else ""
    numbers = {
        "noticed": _ms(result.detected_ms) + by,
        "safe": _ms(result.safe_ms) + limit,
        "accepted": "" if result.accepted_after is None else str(result.accepted_after),
        "recovered": _ms(result.recovery_ms),
    }
    cells = "".join(f'<td class="number" data-name="{name}">{value}</td>' for name, value in numbers.items())
    return (
        f"<tr>{mark}<td>{text(result.name)}<small>{text(_settings(result))}</small></td>"
        f'<td class="response" data-name="result">{response}{said}</td>{cells}'
        f'<td class="strip">{_strip(result)}</td></tr>'
    )


def _settings(result: Result) -> str:
    settings = dict(result.settings)
    if settings.pop("both", False):
        settings["direction"] = "both"
    shown = [f"{value:g}" if isinstance(value, float) else _words(str(value)) for value in settings.values()]
    names = [plain(name) for name in settings]
    pairs = [value if name in _CLEAR else f"{name} {value}" for name, value in zip(names, shown, strict=True)]
    return ", ".join([_words(result.kind), *pairs])


def _strip(result: Result) -> str:
    """Device state as bands, the fault as a bar on top, the first actuator as a line."""
    points = [point for point in result.timeline if point[0] <= _TO_MS]
    if not points:
        return ""
    parts = []
    for index, (at_ms, state, _) in enumerate(points):
        if index and state == points[index - 1][1]:
            continue
        end = next((later[0] for later in points[index + 1 :] if later[1] != state), points[-1][0])
        left, right = _x(at_ms), _x(end)
        if right > left:
            band = _BAND.get(DeviceState(state), "disarmed")
            parts.append(f'<rect class="{band}" x="{left:.1f}" y="6" width="{right - left:.1f}" height="24"/>')
    parts.append(f'<line class="zero" x1="0" x2="{_WIDTH}" y1="18" y2="18"/>')
    top = max((abs(u) for _, _, u in points), default=0.0) or 1.0
    line = " ".join(
        f"{_x(at):.1f},{18 - 10 * u / top:.1f}" for at, _, u in points if at >= _FROM_MS and math.isfinite(u)
    )
    parts.append(f'<polyline class="applied" points="{line}"/>')
    width = max(1.5, _x(result.fault_ms) - _x(0.0))
    parts.append(f'<rect class="fault" x="{_x(0.0):.1f}" y="0" width="{width:.1f}" height="3.5" rx="1"/>')
    if result.detected_ms is not None:
        at = _x(result.detected_ms)
        parts.append(f'<path class="noticed" d="M{at:.1f} 9l-3.5 -5h7z"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _x(at_ms: float) -> float:
    return (min(max(at_ms, _FROM_MS), _TO_MS) - _FROM_MS) / (_TO_MS - _FROM_MS) * _WIDTH


def _scale() -> str:
    marks = "".join(
        f'<text x="{_x(at):.1f}" y="11" text-anchor="middle" font-size="10.5" fill="currentColor">{label}</text>'
        for at, label in ((0.0, "fault"), (500.0, "0.5"), (1000.0, "1"), (1500.0, "1.5 s"))
    )
    return f'<svg viewBox="0 0 {_WIDTH} 14" style="width:{_WIDTH}px;height:14px;margin:0">{marks}</svg>'


def _legend() -> str:
    bands = (
        ("agent", ".2", "armed"),
        ("control", ".55", "safe"),
        ("faint", "1", "disarmed"),
        ("ink", ".75", "the fault acts"),
        ("force", "1", "noticed"),
    )
    items = "".join(
        f'<span><i style="background:var(--{name});opacity:{opacity}"></i>{what}</span>'
        for name, opacity, what in bands
    )
    return f'<div class="legend">{items}<span>line: what the first actuator applies</span></div>'


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} ms" if value < 999.5 else f"{value:,.0f} ms"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
