"""rtu-edge bus."""

from __future__ import annotations

import contextlib
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtu_edge.cli import complete, options
from rtu_edge.cli.common import console, print_json

if TYPE_CHECKING:
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.device.servo_bus import ServoBus
    from rtu_edge.tools.servos import Range

_ID = click.IntRange(0, 252)
_REFRESH_S = 0.1

family = click.option(
    "--family",
    type=click.Choice(["feetech", "dynamixel", "scs"]),
    default="feetech",
    help="Family of the servos; feetech: STS and SMS  [default: feetech]",
)
latency = click.option(
    "--latency-ms",
    type=options.Number(0.0, 1000.0),
    default=4.0,
    metavar="MS",
    help="Latency allowed for adapter and host, in ms  [default: 4]",
)
port = click.argument("port", shell_complete=complete.port)


@click.group("bus", epilog=options.examples("rtu-edge bus scan /dev/ttyUSB0", "rtu-edge bus serve arm.toml"))
def command() -> None:
    """Servo buses: find Dynamixel and Feetech servos, calibrate joints, serve them as a device."""


@contextlib.contextmanager
def _open(port: str, family: str, baud: int | None, latency_ms: float) -> Iterator[ServoBus]:
    from rtu_edge.device.ports import DEFAULT_BAUD
    from rtu_edge.device.servo_bus import ServoBus

    with ServoBus(port, family, baud or DEFAULT_BAUD, latency_us=round(latency_ms * 1000)) as bus:
        yield bus


@command.command("scan", epilog=options.examples("rtu-edge bus scan /dev/ttyUSB0 --family dynamixel"))
@port
@family
@options.baud()
@latency
@click.option("--first-id", type=_ID, default=0, metavar="ID", help="First id to ask  [default: 0]")
@click.option("--last-id", type=_ID, default=252, metavar="ID", help="Last id to ask  [default: 252]")
@options.as_json()
def scan(
    port: str, family: str, baud: int | None, latency_ms: float, first_id: int, last_id: int, as_json: bool
) -> None:
    """List the servos that answer on a bus.

    It reads only. An id that is garbled belongs to two servos, or the baud rate is wrong.
    """
    from rtu_edge._base.errors import CheckFailed, ConfigError
    from rtu_edge._base.text_table import TextTable
    from rtu_edge.tools.servos import look

    if first_id > last_id:
        raise ConfigError(f"--first-id {first_id}: is above --last-id {last_id}")
    with _open(port, family, baud, latency_ms) as bus:
        found = list(look(bus, first_id, last_id))
    if as_json:
        print_json({"port": port, "family": family, "servos": found})
    elif found:
        table = TextTable("id", "status", "model", "firmware", "position rad", "V", "degC", "torque", "alarm")
        for one in found:
            torque = {True: "on", False: "off", None: ""}[one.torque]
            measured = [_number(value) for value in (one.position_rad, one.voltage_v, one.temperature_c)]
            numbers = ["" if value is None else str(value) for value in (one.model, one.firmware)]
            table.add_row(str(one.id), one.status, *numbers, *measured, torque, _alarm(one.alarm))
        console().print(table)
    if not found:
        raise CheckFailed(f"{port}: no servo answers: check power, --family and --baud")


@command.command("set-id", epilog=options.examples("rtu-edge bus set-id /dev/ttyUSB0 1 3"))
@port
@click.argument("old", type=_ID)
@click.argument("new", type=_ID)
@family
@options.baud()
@latency
def set_id(port: str, old: int, new: int, family: str, baud: int | None, latency_ms: float) -> None:
    """Change the id of a servo from OLD to NEW.

    Its torque is switched off first. Connect one servo alone if several have the id OLD.
    """
    from rtu_edge.tools import servos

    with _open(port, family, baud, latency_ms) as bus:
        servos.set_id(bus, old, new)
    click.echo(f"{port}: the servo with id {old} has id {new}")


@command.command("monitor", epilog=options.examples("rtu-edge bus monitor /dev/ttyUSB0 1 2 3 --seconds 10"))
@port
@click.argument("ids", type=_ID, nargs=-1, required=True)
@family
@options.baud()
@latency
@options.seconds(None, "until Ctrl-C")
@options.as_json("the last values")
def monitor(
    port: str,
    ids: tuple[int, ...],
    family: str,
    baud: int | None,
    latency_ms: float,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Show position, speed and load of servos live.

    It reads only. A servo that does not answer shows no number, and the age of its last one.
    """
    from rtu_edge.device.servo_group import ServoGroup
    from rtu_edge.device.servo_registers import registers

    load = "current" if "current" in registers(family) else "load"
    with _open(port, family, baud, latency_ms) as bus:
        group = ServoGroup(bus, ids, "position", "speed", load)

        def table() -> TextTable:
            from rtu_edge._base.text_table import TextTable

            shown = TextTable("id", "state", "position rad", "speed rad/s", load, "age ms", "alarm")
            for value in group.values():
                numbers = [_number(each) for each in value.values] if value.values else ["", "", ""]
                age = "" if value.age_s is None else f"{value.age_s * 1e3:.0f}"
                shown.add_row(str(value.id), value.state.name.lower(), *numbers, age, _alarm(value.alarm))
            return shown

        def refresh() -> bool:
            group.poll()
            return False

        _live(refresh, table, seconds, as_json)
        if as_json:
            values = [
                {**vars(value), "state": value.state.name.lower()} | {"registers": ["position", "speed", load]}
                for value in group.values()
            ]
            print_json({"port": port, "family": family, "servos": values, "counters": bus.counters})


@command.command(
    "calibrate",
    epilog=options.examples("rtu-edge bus calibrate /dev/ttyUSB0 shoulder=1 elbow=2 -o arm.toml"),
)
@port
@click.argument("joints", nargs=-1, required=True, metavar="NAME=ID...")
@family
@options.baud()
@latency
@options.out("the file of the bus", "arm.toml")
@options.seconds(None, "until Enter")
@options.yes()
def calibrate(
    port: str,
    joints: tuple[str, ...],
    family: str,
    baud: int | None,
    latency_ms: float,
    out: Path,
    seconds: float | None,
    yes: bool,
) -> None:
    """Record the range of each joint while it is moved by hand; write the file of the bus.

    Torque is switched off, so support the robot first. Move each joint from one end to the other, then press Enter. The
    joint's 0 is the middle of its range.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config.bus_file import BusFile, Family, table_of, write_bus_file
    from rtu_edge.device.ports import DEFAULT_BAUD
    from rtu_edge.tools.servos import Ranges

    named = _joints(joints)
    if out.exists():
        raise ConfigError(f"-o {out}: exists; give another path")
    with _open(port, family, baud, latency_ms) as bus:
        if others := bus.other_holders():
            raise ConfigError(f"{port}: another program holds it too: {' and '.join(others)}; end it first")
        if not yes and not click.confirm("Torque goes off and the robot may fall. Is it supported?", err=True):
            raise ConfigError("not confirmed; torque was not changed")
        ranges = Ranges(bus, named)
        click.echo("Move each joint from one end to the other, then press Enter.", err=True)
        _live(lambda: bool(ranges.poll()) and _entered(seconds is None), lambda: _shown(ranges.ranges), seconds, False)
    tables = {seen.name: table_of(seen.joint()) for seen in ranges.ranges}
    write_bus_file(BusFile(port=port, family=Family(family), joint=tables, baud=baud or DEFAULT_BAUD), out)
    click.echo(f"{out}: {len(tables)} joints; edit slew_rad_s and safe, then: rtu-edge bus serve {out}")


@command.command(
    "from-lerobot",
    epilog=options.examples("rtu-edge bus from-lerobot PORT so101.json --joint-unit degrees"),
)
@port
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--joint-unit",
    type=click.Choice(["degrees", "range"]),
    required=True,
    help="Unit in which LeRobot shows the joints; range: -100 to 100; drive_mode counts there only",
)
@family
@options.baud()
@latency
@options.out("the file of the bus", "arm.toml")
def from_lerobot(
    port: str, file: Path, joint_unit: str, family: str, baud: int | None, latency_ms: float, out: Path
) -> None:
    """Write the file of a bus from a calibration file of LeRobot.

    FILE is JSON as LeRobot writes it. The homing offsets in the servos are compared with it, and not changed. Each
    joint holds its goal without a command, and moves at most 1 rad/s: edit safe and slew_rad_s.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config.bus_file import BusFile, Family, table_of, write_bus_file
    from rtu_edge.device.ports import DEFAULT_BAUD
    from rtu_edge.device.schema import Safe
    from rtu_edge.tools import lerobot
    from rtu_edge.tools.servos import SLEW_RAD_S

    if out.exists():
        raise ConfigError(f"-o {out}: exists; give another path")
    entries = lerobot.read(file)
    found = lerobot.joints(entries, family, joint_unit, slew_rad_s=SLEW_RAD_S, safe=Safe.HOLD)
    with _open(port, family, baud, latency_ms) as bus:
        lerobot.check_offsets(bus, entries)
    tables = {joint.name: table_of(joint) for joint in found}
    write_bus_file(BusFile(port=port, family=Family(family), joint=tables, baud=baud or DEFAULT_BAUD), out)
    click.echo(f"{out}: {len(tables)} joints; next: rtu-edge bus serve {out}")


@command.command("to-lerobot", epilog=options.examples("rtu-edge bus to-lerobot arm.toml -o so101.json"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), shell_complete=complete.config)
@options.out("the calibration file", "lerobot.json")
def to_lerobot(file: Path, out: Path) -> None:
    """Write a calibration file of LeRobot from the file of a bus.

    The homing offsets are read from the servos. A reversed joint gets drive_mode 1, which LeRobot ignores in degrees.
    """
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.config.bus_file import load_bus_file
    from rtu_edge.tools import lerobot

    if out.exists():
        raise ConfigError(f"-o {out}: exists; give another path")
    given = load_bus_file(file)
    with _open(given.port, given.family.value, given.baud, given.latency_us / 1000) as bus:
        offsets = {table.id: bus.read_steps(table.id, "homing_offset") for table in given.joint.values()}
    lerobot.write(lerobot.entries_of(given.joints(), given.family.value, offsets), out)
    click.echo(f"{out}: {len(offsets)} servos")


@command.command("serve", epilog=options.examples("rtu-edge bus serve arm.toml --link /tmp/arm"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), shell_complete=complete.config)
@click.option("--link", type=click.Path(path_type=Path), metavar="PATH", help="Symbolic link to the port")
@click.option("--emulated", is_flag=True, help="Serve emulated servos instead of the file's port")
@options.seconds(None, "until Ctrl-C")
def serve(file: Path, link: Path | None, emulated: bool, seconds: float | None) -> None:
    """Serve the servos of a bus as a device, by a process that brings them to their safe behaviour.

    FILE is what `rtu-edge bus calibrate` has written. The device has one observation per joint and register, and one
    actuator per joint, the goal in rad. Torque is enabled when a run is armed and sends its first command.
    """
    from rtu_edge._base.errors import DeviceError
    from rtu_edge.config.bus_file import load_bus_file
    from rtu_edge.config.bus_file import serve as start
    from rtu_edge.device.emulated_bus import EmulatedBus

    given = load_bus_file(file)
    with contextlib.ExitStack() as stack:
        bus = None
        if emulated:
            most = max(table.id for table in given.joint.values())
            bus = stack.enter_context(EmulatedBus(given.family.value, servos=most, baud=given.baud))
        server = stack.enter_context(start(given, bus=bus, link=link))
        port = str(link.absolute()) if link is not None else server.port
        click.echo(f"{port}: {len(given.joint)} joints, {1 / given.period_s:g} Hz, process {server.pid}")
        click.echo("In another terminal:")
        click.echo(f"  rtu-edge monitor {port}")
        click.echo(f"  rtu-edge init {port} -o robot.toml")
        click.echo(f"  rtu-edge estop {port}")
        click.echo("Ctrl-C stops it: each joint goes to its safe behaviour.")
        sys.stdout.flush()
        end_s = time.monotonic() + seconds if seconds is not None else float("inf")
        with contextlib.suppress(KeyboardInterrupt):
            while server.running and time.monotonic() < end_s:
                time.sleep(0.1)
        if not server.running:
            raise DeviceError(f"{given.port}: the server of the bus has ended: the port is gone")


def _joints(given: tuple[str, ...]) -> dict[str, int]:
    from rtu_edge._base.errors import ConfigError
    from rtu_edge.device.bus_server import JOINTS_MAX, check_joint_name

    found: dict[str, int] = {}
    for text in given:
        name, _, number = text.partition("=")
        id = int(number) if re.fullmatch("[0-9]{1,3}", number) else -1
        if not 0 <= id <= 252 or name in found or id in found.values():
            raise ConfigError(f"{text}: expected NAME=ID, each name and id once, such as elbow=2")
        check_joint_name(f"{text}: NAME", name)
        found[name] = id
    if len(found) > JOINTS_MAX:
        raise ConfigError(f"{len(found)} joints: a bus has at most {JOINTS_MAX}")
    return found


def _live(refresh: Callable[[], bool], table: Callable[[], Any], seconds: float | None, quiet: bool) -> None:
    """Refresh until it returns True, the time is over, or Ctrl-C; on a terminal the table is shown meanwhile."""
    from rich.live import Live

    out = console(as_json=quiet)
    end_s = time.monotonic() + seconds if seconds is not None else float("inf")
    live: Any = Live(console=out, auto_refresh=False) if out.is_terminal and not quiet else None
    with live if live is not None else contextlib.nullcontext(), contextlib.suppress(KeyboardInterrupt):
        while True:
            next_s = time.monotonic() + _REFRESH_S
            ended = refresh()
            if live is not None:
                live.update(table(), refresh=True)
            if ended or time.monotonic() >= end_s:
                break
            time.sleep(max(0.0, min(next_s, end_s) - time.monotonic()))
    if live is None and not quiet:
        out.print(table())


def _entered(also_ended: bool) -> bool:
    """Enter was pressed; also_ended: or standard input has ended."""
    try:
        if not select.select([sys.stdin], [], [], 0.0)[0]:
            return False
    except (OSError, ValueError):  # standard input is closed, or no file
        return False
    return bool(sys.stdin.readline()) or also_ended


def _shown(ranges: list[Range]) -> TextTable:
    from rtu_edge._base.text_table import TextTable

    table = TextTable("joint", "id", "now rad", "lowest", "highest", "alarm")
    for seen in ranges:
        moved = seen.high >= seen.low
        low, high = (_number(seen.low), _number(seen.high)) if moved else ("", "")
        table.add_row(seen.name, str(seen.id), _number(seen.now), low, high, _alarm(seen.alarm))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _alarm(bits: int) -> str:
    return f"{bits:#04x}" if bits else ""
