"""The complete workflow: firmware on a serial port, learning from scratch, real time, resume, export, report.

The same C99 firmware that a microcontroller runs is started as a process behind a pseudo-terminal. Its sensors give
cart position and pole angle only: without memory the task cannot be done.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from rtu_edge._base.errors import CheckFailed, DeviceError, SafetyStop, cause_of
from rtu_edge._base.packages import need
from rtu_edge.config import Config, parse_config, write_config
from rtu_edge.demo.resumed import stretch
from rtu_edge.demo.steps import Steps
from rtu_edge.demo.text import DEMO, digits, hanging, indented
from rtu_edge.loop import Clock, LoopConfig, LoopResult, StopReason
from rtu_edge.record import RunFolder, Summary, host_facts
from rtu_edge.report.digest import Digest, digest_for
from rtu_edge.report.progress import Display, latency_table
from rtu_edge.report.terminal import advice
from rtu_edge.run import (
    Connection,
    RunResult,
    connect,
    describe,
    error_of,
    loop_config,
    make_agent,
    run_loop,
    stage_of,
)
from rtu_edge.run.recording import Recording

__all__ = ["DEMO", "Options", "demo_config", "run_demo"]

MEMORYLESS_CEILING = 200.0
ONNX_TOLERANCE = 1e-5
RESUME_STEPS = 1000
DRIVE_STEPS = 1000


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    name: str | None = None
    seed: int = 0
    steps: int | None = None
    realtime_s: float = 20.0
    memoryless: bool = False
    discrete: bool = False
    folder: str = "runs"
    overrides: tuple[str, ...] = ()


class _Interrupted(Exception):
    """A signal ended a loop; everything is saved, the rest is skipped."""

    def __init__(self, result: LoopResult | None) -> None:
        super().__init__("interrupted")
        self.result = result


def demo_config(options: Options) -> Config:
    """The demo's configuration with the options applied."""
    changes = [f"run.seed={options.seed}", f"run.folder={json.dumps(options.folder)}"]
    if options.name is not None:
        changes.append(f"run.name={json.dumps(options.name)}")
    if options.steps is not None:
        changes.append(f"run.steps={options.steps}")
    if options.memoryless:
        changes.append('learner.cell="none"')
    if options.discrete:
        changes.append('learner.actions="discrete"')
    return parse_config(DEMO, [*changes, *options.overrides], source="demo")


def run_demo(options: Options, console: Console) -> Summary:
    """Run the complete workflow.

    Args:
        options: from the command line.
        console: where to write.

    Returns:
        The summary, as in the run's folder.

    Raises:
        CheckFailed: a check failed, or the run was interrupted; the folder is complete nevertheless.
        SafetyStop: the run ended in an emergency stop.
        DeviceError: firmware or port failed.
        ModuleNotFoundError: onnx or onnxruntime is not installed; nothing was started.
    """
    need("onnx", "onnxruntime", by="rtu-edge demo")
    config = demo_config(options)
    with RunFolder.create(config.run.folder, config.run.name or "demo") as folder:
        try:
            return _Demo(config, options, folder, console).run()
        except OSError as error:
            where = error.filename or folder.path
            raise CheckFailed(f"{where}: {cause_of(error)}: not everything was written") from error


class _Demo(Steps):
    def __init__(self, config: Config, options: Options, folder: RunFolder, console: Console) -> None:
        self.config = config
        self.options = options
        self.folder = folder
        self.console = console
        self.agent: Any = None
        self.digests: dict[str, Digest] = {}
        self.summary = Summary(
            name=folder.path.name,
            title="Position-only cart-pole, learned over a serial port",
            started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            seed=config.run.seed,
            target_return=config.run.stop_return,
            target_episodes=config.run.stop_episodes,
            host=host_facts(),
        )
        self.begin = time.monotonic()

    # ------------------------------------------------------------ the story

    def run(self) -> Summary:
        self.summary.config_hash = write_config(self.config, self.folder.file(RunFolder.CONFIG))
        self.folder.event("start", seed=self.config.run.seed, configuration=self.summary.config_hash)
        interrupted: _Interrupted | None = None
        try:
            with connect(self.config) as device:
                self.introduce(device)
                self.learn(device)
                self.real_time(device)
                self.resume(device)
            self.export()
            self.compare()
        except _Interrupted as error:
            interrupted = error
        except KeyboardInterrupt:
            interrupted = _Interrupted(None)
        self.leave(interrupted)
        if interrupted is not None:
            result = interrupted.result
            if result is not None and (result.reason is StopReason.ESTOP or not result.confirmed):
                raise SafetyStop(f"stopped: {result.message or result.reason.value}")
            raise CheckFailed("interrupted; the run is saved")
        if not self.summary.passed:
            failed = [check.title for check in self.summary.checks if not check.passed]
            raise CheckFailed(f"did not hold: {', '.join(failed)}")
        return self.summary

    def introduce(self, device: Connection) -> None:
        """1 and 2: the firmware is running, the port is open."""
        sees = " and ".join(f"{row.name} [{row.unit}]" for row in device.sheet.observations)
        moves = ", ".join(f"{row.name} {row.min:g}..{row.max:g} {row.unit}" for row in device.sheet.actuators)
        self.announce(
            1, "Firmware", f"a process of its own behind {device.url}: {device.plant}, version {device.hello.firmware}"
        )
        self.more(escape(f"sees {sees}, no velocities; moves {moves}; {1 / device.sheet.period_s:g} Hz"))
        self.agent = make_agent(self.config, device.sheet)
        describe(self.summary, device, self.agent)
        hello = device.hello
        self.announce(
            2,
            "Port",
            f"opened with pyserial, exclusive; shook hands: schema {hello.schema_hash:08x}, boot {hello.boot_id:08x}",
        )
        self.more("the native loop has a duplicate of the descriptor; no interpreter on its path")
        for note in device.port.notes:
            self.more(note)
        self.folder.event("connected", **self.summary.device)

    def learn(self, device: Connection) -> None:
        """3: from scratch, in virtual time."""
        goal = self.config.run.stop_return
        cell = "no recurrence (memoryless control)" if self.options.memoryless else "linear RTU, exact RTRL"
        self.announce(3, "Learning", f"from scratch, stream AC(lambda), {cell}, in lockstep")
        finished = self.loop(device, "learning", loop_config(self.config, device), top=500.0)
        result, window = finished.result, self.config.run.stop_episodes
        best = self.digests["learning"].curve.best
        rate = result.steps / result.seconds if result.seconds > 0 else 0.0
        spent = f"{result.steps:,} steps, {result.episodes:,} episodes, {result.seconds:.1f} s, {rate:,.0f} steps/s"
        reached = result.reason is StopReason.TARGET
        if reached:
            self.summary.reached_after_steps = result.steps
            lived = result.steps * device.sheet.period_s / 60
            self.more(f"[bold green]reached {result.mean_return:.1f} of 500[/] after {spent}")
            self.summary.headline = (
                f"Learned from scratch in {result.steps:,} steps ({lived:.0f} minutes of plant time, "
                f"{result.seconds:.1f} s here) to balance the pole for {result.mean_return:.0f} of 500 steps, "
                "from position and angle alone, over a serial port."
            )
        else:
            self.more(f"not reached: the best mean of {window} episodes was {best:.1f} of 500 after {spent}")
            self.summary.headline = f"Best mean of {window} episodes {best:.0f} of 500 after {result.steps:,} steps."
        if self.options.memoryless:
            self.ceiling(best, result.steps)
        else:
            self.check(
                "learns",
                reached,
                f"{max(best, 0):.1f} after {result.steps:,} steps",
                f"mean of {window} episodes at least {goal:g}",
            )

    def real_time(self, device: Connection) -> None:
        """4: the same learner in real time."""
        seconds = self.options.realtime_s
        self.announce(
            4,
            "Real time",
            f"{seconds:g} s at {1 / device.sheet.period_s:g} Hz, ticked by the device, learning continues",
        )
        config = loop_config(
            self.config, device, clock=Clock.DEVICE, steps=0, target_return=None, seconds=seconds, realtime=True
        )
        finished = self.loop(device, "realtime", config, total=seconds, top=500.0)
        result = finished.result
        if self.digests["realtime"].records:
            self.console.print(indented(latency_table(self.digests["realtime"].times)))
        counted = "   ".join(f"{name} {result.counters.get(name, 0)}" for name in ("missed", "skipped"))
        self.more(f"{result.steps:,} steps, {result.episodes} whole episodes; {counted} periods")
        self.more(escape(self.digests["realtime"].learned))
        for text in result.privileges:
            self.more(f"[dim]{escape(f'not granted: {text}; {advice(text)}')}[/]")
        fine = result.reason is StopReason.SECONDS and result.confirmed
        said = "disarmed, confirmed by the device" if fine else f"{result.reason.value}: {result.message}"
        self.check("runs in real time", fine, f"{result.steps:,} steps; {said}", f"{seconds:g} s without a safety stop")

    def resume(self, device: Connection) -> None:
        """5: the checkpoint is complete."""
        path = self.save()
        self.announce(
            5,
            "Resume",
            f"{path.name}, {path.stat().st_size:,} bytes; the next {RESUME_STEPS:,} steps here and in a new process",
        )
        seed = self.config.run.seed + 1
        here = stretch(self.config, device, self.agent, seed, None, RESUME_STEPS)
        there = self.resumed_elsewhere(seed, int(here["session"]))
        for key, what in (("sent", "bytes sent"), ("received", "bytes received"), ("state", "learner's state")):
            same = "equal" if here[key] == there[key] else f"[red]{there[key]} in the new process[/]"
            self.more(f"{what:<16} {here[key]}   {same}")
        self.check(
            "resumes to the bit",
            here == there and here["steps"] == RESUME_STEPS,
            "the same" if here == there else "different",
            f"same bytes on the wire and same state after {RESUME_STEPS:,} steps",
        )
        self.folder.event("resumed", here=here, there=there)

    def export(self) -> None:
        """6: the policy elsewhere."""
        from rtu_edge.device.plants import Plant
        from rtu_edge.learn import load
        from rtu_edge.learn.onnx import OnnxPolicy, drive, export_onnx, verify_onnx
        from rtu_edge.learn.onnx.verify import Evaluation

        path = self.folder.file(RunFolder.ONNX)
        saved = load(self.folder.file(RunFolder.CHECKPOINT))
        export_onnx(saved, path)
        size = path.stat().st_size
        self.announce(
            6, "ONNX", f"{path.name}, {size:,} bytes; ONNX Runtime drives the plant, the native policy follows"
        )
        plant = Plant(self.config.device.plant)
        driven = drive(OnnxPolicy(path), plant, DRIVE_STEPS, self.config.run.seed, Evaluation(saved))
        differences = (driven.largest_difference, verify_onnx(path, saved, steps=DRIVE_STEPS))
        largest = float(np.max(differences))  # a NaN stays
        self.summary.onnx_difference = largest
        returns = ", ".join(f"{value:g}" for value in driven.episodes) or "none finished"
        self.more(
            f"{driven.steps:,} steps, episodes of {returns}; largest difference {largest:.2e} of the action range"
        )
        required = f"at most {ONNX_TOLERANCE:g} of the action range over {DRIVE_STEPS:,} steps"
        self.check("exports", largest <= ONNX_TOLERANCE, f"largest difference {largest:.1e}", required)
        self.folder.event("exported", difference=largest, episodes=driven.episodes)

    def compare(self) -> None:
        """7, first half: the memoryless control for comparison."""
        if self.options.memoryless:
            self.announce(7, "Report", "without a second control: this run is it")
            return
        steps = max(self.summary.stages["learning"].steps, min(20_000, self.config.run.steps))
        self.announce(
            7, "Report", f"first the memoryless control: the same learner without the recurrent cell, {steps:,} steps"
        )
        with connect(self.config) as device:
            self.agent = make_agent(self.config, device.sheet, cell="none")
            config = loop_config(self.config, device, steps=steps, target_return=None)
            finished = self.loop(device, "control", config, top=500.0)
        best = self.digests["control"].curve.best
        self.more(f"its best mean of {self.config.run.stop_episodes} episodes: {best:.1f} of 500")
        self.ceiling(best, finished.result.steps)

    def leave(self, interrupted: _Interrupted | None) -> None:
        """7, second half: the folder."""
        from rtu_edge.report import write_report
        from rtu_edge.report.terminal import checks_table

        if interrupted is not None:
            if self.agent is not None and not self.folder.file(RunFolder.CHECKPOINT).exists():
                self.save()
            self.check("ran to its end", False, "interrupted; saved", "no interruption")
        self.summary.seconds = time.monotonic() - self.begin
        self.folder.save_summary(self.summary)
        report = write_report(self.folder, self.digests)
        self.folder.event("end", seconds=self.summary.seconds, passed=self.summary.passed)
        self.console.print()
        self.console.print(checks_table(self.summary))
        self.console.print(f"\n[bold]{escape(str(report))}[/]   {self.summary.seconds:.0f} s in all")

    # ------------------------------------------------------------ parts

    def loop(
        self,
        device: Connection,
        stage: str,
        config: LoopConfig,
        *,
        total: float | None = None,
        top: float | None = None,
    ) -> RunResult:
        self.folder.event("loop", stage=stage, clock=config.clock.value)
        digest = self.digests[stage] = digest_for(self.config, device, self.agent)
        display = Display(
            self.console,
            total or config.steps,
            device.sheet.period_s,
            self.agent.nbytes,
            digest=digest,
            top=top,
            by_time=total is not None,
        )
        with display, Recording(self.config, device, self.agent, self.folder, stage=stage) as recording:
            finished = run_loop(device, self.agent, config, display.watch, recording=recording)
        for note in finished.notes:
            self.more(f"[dim]{escape(note)}[/]")
        result = finished.result
        self.summary.stages[stage] = stage_of(result, exploration=digest.timeline.plain_samples, agent=self.agent)
        self.folder.event(
            "loop_end", stage=stage, reason=result.reason.value, steps=result.steps, counters=result.counters
        )
        if result.reason in (StopReason.SIGNAL, StopReason.ESTOP):
            raise _Interrupted(result)
        if isinstance(trouble := error_of(result), DeviceError):
            raise trouble
        return finished

    def save(self) -> Any:
        path = self.folder.file(RunFolder.CHECKPOINT)
        self.agent.save(path)
        self.summary.state_hash = digits(self.agent.state_hash())
        self.folder.event("saved", file=path.name, state=self.summary.state_hash)
        return path

    def resumed_elsewhere(self, seed: int, session: int) -> dict[str, Any]:
        arguments = [str(self.folder.path), str(seed), str(session), str(RESUME_STEPS)]
        command = [sys.executable, "-m", "rtu_edge.demo.resumed", *arguments]
        process = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if process.returncode != 0:
            raise CheckFailed(f"the process that resumes failed:\n{process.stderr.strip()}")
        answer: dict[str, Any] = json.loads(process.stdout)
        return answer

    def ceiling(self, best: float, steps: int) -> None:
        measured = f"best {best:.1f} in {steps:,} steps"
        self.check(
            "needs its memory", best < MEMORYLESS_CEILING, measured, f"without recurrence below {MEMORYLESS_CEILING:g}"
        )

    def more(self, text: str) -> None:
        self.console.print(hanging("", text))
