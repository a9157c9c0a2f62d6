"""The file of a servo bus: port, family and joints, as `rtu-edge bus calibrate` writes it (docs/servo_bus.md)."""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
import msgspec.inspect as mi

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import Section, emit, parse_toml, problems, read_text
from rtu_edge.config.file import BUS_BAUD
from rtu_edge.device.bus_server import BusServer, Joint, check_joints, check_observe
from rtu_edge.device.emulated_bus import EmulatedBus, VirtualServos
from rtu_edge.device.schema import Safe

__all__ = ["BusFile", "JointTable", "load_bus_file", "serve", "table_of", "write_bus_file"]

Angle: TypeAlias = Annotated[float, msgspec.Meta(ge=-600.0, le=600.0)]


class Family(str, enum.Enum):
    """Families of servos."""

    FEETECH = "feetech"
    DYNAMIXEL = "dynamixel"
    SCS = "scs"


class JointSafe(str, enum.Enum):
    """What a joint does without a command."""

    HOLD = "hold"
    RAMP = "ramp"
    OFF = "off"


class Goal(str, enum.Enum):
    """What a command is."""

    POSITION = "position"
    SPEED = "speed"
    CURRENT = "current"
    TORQUE = "torque"


class Observed(str, enum.Enum):
    """What is observed of each joint."""

    POSITION = "position"
    SPEED = "speed"
    LOAD = "load"


class JointTable(Section, frozen=True):
    """`[joint.NAME]`: one joint and its servo.

    Args:
        id: of the servo.
        min_rad, max_rad: range of the goal.
        slew_rad_s: largest speed of the goal.
        safe: hold the goal, ramp to safe_rad, or off, without torque.
        safe_rad: end of the ramp, within the range.
        zero_rad: position of the servo where the joint is at 0.
        reverse: the joint turns against the servo.
        goal_max, goal_slew: of a goal that is no position, and of its change per second.
        target: waves of a target that moves by itself: amplitude, period and phase of each.
    """

    id: Annotated[int, msgspec.Meta(ge=0, le=252)]
    min_rad: Angle
    max_rad: Angle
    slew_rad_s: Annotated[float, msgspec.Meta(ge=1e-3, le=100.0)]
    safe: JointSafe
    safe_rad: Angle = 0.0
    zero_rad: Angle = math.pi
    reverse: bool = False
    goal_max: Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)] = 0.0
    goal_slew: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] = 0.0
    target: tuple[float, ...] = ()


class BusFile(Section, frozen=True):
    """The file.

    Args:
        port: of the bus, best by its persistent name (`rtu-edge ports`).
        family: of the servos.
        baud: bits per second.
        goal: what a command is: position, speed, current or torque.
        period_s: one sync write and one sync read per period.
        ttl_max_ms: longest time to live of a command.
        observe: of each joint.
        fast: fast sync read of Dynamixel.
        latency_us: of adapter and host, per transaction.
        return_delay_us: the longest of any servo.
        ignore_alarms: bits of a servo's error that do not end a session.
        emulated_load: of emulated servos: torque that holds the load horizontally, as a share of the largest.
        joint: by name.
    """

    port: str
    family: Family
    joint: dict[str, JointTable]
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = BUS_BAUD
    goal: Goal = Goal.POSITION
    period_s: Annotated[float, msgspec.Meta(ge=0.001, le=1.0)] = 0.01
    ttl_max_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 200
    observe: tuple[Observed, ...] = (Observed.POSITION,)
    fast: bool = False
    latency_us: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 4000
    return_delay_us: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 500
    ignore_alarms: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    emulated_load: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.0

    def joints(self) -> list[Joint]:
        """The joints, in the order of their ids."""
        return [
            Joint(
                name,
                table.id,
                table.min_rad,
                table.max_rad,
                table.slew_rad_s,
                Safe[table.safe.name],
                table.safe_rad,
                table.zero_rad,
                table.reverse,
                table.goal_max,
                table.goal_slew,
                table.target,
            )
            for name, table in sorted(self.joint.items(), key=lambda item: item[1].id)
        ]


_SCHEMA = mi.type_info(BusFile)


def load_bus_file(path: str | os.PathLike[str]) -> BusFile:
    """Read and check the file of a servo bus.

    Raises:
        ConfigError: it cannot be read, or has invalid contents: one sentence for each.
    """
    source, text = os.fspath(path), read_text(path, "file of a servo bus")
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"not valid TOML: {error}", source) from error
    found = list(problems(_SCHEMA, data))
    if found:
        raise ConfigError(found, source)
    given = msgspec.convert(data, BusFile)
    try:
        check_joints(given.joints(), given.goal.value, "joint")
        check_observe([each.value for each in given.observe])
    except ConfigError as error:
        raise ConfigError(str(error), source) from None
    return given


def write_bus_file(given: BusFile, path: str | os.PathLike[str]) -> None:
    """Write the file atomically.

    Raises:
        ConfigError: joints that a reader would refuse; nothing is written.
    """
    from rtu_edge._base import files

    check_joints(given.joints(), given.goal.value, "joint")
    files.write(path, emit(msgspec.to_builtins(given)).encode())


def table_of(joint: Joint) -> JointTable:
    """The table of a joint."""
    return JointTable(
        id=joint.id,
        min_rad=joint.min_rad,
        max_rad=joint.max_rad,
        slew_rad_s=joint.slew_rad_s,
        safe=JointSafe[joint.safe.name],
        safe_rad=joint.safe_rad,
        zero_rad=joint.zero_rad,
        reverse=joint.reverse,
        goal_max=joint.goal_max,
        goal_slew=joint.goal_slew,
        target=joint.target,
    )


def serve(
    given: BusFile, *, bus: EmulatedBus | VirtualServos | None = None, link: str | os.PathLike[str] | None = None
) -> BusServer:
    """Start the server of a bus.

    Args:
        given: the file's contents.
        bus: serve these emulated servos instead of the file's port.
        link: path of a symbolic link to the server's port.

    Raises:
        ConfigError: joints that do not fit together.
        DeviceError: the port cannot be opened, or a servo does not answer.
    """
    observe: Sequence[str] = [each.value for each in given.observe]
    return BusServer(
        bus if bus is not None else given.port,
        given.family.value,
        given.joints(),
        baud=given.baud,
        goal=given.goal.value,
        period_s=given.period_s,
        ttl_max_ms=given.ttl_max_ms,
        observe=observe,
        fast=given.fast,
        latency_us=given.latency_us,
        return_delay_us=given.return_delay_us,
        ignore_alarms=given.ignore_alarms,
        link=link,
    )
