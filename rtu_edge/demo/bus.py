"""Two joints of a servo bus learn to track moving targets: PD tuned by a search, then a residual on it.

The learner gets five minutes of robot time, in virtual time; then the same joints are emulated behind a pty, paced to
the baud rate, and it continues in real time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape

from rtu_edge._base import files
from rtu_edge._base.errors import CheckFailed
from rtu_edge._base.text_table import TextTable
from rtu_edge.config import parse_config, write_config
from rtu_edge.config.bus_file import serve, write_bus_file
from rtu_edge.demo.steps import Steps
from rtu_edge.demo.text import hanging, indented
from rtu_edge.demo.tracking import (
    JOINTS,
    LOAD,
    PERIOD_S,
    Errors,
    Gains,
    Tuned,
    bus_file,
    drive,
    rms,
    robot_text,
    track,
    tune,
)
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.loop import Clock
from rtu_edge.record import RunFolder, Summary, host_facts
from rtu_edge.report.figures import PALETTE, figure_of, write_picture
from rtu_edge.report.terminal import checks_table
from rtu_edge.run import connect, make_agent

__all__ = ["MINUTE_STEPS", "BusOptions", "Compared", "compare", "run_bus_demo"]

MINUTE_STEPS = round(60.0 / PERIOD_S)
STEPS = 5 * MINUTE_STEPS
LESS = 0.8
WORSE = 1.05
WINDOW_STEPS = 500  # of the picture
REALTIME_LATENCY_US = 20_000  # emulated servos answer late on a busy host
REALTIME_TTL_MS = 200


@dataclass(frozen=True)
class BusOptions:
    """Options of the command line."""

    family: str
    name: str | None = None
    seed: int = 0
    steps: int | None = None
    realtime_s: float = 20.0
    folder: str = "runs"


@dataclass(frozen=True)
class Compared:
    """The errors of the same joints and targets under three controllers, (steps, 2) in rad each."""

    pd: Errors
    forward: Errors
    learner: Errors

    def minutes(self, errors: Errors) -> npt.NDArray[np.float64]:
        """Root mean square of each minute, or of the whole if it is shorter, rad."""
        return rms(errors, MINUTE_STEPS)

    @property
    def ratios(self) -> npt.NDArray[np.float64]:
        """Of each minute: the learner's error as a share of PD's."""
        return self.minutes(self.learner) / self.minutes(self.pd)

    @property
    def less(self) -> bool:
        """The last minute has at most 80 % of PD's error."""
        return bool(self.ratios[-1] <= LESS)

    @property
    def never_worse(self) -> bool:
        """No minute has more than 105 % of PD's error."""
        return bool(self.ratios.max() <= WORSE)


def compare(tuned: Tuned, bus: Path, steps: int, seed: int, learned: Errors | None = None) -> Compared:
    """Run the controllers on the same targets.

    Args:
        tuned: the gains.
        bus: file of the bus.
        steps, seed: of each run.
        learned: the learner's errors, where it has run already.
    """

    def run(gains: Gains, mode: str) -> Errors:
        return track(robot_text(bus, gains, mode=mode, steps=steps, seed=seed))

    learner = learned if learned is not None else run(tuned.pd, "residual")
    return Compared(run(tuned.pd, "off"), run(tuned.forward, "off"), learner)


def run_bus_demo(options: BusOptions, console: Console) -> Summary:
    """Tune PD, learn a residual on it, drive in real time.

    Raises:
        CheckFailed: a check failed, or the run was interrupted.
        DeviceError: the server or the link failed.
    """
    with RunFolder.create(options.folder, options.name or f"demo-{options.family}") as folder:
        return _BusDemo(options, folder, console).run()


class _BusDemo(Steps):
    def __init__(self, options: BusOptions, folder: RunFolder, console: Console) -> None:
        self.options, self.folder, self.console = options, folder, console
        self.steps = options.steps or STEPS
        self.bus = folder.file("arm.toml")
        self.begin = time.monotonic()
        self.summary = Summary(
            name=folder.path.name,
            title=f"Two joints of a {options.family} bus track moving targets",
            started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            seed=options.seed,
            host=host_facts(),
        )

    def run(self) -> Summary:
        family = self.options.family
        given = bus_file(family, self.options.seed)
        write_bus_file(given, self.bus)
        self.announce(1, "Servos", f"{len(JOINTS)} emulated {family} servos, load {LOAD:g} of the largest torque,")
        self.more(f"positions only, {1 / PERIOD_S:g} Hz, {given.baud:,} baud; virtual time")
        self.announce(2, "PD", "the search: gains with the smallest error that are stable at twice their value")
        tuned = tune(family, self.folder.path)
        plain = next(one.rms for one in tuned.tried if one.gains == Gains(0.0, 0.0))
        best = next(one for one in tuned.tried if one.gains == tuned.pd)
        self.more(f"{tuned.pd}: {_mrad(best.rms)}; the servos' own control: {_mrad(plain)}")
        self.more(f"with velocity feed-forward: {tuned.forward}")
        agent, learned = self.learn(tuned)
        compared = compare(tuned, self.bus, self.steps, self.options.seed, learned)
        self.show(compared)
        self.real_time(agent, tuned)
        self.leave(compared, tuned)
        return self.summary

    def learn(self, tuned: Tuned) -> tuple[Any, Errors]:
        """A learner's correction on PD; its configuration and checkpoint go into the folder."""
        minutes = self.steps / MINUTE_STEPS
        self.announce(3, "Learning", f"a residual on PD from scratch, {minutes:g} min of robot time")
        config = parse_config(self.text(tuned), source="demo")
        self.summary.config_hash = write_config(config, self.folder.file(RunFolder.CONFIG))
        told = 0

        def watch(errors: Errors) -> None:
            nonlocal told
            if len(errors) // MINUTE_STEPS > told:
                told = len(errors) // MINUTE_STEPS
                self.more(f"minute {told}: {_mrad(rms(errors, MINUTE_STEPS)[told - 1])}")

        with connect(config) as device:
            agent = make_agent(config, device.sheet)
            learned, _ = drive(config, device, agent, watch)
        agent.save(self.folder.file(RunFolder.CHECKPOINT))
        return agent, learned

    def text(self, tuned: Tuned) -> str:
        return robot_text(self.bus, tuned.pd, mode="residual", steps=self.steps, seed=self.options.seed)

    def show(self, compared: Compared) -> None:
        """The table of the minutes."""
        self.announce(4, "Compared", "root mean square of the error by minute, mrad")
        table = TextTable("minute", "PD", "PD and feed-forward", "PD and learner", "share of PD")
        columns = [compared.minutes(each) * 1e3 for each in (compared.pd, compared.forward, compared.learner)]
        for at, ratio in enumerate(compared.ratios):
            table.add_row(str(at + 1), *(f"{column[at]:.2f}" for column in columns), f"{ratio:.0%}")
        self.console.print(indented(table))
        ratios = compared.ratios
        self.check("learns", compared.less, f"{ratios[-1]:.0%} of PD's error", f"last minute at most {LESS:.0%}")
        self.check(
            "never much worse", compared.never_worse, f"at most {ratios.max():.0%}", f"each minute at most {WORSE:.0%}"
        )

    def real_time(self, agent: Any, tuned: Tuned) -> None:
        """The same joints behind a pty at real pace."""
        seconds = self.options.realtime_s
        self.announce(5, "Real time", f"{seconds:g} s behind a pty at {1 / PERIOD_S:g} Hz, learning continues")
        given = msgspec.structs.replace(
            bus_file(self.options.family, self.options.seed), latency_us=REALTIME_LATENCY_US
        )
        servos = EmulatedBus(given.family.value, servos=len(JOINTS), gravity=LOAD)
        with servos as emulated, serve(given, bus=emulated) as server:
            changes = ['device.bus=""', "device.emulated=false", f'device.port="{server.port}"']
            changes += ['loop.clock="device"', f"loop.ttl_ms={REALTIME_TTL_MS}"]
            config = parse_config(self.text(tuned), changes, source="demo")
            with connect(config) as device:
                errors, result = drive(config, device, agent, steps=0, seconds=seconds, clock=Clock.DEVICE)
        counted = "   ".join(f"{name} {result.counters.get(name, 0)}" for name in ("missed", "skipped"))
        self.more(f"{result.steps:,} steps; error {_mrad(rms(errors, len(errors) or 1)[0]) if len(errors) else '-'}")
        self.more(f"{counted} periods")
        done = len(errors) > 0 and result.confirmed
        self.check("runs in real time", done, f"{result.steps:,} steps", f"{seconds:g} s, then disarmed and confirmed")

    def leave(self, compared: Compared, tuned: Tuned) -> None:
        """Table, picture and checks into the folder and onto the terminal."""
        self.summary.seconds = time.monotonic() - self.begin
        self.folder.save_summary(self.summary)
        rows = {
            name: (compared.minutes(getattr(compared, name)) * 1e3).tolist() for name in ("pd", "forward", "learner")
        }
        found = {
            "rms_mrad": rows,
            "ratios": compared.ratios.tolist(),
            "gains": str(tuned.pd),
            "forward": str(tuned.forward),
        }
        files.write(self.folder.file("tracking.json"), msgspec.json.format(msgspec.json.encode(found), indent=1))
        picture = self.folder.file("tracking.png")
        draw(compared, self.summary.title, picture)
        self.console.print()
        self.console.print(checks_table(self.summary))
        self.console.print(f"\n[bold]{escape(str(picture))}[/]   {self.summary.seconds:.0f} s in all")
        if not self.summary.passed:
            failed = [check.title for check in self.summary.checks if not check.passed]
            raise CheckFailed(f"did not hold: {', '.join(failed)}")

    def more(self, text: str) -> None:
        self.console.print(hanging("", escape(text)))


def _mrad(value: float) -> str:
    return f"{value * 1e3:.2f} mrad"


def draw(compared: Compared, title: str, path: Path) -> None:
    """Write the picture, PNG or SVG: error over robot time under the three controllers.

    Raises:
        ModuleNotFoundError: matplotlib is not installed. OSError: the file cannot be written.
    """
    lines = (
        ("PD", compared.pd, PALETTE["control"]),
        ("PD and velocity feed-forward", compared.forward, PALETTE["muted"]),
        ("PD and learner", compared.learner, PALETTE["agent"]),
    )
    with figure_of("tracking", 8.0, 3.2) as figure:
        axes = figure.subplots()
        for name, errors, colour in lines:
            values = rms(errors, WINDOW_STEPS) * 1e3
            time_min = (np.arange(len(values)) + 0.5) * min(WINDOW_STEPS, len(errors)) / MINUTE_STEPS
            axes.plot(time_min, values, color=colour, label=name, linewidth=1.4)
        axes.set_ylim(0.0, 1.25 * max(float(rms(errors, WINDOW_STEPS).max()) for _, errors, _ in lines) * 1e3)
        axes.set_xlabel("robot time, min")
        axes.set_ylabel("tracking error, mrad (rms of 5 s)")
        axes.set_title(title, loc="left")
        axes.legend(loc="upper right", frameon=False, ncols=3)
        write_picture(figure, path)
