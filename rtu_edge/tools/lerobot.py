"""LeRobot's calibration files: read into joints, and written from them.

A file is a JSON object, name -> id, drive_mode, homing_offset, range_min, range_max. Ranges are steps of Present
Position, in which the servo has already applied its homing offset: Feetech subtracts it, Dynamixel adds it. The file
does not hold the unit in which LeRobot shows a joint, and drive_mode depends on it: in degrees it is ignored, in the
ranges (-100 to 100, 0 to 100) it reverses the joint. LeRobot clamps nothing in degrees; a joint's range here is the
file's in each mode.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import msgspec

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.strict import read_text
from rtu_edge.device.bus_server import Joint
from rtu_edge.device.schema import Safe
from rtu_edge.device.servo_bus import ServoBus
from rtu_edge.device.servo_registers import registers

__all__ = ["MODES", "Entry", "check_offsets", "entries_of", "joints", "read", "write"]

MODES = ("degrees", "range")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One servo of a file.

    Args:
        id: of the servo.
        drive_mode: 1: LeRobot reverses the joint in the ranges.
        homing_offset: steps, as the servo's register holds it.
        range_min, range_max: steps of Present Position.
    """

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int


def read(path: str | os.PathLike[str]) -> dict[str, Entry]:
    """Read a calibration file.

    Raises:
        ConfigError: it cannot be read, or is no such file.
    """
    source = os.fspath(path)
    try:
        found = msgspec.json.decode(read_text(path, "calibration of LeRobot"), type=dict[str, Entry])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"no calibration of LeRobot: {error}", source) from error
    for name, entry in found.items():
        if entry.drive_mode not in (0, 1):
            raise ConfigError(f"{name}.drive_mode = {entry.drive_mode}: must be 0 or 1", source)
        if not -(2**20) <= entry.range_min < entry.range_max <= 2**20:
            raise ConfigError(
                f"{name}.range_max = {entry.range_max}: must be above range_min, {entry.range_min}", source
            )
    if not found:
        raise ConfigError("no calibration of LeRobot: no entries", source)
    return found


def write(entries: Mapping[str, Entry], path: str | os.PathLike[str]) -> None:
    """Write a calibration file atomically, as LeRobot does: four spaces of indentation."""
    from rtu_edge._base import files

    files.write(path, msgspec.json.format(msgspec.json.encode(dict(entries)), indent=4) + b"\n")


def joints(entries: Mapping[str, Entry], family: str, mode: str, *, slew_rad_s: float, safe: Safe) -> list[Joint]:
    """The joints of a file: 0 is the middle of the range, as in LeRobot's degrees.

    Args:
        mode: "degrees" or "range": the unit in which LeRobot shows the joints.

    Raises:
        ConfigError: an unknown mode or family, or a name or id that cannot be used.
    """
    if mode not in MODES:
        raise ConfigError(f'mode = "{mode}": must be one of {", ".join(MODES)}')
    step = registers(family)["position"].step
    found = []
    for name, entry in entries.items():
        half = (entry.range_max - entry.range_min) * step / 2
        zero = (entry.range_max + entry.range_min) * step / 2
        reverse = mode == "range" and entry.drive_mode == 1
        joint = Joint(name, entry.id, -half, half, slew_rad_s, safe, zero_rad=zero, reverse=reverse)
        joint.check(name)
        found.append(joint)
    return found


def entries_of(given: list[Joint], family: str, offsets: Mapping[int, int]) -> dict[str, Entry]:
    """The entries of joints.

    Args:
        offsets: steps, by the servo's id: its homing offset.

    Raises:
        ConfigError: a joint whose 0 is not the middle of its range, which LeRobot cannot express.
    """
    step = registers(family)["position"].step
    found = {}
    for joint in given:
        if not math.isclose(joint.min_rad, -joint.max_rad, abs_tol=2 * step):
            raise ConfigError(f"{joint.name}: LeRobot's 0 is the middle of the range; this one is not symmetric")
        ends = [round((joint.zero_rad + end) / step) for end in (joint.min_rad, joint.max_rad)]
        found[joint.name] = Entry(joint.id, int(joint.reverse), offsets.get(joint.id, 0), ends[0], ends[1])
    return found


def check_offsets(bus: ServoBus, entries: Mapping[str, Entry]) -> None:
    """Compare the homing offsets of a file with those in the servos, from which its ranges were measured.

    Raises:
        DeviceError: one differs: its ranges do not hold.
        BusError: a servo does not answer.
    """
    for name, entry in entries.items():
        found = bus.read_steps(entry.id, "homing_offset")
        if found != entry.homing_offset:
            raise DeviceError(
                f"{name} (servo {entry.id}): homing offset {found} in the servo, {entry.homing_offset} in the file:"
                " calibrate again, or let LeRobot write its calibration to the servos"
            )
