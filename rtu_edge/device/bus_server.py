"""The owner of a servo bus: a process in C that serves the servos as a device (firmware_bridge/boards/bus_server).

It owns the port, writes all goals and keeps the rules of a device: sessions, TTL, limits, ESTOP. When this process is
late, stopped or killed, the joints go to their safe behaviour. Its port is that of any device:

    with BusServer("/dev/serial/by-id/usb-...", "feetech", joints) as server, rtu.connect(server, ...) as robot: ...
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.files import PACKAGE
from rtu_edge._base.validation import check_bool, check_choice, check_int, check_number, check_texts
from rtu_edge.device import child
from rtu_edge.device.emulated_bus import EmulatedBus, VirtualServos
from rtu_edge.device.ports import DEFAULT_BAUD, open_port
from rtu_edge.device.schema import Safe
from rtu_edge.device.servo_bus import ServoBus
from rtu_edge.device.servo_registers import FAMILIES

__all__ = ["BusServer", "Joint", "check_joint_name", "check_joints", "check_observe"]

JOINTS_MAX = 18
GOALS = ("position", "speed", "current", "torque")
OBSERVED = ("position", "speed", "load")
WAVES_MAX = 4
SAFES = {Safe.HOLD: "hold", Safe.RAMP: "ramp", Safe.OFF: "off"}
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,13}")
_LEAVE_S = 60.0  # a ramp may take so long


@dataclass(frozen=True)
class Joint:
    """A joint that one servo drives.

    Args:
        name: letters, digits and "_", at most 14.
        id: of the servo, 0 to 252.
        min_rad, max_rad: range of the goal, rad.
        slew_rad_s: largest speed of the goal, rad/s.
        safe: what the joint does without a command: HOLD the goal, RAMP to safe_rad, or OFF, without torque.
        safe_rad: rad, within the range; of RAMP.
        zero_rad: position of the servo, in rad of its register, where the joint is at 0.
        reverse: the joint turns against the servo.
        goal_max: largest goal in each direction, rad/s, A or a share of the largest torque, where goals are not
            positions; the range in rad is then one that the server enforces: outside, only back in is let through.
        goal_slew: largest change of such a goal per second.
        target: of a target that moves by itself, the sum of at most 4 waves, each amplitude (rad), period (s) and
            phase (rad); NAME_target and NAME_error are observed, and the device's reward is minus the sum of the
            squared errors of all joints, rad^2.
    """

    name: str
    id: int
    min_rad: float
    max_rad: float
    slew_rad_s: float
    safe: Safe
    safe_rad: float = 0.0
    zero_rad: float = math.pi
    reverse: bool = False
    goal_max: float = 0.0
    goal_slew: float = 0.0
    target: tuple[float, ...] = ()

    def check(self, who: str, goal: str = "position") -> None:
        """Check the fields for a kind of goal.

        Raises:
            ConfigError: an invalid one: its name, value, and allowed values.
        """
        check_joint_name(f"{who}.name", self.name)
        check_int(f"{who}.id", self.id, 0, 252)
        check_number(f"{who}.min_rad", self.min_rad, -600.0, 600.0)
        check_number(f"{who}.max_rad", self.max_rad, -600.0, 600.0)
        if not self.min_rad < self.max_rad:
            raise ConfigError(f"{who}.max_rad = {self.max_rad}: must be above min_rad, {self.min_rad}")
        check_number(f"{who}.slew_rad_s", self.slew_rad_s, 1e-3, 100.0)
        check_number(f"{who}.zero_rad", self.zero_rad, -600.0, 600.0)
        check_bool(f"{who}.reverse", self.reverse)
        self._check_target(who)
        if goal != "position":
            check_number(f"{who}.goal_max", self.goal_max, 0.0, 1.0 if goal == "torque" else 1000.0, open_low=True)
            check_number(f"{who}.goal_slew", self.goal_slew, 0.0, 1e6, open_low=True)
            if self.safe not in (Safe.RAMP, Safe.OFF) or self.safe_rad != 0.0:
                raise ConfigError(f"{who}.safe = {self.safe!r}: must be RAMP, to 0, or OFF: a held {goal} drives on")
            return
        if self.safe not in SAFES:
            raise ConfigError(f"{who}.safe = {self.safe!r}: must be one of HOLD, RAMP, OFF")
        if not self.min_rad <= self.safe_rad <= self.max_rad:
            raise ConfigError(
                f"{who}.safe_rad = {self.safe_rad}: must be within {self.min_rad} to {self.max_rad}, the joint's range"
            )

    def _check_target(self, who: str) -> None:
        if not isinstance(self.target, Sequence):
            raise ConfigError(f"{who}.target = {self.target!r}: expected amplitude, period and phase of waves")
        if len(self.target) % 3 or len(self.target) > 3 * WAVES_MAX:
            raise ConfigError(
                f"{who}.target: {len(self.target)} numbers; must be amplitude, period and phase of at most {WAVES_MAX}"
                " waves"
            )
        for at in range(0, len(self.target), 3):
            amplitude, period, phase = self.target[at : at + 3]
            check_number(f"{who}.target[{at}]", amplitude, 0.0, 100.0)
            check_number(f"{who}.target[{at + 1}]", period, 0.01, 1e6)
            check_number(f"{who}.target[{at + 2}]", phase, -100.0, 100.0)
        reach = sum(self.target[::3])
        if not (self.min_rad <= -reach and reach <= self.max_rad):
            raise ConfigError(
                f"{who}.target: reaches {reach:g} rad in each direction; must stay within {self.min_rad} to"
                f" {self.max_rad}, the joint's range"
            )


class BusServer(Closing):
    """A server process on a servo bus. Closing brings the joints to their safe behaviour and ends it.

    Args:
        bus: path of the port, or an EmulatedBus or VirtualServos, with which nothing real moves.
        family: "feetech", "scs" or "dynamixel"; of emulated servos their own.
        joints: 1 to 18, each with an id and a name of its own.
        baud: bits per second.
        goal: what a command is: "position", "speed" (not scs), "current" (dynamixel) or "torque", a share of the
            largest by PWM (not scs); the servos must be in that mode.
        period_s: s, 0.001 to 1; one sync write and one sync read per period.
        ttl_max_ms: longest time to live of a command, 1 to 60000. Bus Watchdog of Dynamixels is set to it.
        observe: what is observed of each joint: "position" always, "speed" and "load" where they are named.
        fast: with the fast sync read of Dynamixel.
        latency_us, return_delay_us: of the bus (ServoBus).
        ignore_alarms: bits of a servo's error that do not end a session.
        link: path of a symbolic link to the server's port, for a fixed name.

    Raises:
        ConfigError: an argument out of range.
        DeviceError: the port cannot be opened, another process holds it too, or a servo does not answer.
    """

    def __init__(
        self,
        bus: str | os.PathLike[str] | EmulatedBus | VirtualServos,
        family: str = "feetech",
        joints: Sequence[Joint] = (),
        *,
        baud: int = DEFAULT_BAUD,
        goal: str = "position",
        period_s: float = 0.01,
        ttl_max_ms: int = 200,
        observe: Sequence[str] = ("position",),
        fast: bool = False,
        latency_us: int = 2000,
        return_delay_us: int = 500,
        ignore_alarms: int = 0,
        link: str | os.PathLike[str] | None = None,
    ) -> None:
        family = bus.family if isinstance(bus, (EmulatedBus, VirtualServos)) else family
        check_number("period_s", period_s, 0.001, 1.0)
        check_choice("family", family, FAMILIES)
        check_choice("goal", goal, GOALS)
        if not isinstance(bus, (str, os.PathLike, EmulatedBus, VirtualServos)):
            raise ConfigError(f"bus = {bus!r}: expected a path, an EmulatedBus or VirtualServos")
        check_joints(joints, goal)
        check_observe(observe)
        options = {
            "--family": family,
            "--goal": goal,
            "--baud": baud,
            "--period-us": round(period_s * 1e6),
            "--latency-us": check_int("latency_us", latency_us, 0, 1_000_000),
            "--return-delay-us": check_int("return_delay_us", return_delay_us, 0, 100_000),
            "--ttl-max-ms": check_int("ttl_max_ms", ttl_max_ms, 1, 60_000),
            "--ignore-alarms": check_int("ignore_alarms", ignore_alarms, 0, 255),
        }
        flags = ["--fast"] * fast + [f"--{each}" for each in observe if each != "position"]
        if link is not None:
            options["--pty-link"] = os.fspath(link)
        self._process: subprocess.Popen[bytes] | None = None
        command = [str(PACKAGE / "bin" / "tl_bus_server"), "--until-eof", *flags]
        for name, value in options.items():
            command += [name, str(value)]
        for joint in joints:
            command += _joint(joint, period_s, goal)
        if isinstance(bus, VirtualServos):
            check_number("gravity", bus.gravity, 0.0, 1.0)
            url = f"emulated {family} servos"
            self._process = child.start([*command, "--emulated", "--gravity", repr(float(bus.gravity))])
        else:
            url = bus.port if isinstance(bus, EmulatedBus) else os.fspath(bus)
            command += ["--simulated"] * isinstance(bus, EmulatedBus)
            self._process = _start_on(url, family, baud, latency_us, return_delay_us, command)
        try:
            self.port = self._read_port(url)
        except DeviceError:
            self.close()
            raise

    def _read_port(self, url: str) -> str:
        process = self._process
        assert process is not None
        port, complaint = child.read_port(process)
        if port:
            return port
        complaint = complaint.removeprefix("tl_bus_server: ")
        raise DeviceError(f"{url}: {complaint or 'no answer of the server within 10 s'}")

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            DeviceError: it is closed.
        """
        if self._process is None:
            raise DeviceError("the server is closed")
        return self._process.pid

    @property
    def running(self) -> bool:
        """False once the server has ended, for any reason."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the server, which first brings the joints to their safe behaviour; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        child.end(process, _LEAVE_S)


def check_joint_name(who: str, name: object) -> None:
    """Check the name of a joint.

    Raises:
        ConfigError: not a letter, then at most 13 letters, digits or "_".
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f'{who} = "{name}": a letter, then at most 13 letters, digits or "_"')


def check_joints(joints: Sequence[Joint], goal: str = "position", table: str = "") -> None:
    """Check that joints are valid and fit together.

    Args:
        joints: of one bus.
        goal: what a command is.
        table: of a file, where a joint is TABLE.NAME.

    Raises:
        ConfigError: none or more than 18, an invalid one, or two with one id or name.
    """
    if not _are_joints(joints):
        raise ConfigError(f"{table or 'joints'} = {joints!r}: expected a sequence of Joint")
    if not 1 <= len(joints) <= JOINTS_MAX:
        raise ConfigError(f"{table or 'joints'}: {len(joints)} joints; must be 1 to {JOINTS_MAX}")
    named = [f"{table}.{joint.name}" if table else f"joints[{at}]" for at, joint in enumerate(joints)]
    for who, joint in zip(named, joints, strict=True):
        joint.check(who, goal)
    for what in ("id", "name"):
        seen: dict[object, str] = {}
        for who, joint in zip(named, joints, strict=True):
            value = getattr(joint, what)
            if value in seen:
                raise ConfigError(f"{who}.{what} = {value}: {seen[value]} has the same {what}")
            seen[value] = who


def _are_joints(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, Joint) for one in value)


def check_observe(observe: Sequence[str]) -> None:
    """Check what is observed of each joint.

    Raises:
        ConfigError: nothing, something twice, or not of position, speed, load.
    """
    names = check_texts("observe", observe)
    if not names or set(names) - set(OBSERVED) or len(set(names)) != len(names):
        raise ConfigError(f"observe = {names}: must be of {', '.join(OBSERVED)}, at least one, each once")


def _start_on(
    url: str, family: str, baud: int, latency_us: int, return_delay_us: int, command: list[str]
) -> subprocess.Popen[bytes]:
    """Start the server on a port that nothing else holds."""
    with open_port(url, baud) as port:
        with ServoBus(port, family, baud, latency_us=latency_us, return_delay_us=return_delay_us) as asked:
            if others := asked.other_holders():
                raise DeviceError(f"{url}: another program holds it too: {' and '.join(others)}; end it first")
            echo = ["--echo"] * asked.echo
        return child.start([*command, *echo, "--fd", str(port.fileno())], [port.fileno()])


def _joint(joint: Joint, period_s: float, goal: str) -> list[str]:
    """As the server's command line has it."""
    sign, angles = -1 if joint.reverse else 1, (joint.min_rad, joint.max_rad)
    numbers: tuple[float, ...] = (-joint.goal_max, joint.goal_max, joint.goal_slew * period_s)
    ends: tuple[float, ...] = angles
    if goal == "position":
        numbers, ends = (*angles, joint.slew_rad_s * period_s), ()
    texts = [repr(float(each)) for each in (joint.zero_rad, sign, *numbers)]
    fields = [joint.name, str(joint.id), *texts, SAFES[joint.safe], repr(float(joint.safe_rad))]
    found = ["--joint", ",".join([*fields, *map(repr, map(float, ends))])]
    for at in range(0, len(joint.target), 3):
        found += ["--wave", ",".join(repr(float(each)) for each in joint.target[at : at + 3])]
    return found
