"""rtu-edge run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import ask_to_arm, changes, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from rtu_edge.config import Config
    from rtu_edge.loop import LoopConfig
    from rtu_edge.record import RunFolder, Summary
    from rtu_edge.report.digest import Digest
    from rtu_edge.run import Connection, RunResult, Session, heap
    from rtu_edge.run.saving import Saver, Start


@click.command(
    "run",
    epilog=options.examples(
        "rtu-edge run robot.toml --dry-run",
        "rtu-edge run robot.toml --sim",
        "rtu-edge run robot.toml --arm",
        "rtu-edge run --resume runs/robot",
    ),
)
@click.argument("config", type=click.Path(path_type=Path), required=False, shell_complete=complete.config)
@click.option(
    "--sim",
    is_flag=True,
    help="Rehearse in virtual time, simulated, with the limits, reward and learner of CONFIG; without CONFIG: on a "
    "cart-pole",
)
@click.option(
    "--plant",
    metavar="NAME|FILE.c",
    help="Plant for --sim, by name or C file  [default: device.sim or device.plant]",
    shell_complete=complete.plant,
)
@options.steps(shown="run.steps")
@click.option("--assert-no-alloc", is_flag=True, help="Fail if the loop's thread uses the heap or memory grows")
@options.arm("without it real hardware is only read")
@options.yes()
@click.option("--dry-run", is_flag=True, help="Run the whole loop and send nothing to the device after the handshake")
@click.option(
    "--resume",
    type=click.Path(exists=True, path_type=Path),
    help="Continue the run in this folder; with CONFIG: begin a new run with the learner of a checkpoint or of a run",
    shell_complete=complete.run,
)
@options.force("resume a checkpoint that was made for another device or period")
@options.name("run.name, or the file's name")
@options.overrides
@options.as_json("one document at the end of the run")
def command(
    config: Path | None,
    sim: bool,
    plant: str | None,
    steps: int | None,
    assert_no_alloc: bool,
    arm: bool,
    yes: bool,
    dry_run: bool,
    resume: Path | None,
    force: bool,
    name: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a configuration: learn on a robot or a simulated plant.

    Real hardware (a device that does not report itself as simulated) is armed only with --arm, explicit limits for each
    actuator in CONFIG, and a confirmation. The first Ctrl-C applies the safe action, disarms, saves and exits. The
    second is an emergency stop. `rtu-edge estop` works at any time. --resume continues a run that was interrupted.
    """
    import msgspec

    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config import Clock
    from rtu_edge.run import check_installed, connect, heap, with_firmware

    file = config if config is not None else (None if sim else _to_go_on(resume))
    settings, port = _settings(file, sim, plant, steps, name, overrides)
    settings = with_firmware(settings)
    check_installed(settings)
    if assert_no_alloc:
        heap.restart_guarded()
    if not settings.run.name:
        run = msgspec.structs.replace(settings.run, name=file.stem if file is not None else "sim")
        settings = msgspec.structs.replace(settings, run=run)
    out = console(as_json)
    if dry_run and settings.loop.clock is not Clock.DEVICE:
        raise ConfigError('--dry-run: only with loop.clock = "device"; nothing answers a command that is not sent')
    with connect(settings, file or "") as device:
        real = not device.hello.simulated
        for note in device.port.notes:
            out.print(f"[dim]{escape(note)}[/]")
        if real and not dry_run:
            confirm(out, settings, device, arm, yes)
        start = _start(settings, device, resume, config is None and not sim, force)
        for note in start.notes:
            out.print(escape(note))
        resident = heap.Resident() if assert_no_alloc else None
        _run(out, settings, device, start, dry_run, port, resident, print_json if as_json else None)


def _to_go_on(resume: Path | None) -> Path:
    """The configuration of the run to resume."""
    from rtu_edge.record import RunFolder

    if resume is None or not resume.is_dir():
        raise click.UsageError("CONFIG is missing: give one, or --sim, or --resume with the folder of a run to resume")
    return resume / RunFolder.CONFIG


def _settings(
    file: Path | None, sim: bool, plant: str | None, steps: int | None, name: str | None, overrides: tuple[str, ...]
) -> tuple[Config, str]:
    """The configuration to run, and the port replaced by a simulated plant, or ""."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge._base.strict import quoted
    from rtu_edge.config import load_config, parse_config

    if plant is not None and not sim:
        raise ConfigError(f"--plant {plant}: only with --sim; without it the device is the one that the file names")
    if steps is not None:
        overrides = (*overrides, f"run.steps={steps}")
    if name:
        overrides = (*overrides, f"run.name={quoted(name)}")
    if file is not None and file.is_dir():
        raise ConfigError(f"a folder, not a configuration; `rtu-edge run --resume {file}` continues its run", str(file))
    if file is None:
        text = f'device.plant = {quoted(plant or "cartpole")}\nloop.clock = "lockstep"\n'
        return parse_config(text, overrides, source="--set"), ""
    device = (settings := load_config(file, overrides)).device
    if not sim:
        return settings, ""
    replaced: tuple[str, ...] = ("device.emulated=true",)
    if not device.bus or plant is not None:
        if not (simulated := plant or device.sim or device.plant):
            raise ConfigError(_no_plant(device.port), str(file))
        replaced = ('device.port=""', 'device.bus=""', f"device.plant={quoted(simulated)}")
    virtual = ('loop.clock="lockstep"', "loop.realtime=false", "loop.cpu=-1")  # the user's --set still applies
    return load_config(file, (*virtual, *overrides, *replaced)), device.port or device.bus


def _no_plant(port: str) -> str:
    from rtu_edge.device import plants

    return (
        f"device.sim: missing; the file names only the port {port}, and --sim has to know the plant behind it: "
        f"give --plant with one of {', '.join(plants.names())}, or with the C file of a plant; or write device.sim"
    )


def confirm(out: Console, settings: Config, device: Connection, arm: bool, yes: bool) -> None:
    """Print what will move and its limits, and ask for confirmation."""
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.run import limits_in_force

    if not arm:
        raise ConfigError(f"{device.ports} is real hardware: give --arm to let it move, or --dry-run to only watch")
    out.print(f"[bold]About to arm real hardware at {escape(device.ports)}[/] (firmware {device.hello.firmware}).")
    out.print("A learner explores: it will try untested movements. These limits hold:")
    for actuator, own in zip(device.sheet.actuators, limits_in_force(settings, device.sheet), strict=True):
        allowed = f"{own.min:g} to {own.max:g} {actuator.unit}, {changes(own, actuator.unit)}"
        out.print(f"  {actuator.name}: {allowed}; the device itself allows {actuator.min:g} to {actuator.max:g}")
    ask_to_arm(out, yes, device.link)
    device.permission.grant()


def _run(
    out: Console,
    settings: Config,
    device: Connection,
    start: Start,
    dry_run: bool,
    replaced_port: str,
    resident: heap.Resident | None,
    tell: Callable[[Any], None] | None,
) -> None:
    from msgspec import structs

    from rtu_edge._base.errors import CheckFailed, cause_of
    from rtu_edge.config import Clock, write_config
    from rtu_edge.loop import Signals
    from rtu_edge.record import RunFolder
    from rtu_edge.report.digest import digest_for
    from rtu_edge.run import Session, check_deadline, error_of, heap, load

    load("rtu_edge.report.page", "rtu_edge.report.progress", "rtu_edge.report.terminal")
    agent = start.agent
    session = Session(settings, device, start, _loop_config(settings, device, start, dry_run))
    summary = _summary(settings, device, agent, dry_run, replaced_port)
    if settings.loop.clock is not Clock.LOCKSTEP:
        check_deadline(agent, device.sheet.period_s)
    # A signal after the end of the loop does not prevent saving and reporting.
    with Signals(), RunFolder.create(settings.run.folder, settings.run.name) as folder:
        saver = session.saver(folder.path)
        saver.save()  # before the configuration: a folder that has one can be resumed
        summary.config_hash = write_config(settings, folder.file(RunFolder.CONFIG))
        folder.event("start", configuration=summary.config_hash, dry_run=dry_run, **summary.device)
        at = f", at step {start.position.steps:,}" if start.position.steps else ""
        where = escape(f"results in {folder.path}")
        out.print(f"{escape(device.url)}: {1 / device.sheet.period_s:g} Hz, session starts{at}; {where}")
        begin, digest = time.monotonic(), digest_for(settings, device, agent)
        finished = _drive(out, session, folder, saver, digest, resident)
        for note in finished.notes:
            out.print(f"[dim]{escape(note)}[/]")
        summary.seconds = time.monotonic() - begin
        trouble = error_of(finished.result, session.supervised.fallback_error())
        try:
            _keep(out, settings, folder, summary, saver, finished, digest, trouble is not None)
        except OSError as error:
            raise CheckFailed(
                f"{error.filename or folder.path}: {cause_of(error)}: not everything was written;"
                f" the last checkpoint that was is {saver.slots.current}"
            ) from error
    result = finished.result
    if tell is not None:
        stage = structs.asdict(next(iter(summary.stages.values())))
        del stage["exploration"]  # a curve for summary.json
        tell({"run": str(folder.path), "dry_run": dry_run, "state_hash": summary.state_hash, **stage})
    if resident is not None:
        out.print(heap.check(result, resident))
    if failures := result.counters.get("fallback_failures"):
        out.print(f"the fallback failed in {failures:,} steps")
    if trouble is not None:
        trouble.args = (f"{trouble}; {digest.learned}; report: {folder.file(RunFolder.REPORT)}",)
        raise trouble


def _summary(settings: Config, device: Connection, agent: Any, dry_run: bool, replaced_port: str) -> Summary:
    """Return the record of a run before its start."""
    from rtu_edge.record import Summary, host_facts
    from rtu_edge.run import describe

    summary = Summary(
        name=settings.run.name,
        title=_title(device, dry_run, replaced_port),
        started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        seed=settings.run.seed,
        target_return=settings.run.stop_return,
        target_episodes=settings.run.stop_episodes,
        host=host_facts(),
    )
    describe(summary, device, agent)
    if replaced_port:
        summary.device["rehearsal_of"] = replaced_port
    return summary


def _title(device: Connection, dry_run: bool, replaced_port: str) -> str:
    """Device and plant of a run, for its record."""
    title = device.plant or device.url
    if replaced_port:
        title += f", simulated in place of {replaced_port}"
    return f"{title}, dry run" if dry_run else title


def _loop_config(settings: Config, device: Connection, start: Start, dry_run: bool) -> LoopConfig:
    """The remainder of the run."""
    from rtu_edge.run import loop_config

    position = start.position
    return loop_config(
        settings,
        device,
        dry_run=dry_run,
        explore=True,
        learn=True,
        steps=settings.run.steps - position.steps,
        seconds=max(settings.run.seconds - position.seconds, 0.0),
        first_episode=position.next_episode,
        returns=position.returns[-settings.run.stop_episodes :],
    )


def _drive(
    out: Console, session: Session, folder: RunFolder, saver: Saver, digest: Digest, resident: heap.Resident | None
) -> RunResult:
    from rtu_edge.report.progress import Display

    supervised, run = session.supervised, session.settings.run
    out.print(f"mode {supervised.mode.value}; fallback: {escape(supervised.described)}")
    if supervised.supervisor.frozen:
        out.print("The learner monitor has frozen this learner: the fallback drives. Another run with it starts over.")
    if session.loop.dry_run:
        return _watch_only(out, session, folder, saver, digest)
    display = Display(
        out,
        session.loop.steps,
        session.device.sheet.period_s,
        saver.agent.nbytes,
        digest=digest,
        top=run.stop_return,
    )

    def watch(status: Any, records: Any, episodes: Any) -> None:
        display.watch(status, records, episodes)
        if resident is not None:
            resident.take(status.steps)

    with display:
        return session.run(folder, saver, watch, lambda text: _report(out, text))


def _report(out: Console, text: str) -> None:
    """Print errors of the saver, and refused privileges with their effect and remedy."""
    from rtu_edge.report.terminal import advice

    meaning = advice(text.removeprefix("not granted: ")) if text.startswith("not granted: ") else ""
    out.print(escape(f"{text}; {meaning}" if meaning else text), soft_wrap=True)


def _watch_only(out: Console, session: Session, folder: RunFolder, saver: Saver, digest: Digest) -> RunResult:
    """A dry run: observations, and the commands that would be sent."""
    from rtu_edge.run.dry_run import DryRun

    out.print("Dry run: nothing is sent to the device. Ctrl-C ends it.")
    shown, digest.watched = DryRun(out, session.device.sheet), True

    def watch(status: Any, records: Any, episodes: Any) -> None:
        shown.watch(status, records, episodes)
        digest.take(records, episodes)

    with shown:
        finished = session.run(folder, saver, watch, lambda text: _report(out, text))
    out.print(shown.table())
    folder.event("dry_run", **shown.plain())
    return finished


def _keep(
    out: Console,
    settings: Config,
    folder: RunFolder,
    summary: Summary,
    saver: Saver,
    finished: RunResult,
    digest: Digest,
    failed: bool,
) -> None:
    """Write the end of the run to its folder, the checkpoint first.

    Args:
        failed: an error that has reason, result and report follows: these are not printed here.
    """
    from rtu_edge._base.errors import CheckFailed, CheckpointError
    from rtu_edge.config import Clock
    from rtu_edge.learn.findings import summary_of
    from rtu_edge.report import write_report
    from rtu_edge.report.progress import latency_table
    from rtu_edge.run import stage_of

    result, lost = finished.result, ""
    try:
        saver.finish(finished.progress, finished.session)
    except CheckpointError as error:  # a learner that is not finite: the log is written nevertheless
        lost = str(error)
    summary.state_hash = saver.agent.state_hash()
    stage = "learning" if settings.loop.clock is Clock.LOCKSTEP else "realtime"
    summary.stages[stage] = stage_of(result, saver.counters, digest.timeline.plain_samples, saver.agent)
    plural = "s" if result.episodes > 1 else ""
    episodes = f", {result.episodes:,} episode{plural}" if result.episodes else ""
    done = f"{result.steps:,} steps{episodes}"
    ended = f"{done}; stopped: {result.message or result.reason.value}"
    summary.headline = f"{ended}; {digest.learned}."
    folder.save_summary(summary)
    folder.event("end", reason=result.reason.value, steps=result.steps, counters=summary.stages[stage].counters)
    if stage == "realtime" and digest.records:
        out.print(latency_table(digest.times))
    report = escape(str(write_report(folder, {stage: digest})))
    if complaint := saver.complaint():
        out.print(escape(complaint))
    noticed = summary_of(summary.stages[stage].findings)
    learned = f"{escape(ended)}\n[bold]{escape(digest.learned)}[/]; report: {report}"
    out.print(done if failed else learned, *([noticed] if noticed else []), sep="\n", soft_wrap=True)
    if lost:
        raise CheckFailed(lost)


def _start(settings: Config, device: Connection, resume: Path | None, goes_on: bool, force: bool) -> Start:
    """A new learner, that of a resumed run, or that of a checkpoint for another run."""
    from rtu_edge.run import check_learner, make_agent, saving

    if resume is None:
        return saving.Start(make_agent(settings, device.sheet))
    start = saving.open_start(resume, device, force)
    check_learner(settings, device.sheet, start.agent, start.source)
    return saving.going_on(start, settings.run, resume) if goes_on else saving.anew(start)
