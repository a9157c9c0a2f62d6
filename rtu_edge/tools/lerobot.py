"""LeRobot's calibration files: read into joints, and written from them.

A file is a JSON object, motor name -> id, drive_mode, homing_offset, range_min, range_max. Ranges are steps of Present
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

__all__ = ["MODES", "Motor", "check_offsets", "joints", "motors_of", "read", "write"]

MODES = ("degrees", "range")


class Motor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One motor of a file.

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


def read(path: str | os.PathLike[str]) -> dict[str, Motor]:
    """Read a calibration file.

    Raises:
        ConfigError: it cannot be read, or is no such file.
    """
    source = os.fspath(path)
    try:
        found = msgspec.json.decode(read_text(path, "calibration of LeRobot"), type=dict[str, Motor])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"no calibration of LeRobot: {error}", source) from error
    for name, motor in found.items():
        if motor.drive_mode not in (0, 1):
            raise ConfigError(f"{name}.drive_mode = {motor.drive_mode}: must be 0 or 1", source)
        if not -(2**20) <= motor.range_min < motor.range_max <= 2**20:
            raise ConfigError(
                f"{name}.range_max = {motor.range_max}: must be above range_min, {motor.range_min}", source
            )
    if not found:
        raise ConfigError("no calibration of LeRobot: no motors", source)
    return found


def write(motors: Mapping[str, Motor], path: str | os.PathLike[str]) -> None:
    """Write a calibration file atomically, as LeRobot does: four spaces of indentation."""
    from rtu_edge._base import files

    files.write(path, msgspec.json.format(msgspec.json.encode(dict(motors)), indent=4) + b"\n")


def joints(motors: Mapping[str, Motor], family: str, mode: str, *, slew_rad_s: float, safe: Safe) -> list[Joint]:
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
    for name, motor in motors.items():
        half = (motor.range_max - motor.range_min) * step / 2
        zero = (motor.range_max + motor.range_min) * step / 2
        reverse = mode == "range" and motor.drive_mode == 1
        joint = Joint(name, motor.id, -half, half, slew_rad_s, safe, zero_rad=zero, reverse=reverse)
        joint.check(name)
        found.append(joint)
    return found


def motors_of(given: list[Joint], family: str, offsets: Mapping[int, int]) -> dict[str, Motor]:
    """The motors of joints.

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
        found[joint.name] = Motor(joint.id, int(joint.reverse), offsets.get(joint.id, 0), ends[0], ends[1])
    return found


def check_offsets(bus: ServoBus, motors: Mapping[str, Motor]) -> None:
    """Compare the homing offsets of a file with those in the servos, from which its ranges were measured.

    Raises:
        DeviceError: one differs: its ranges do not hold.
        BusError: a servo does not answer.
    """
    for name, motor in motors.items():
        found = bus.read_steps(motor.id, "homing_offset")
        if found != motor.homing_offset:
            raise DeviceError(
                f"{name} (servo {motor.id}): homing offset {found} in the servo, {motor.homing_offset} in the file:"
                " calibrate again, or let LeRobot write its calibration to the servos"
            )
