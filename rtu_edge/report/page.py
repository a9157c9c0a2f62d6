"""The report's HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtu_edge.learn.findings import summary_of
from rtu_edge.record import Stage, Summary
from rtu_edge.report import figures, views
from rtu_edge.report.charts import CSS
from rtu_edge.report.digest import Digest
from rtu_edge.report.html import SAFETY, document, facts, plain, section, table, text, tiles
from rtu_edge.report.terminal import advice
from rtu_edge.report.timeline import number

__all__ = ["page"]

# The known properties of a link.
_LINK = frozenset({"round_trip_us", "round_trip_min_us", "round_trip_max_us", "lost_in", "lost_out"})
# Counters of states that last for the rest of a run.
_LASTING = {
    "switches_locked": "After too many switches (supervisor.max_switches) the fallback keeps driving.",
    "monitor_frozen": "The learner monitor has frozen the learner: the fallback keeps driving.",
}
# Counters worth a zero.
_ALWAYS = ("missed", "skipped", "crc_errors", "gated")


def page(summary: Summary, digests: Mapping[str, Digest], config: str) -> str:
    """The whole report.

    Args:
        summary: results and checks.
        digests: of its steps, by stage; may be empty.
        config: the configuration's text.

    Returns:
        Self-contained HTML.
    """
    body = [
        _header(summary),
        "".join(f'<p class="note">{text(note)}</p>' for digest in digests.values() for note in digest.notes),
        _tiles(summary, digests),
        _checks(summary),
        _learning(summary, digests),
        _driving(summary, digests),
        _signals(summary, digests),
        _episode(summary, digests),
        _timing(summary, digests),
        '<div class="pair">',
        facts("Device", _device(summary)),
        facts("Host", {plain(key): value for key, value in summary.host.items()}),
        "</div>",
        facts("Learner", _learner(summary), wide=True),
        _config(config),
        f"<footer>rtu_edge {text(summary.version)}. {SAFETY}</footer>",
    ]
    return document(f"{summary.name}: {summary.title}" if summary.title else summary.name, body, CSS)


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
        f'<header><div class="over">rtu_edge run &middot; {text(summary.name)}</div>'
        f"<h1>{text(summary.title or summary.name)}</h1>"
        f'<p class="lead">{text(summary.headline)}</p>'
        f'<p class="when">{verdict}{text(when)}</p></header>'
    )


def _tiles(summary: Summary, digests: Mapping[str, Digest]) -> str:
    found: list[tuple[str, str]] = []
    curve = figures.learning_curve(digests)
    learning = summary.stages.get("learning")
    if curve is not None:
        last = min(curve.window, curve.episodes)
        found.append((number(curve.last), f"mean return of the last {last} episodes"))
        found.append((number(curve.best), f"best mean return of {last} episodes"))
    shown = _stage(digests)
    if shown is not None and shown.recent.sums["rewards"]:
        sums = shown.recent.sums
        mean = sums.mean("reward", "rewards")
        found.append((number(mean), f"reward per step, last {sums['rewards']:,.0f} steps"))
        if summary.period_s and curve is None:
            found.append((number(mean / summary.period_s), f"reward per second, last {sums['rewards']:,.0f} steps"))
    if summary.reached_after_steps is not None:
        found.append((f"{summary.reached_after_steps:,}", "steps from scratch to the goal"))
    if learning is not None and learning.seconds > 0:
        found.append((f"{learning.steps_per_s:,.0f} /s", "control steps over the port while learning"))
    timed = digests.get("realtime")
    if timed is not None and timed.records:
        tail = timed.times["Step time"].percentile(99.0)
        found.append((f"{tail:.0f} µs", "predict + learn in real time, p99"))
    if summary.onnx_difference is not None:
        found.append((f"{summary.onnx_difference:.1e}", "largest difference, ONNX Runtime and native"))
    if summary.learner_bytes:
        found.append((f"{summary.learner_bytes / 1024:.1f} KiB", "the whole learner, fixed size"))
    return tiles(found)


def _checks(summary: Summary) -> str:
    if not summary.checks:
        return ""
    rows = "".join(
        f'<tr><td class="mark {"good" if check.passed else "bad"}">{"✓" if check.passed else "✗"}</td>'
        f"<td>{text(check.title)}</td><td>{text(check.measured)}</td><td>{text(check.required)}</td></tr>"
        for check in summary.checks
    )
    head = "<tr><th></th><th>check</th><th>measured</th><th>required</th></tr>"
    return f"<section><h2>What had to hold</h2><div class=scroll><table>{head}{rows}</table></div></section>"


def _learning(summary: Summary, digests: Mapping[str, Digest]) -> str:
    curve, shown = figures.learning_curve(digests), _stage(digests)
    inside = views.learning(summary, digests, shown)
    if not inside:
        return ""
    note = "No episode has ended: the reward per step stands for the return."
    if curve is not None:
        of_many = f" {len(curve.steps):,} of {curve.episodes:,} episodes." if len(curve.steps) < curve.episodes else ""
        note = f"One dot per episode.{of_many}"
    if "control" in digests:
        note += " The memoryless control is the same learner with the same sensors and seed, without recurrent cell."
    return section("Learning curve", note, inside)


def _stage(digests: Mapping[str, Digest]) -> Digest | None:
    """The stage whose learning is shown: the learning stage, else the run in real time."""
    return next((digests[name] for name in ("learning", "realtime") if name in digests and digests[name].records), None)


def _driving(summary: Summary, digests: Mapping[str, Digest]) -> str:
    shown = _stage(digests)
    inside = views.driving(shown.timeline) if shown is not None else ""
    if not inside:
        return ""
    note = (
        "Who drove each command, and the steps in which the command limiter, the sensor monitor or the learner monitor "
        "found something or the fallback had to take over."
    )
    counters = next((summary.stages[name].counters for name in ("learning", "realtime") if name in summary.stages), {})
    found = [words for name, words in _LASTING.items() if counters.get(name)]
    return section("Who drove, and what stepped in", " ".join([note, *found]), inside)


def _signals(summary: Summary, digests: Mapping[str, Digest]) -> str:
    shown = _stage(digests)
    inside = views.signals(shown.timeline) if shown is not None else ""
    note = (
        "The TD error should settle, and sigma shrink as the policy becomes sure. Many clipped actions mean that the "
        "policy asks for more than the actuator's range."
    )
    stages = (summary.stages[name].findings for name in ("realtime", "learning") if name in summary.stages)
    if noticed := summary_of(next(stages, {})):
        note += f" {noticed[0].upper()}{noticed[1:]}; see docs/learner_monitor.md."
    return section("Learning signals", note, inside) if inside else ""


def _episode(summary: Summary, digests: Mapping[str, Digest]) -> str:
    records = figures.last_episode(digests)
    if records is None or not len(records) or not summary.observations:
        return ""
    names = " and ".join(figures.tidy(row.name) for row in summary.observations)
    seconds = f"{len(records) * summary.period_s:.1f} s" if summary.period_s else f"{len(records)} steps"
    actions = " and ".join(figures.tidy(row.name) for row in summary.actuators)
    note = f"{seconds}. The policy observes {names}, and nothing else" + (
        f"; it acts by {actions}." if actions else "."
    )
    return section("The last episode", note, views.episode(summary, records))


def _timing(summary: Summary, digests: Mapping[str, Digest]) -> str:
    timed = digests.get("realtime")
    stage = summary.stages.get("realtime")
    if timed is None or not timed.records or stage is None:
        return ""
    note = (
        f"{stage.steps:,} steps in {stage.seconds:.1f} s of wall clock, learning all the while, ticked by the device. "
        "Step time is predict and learn together. Counts and times are logarithmic. "
        "Measured on this host, under its load at the time: a report, not a promise."
    )
    percentiles = table(
        ["µs", "p50", "p90", "p99", "p99.9", "max"],
        [
            [name, *(f"{value:,.1f}" for value in (*map(times.percentile, (50, 90, 99, 99.9)), times.largest))]
            for name, times in timed.times.items()
            if len(times)
        ],
    )
    shown = {name: value for name, value in stage.counters.items() if value or name in _ALWAYS}
    extra = "".join(f"<div><span>{text(plain(name))}</span> <b>{value:,}</b></div>" for name, value in shown.items())
    extra = f'<div class="counters">{extra}</div>' if extra else ""
    extra += _link(stage)
    extra += "".join(
        f'<p class="note">Not granted: {text(what)}; {text(advice(what))}</p>' for what in stage.privileges
    )
    return section("Timing", note, views.latencies(timed.times) + percentiles + extra)


def _link(stage: Stage) -> str:
    link = stage.link
    if not link.keys() >= _LINK:
        return ""
    shown = {
        "round trip": f"{link['round_trip_min_us']:,.0f} to {link['round_trip_max_us']:,.0f} µs"
        f", jitter {link.get('jitter_us', 0.0):,.0f} µs",
        "device's clock": f"{round(link['drift_ppm'], 1) + 0.0:+.1f} ppm against ours" if "drift_ppm" in link else "",
        "age of a command, by the device's clock": f"at most {link['command_age_max_us'] / 1e3:,.1f} ms"
        if "command_age_max_us" in link
        else "",
        "frames lost": f"{link['lost_in']:,.0f} from the device, {link['lost_out']:,.0f} to it",
    }
    cells = "".join(
        f"<div><span>{text(name)}</span> <b>{text(value)}</b></div>" for name, value in shown.items() if value
    )
    return f'<div class="counters">{cells}</div>'


def _device(summary: Summary) -> dict[str, str]:
    facts = {plain(key): value for key, value in summary.device.items()}
    for kind, rows in (("observes", summary.observations), ("moves", summary.actuators)):
        facts[kind] = ", ".join(f"{plain(row.name)} {row.min:g}..{row.max:g} {row.unit}".strip() for row in rows)
    limits = ((row.name, row.limits_text(summary.actuators)) for row in summary.observations)
    facts["limits of the device"] = ". ".join(f"{plain(name)}: {said}" for name, said in limits if said)
    if summary.period_s:
        facts["period"] = f"{summary.period_s * 1e3:g} ms ({1 / summary.period_s:g} Hz)"
    return {key: value for key, value in facts.items() if value}


def _learner(summary: Summary) -> dict[str, str]:
    facts = {plain(key): _short(value) for key, value in summary.learner.items() if value is not None}
    if summary.state_hash:
        facts["state hash"] = summary.state_hash
    return facts


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{plain(str(key))} {_short(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _config(config: str) -> str:
    if not config:
        return ""
    inside = f'<summary>Configuration</summary><pre class="columns">{text(config)}</pre>'
    return f"<section><details>{inside}</details></section>"
