"""A connected device, and its match with the configuration."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.strict import quoted
from rtu_edge._base.validation import counted
from rtu_edge.config import Actions, Clock, Config
from rtu_edge.config import Companion as Further
from rtu_edge.device.limits import in_force, min_ttl_ms
from rtu_edge.device.ports import Port, open_port
from rtu_edge.device.schema import Channel, DataSheet, Hello, Limits
from rtu_edge.loop import Link, LinkError
from rtu_edge.loop.companions import Companion, whole_hello, whole_sheet
from rtu_edge.loop.permission import Permission

if TYPE_CHECKING:
    from rtu_edge.device.bus_server import BusServer

_DTR = {"auto": None, "on": True, "off": False}

__all__ = ["Connection", "connect", "limits_in_force", "own_limits", "with_firmware"]


@dataclass(frozen=True)
class Connection:
    """An open device after the handshake.

    Args:
        url: the port's name.
        plant: the simulated plant's name, or "".
        port, link: open; they close with the `connect` that created them.
        hello, sheet: identity and data sheet of the device.
        firmware: path of the executable that simulates the plant if it is not the package's, or "".
        permission: whether it may move.
        companions: further devices; hello and sheet cover the channels of all devices.
    """

    url: str
    plant: str
    port: Port
    link: Link
    hello: Hello
    sheet: DataSheet
    permission: Permission
    firmware: str = ""
    companions: tuple[Companion, ...] = ()

    @property
    def ports(self) -> str:
        """The ports of all devices, in words."""
        return " and ".join([self.url, *(f"{each.link.url} ({each.name})" for each in self.companions)])


@contextmanager
def connect(config: Config, source: str | os.PathLike[str] = "") -> Iterator[Connection]:
    """Open the configured port, or start the simulated plant behind one, and shake hands.

    Args:
        config: the configuration.
        source: its file, by which `rtu-edge estop` finds this process.

    Raises:
        DeviceError: no port, no answer, or a simulated plant that does not start.
        ConfigError: the configuration was made for another device.
    """
    with ExitStack() as stack:
        url, firmware = config.device.port, ""
        if config.device.plant:
            from rtu_edge.device.simulated import simulated

            firmware = with_firmware(config).device.firmware
            options = {"firmware": firmware} if firmware else {}
            url = str(stack.enter_context(simulated(config.device.plant, **options)).port)
        if config.device.bus:
            url = stack.enter_context(_bus_server(config)).port
        port = stack.enter_context(open_port(url, config.device.baud, dtr=_DTR[config.device.dtr.value]))
        try:
            link = stack.enter_context(Link(port, config=source))
            hello = link.handshake(config.device.hello_timeout_s)
            sheet = link.describe()
        except LinkError as error:
            raise DeviceError(f"{url}: {error}") from error
        companions = tuple(
            Companion(name, _companion_link(name, given, stack, source), given.ttl_ms, given.age)
            for name, given in config.companion.items()
        )
        hello, sheet = whole_hello(hello, companions), whole_sheet(sheet, companions)
        permission = Permission(url, hello.simulated)
        connection = Connection(url, config.device.plant, port, link, hello, sheet, permission, firmware, companions)
        _check_against(config, connection)
        yield connection


def _bus_server(config: Config) -> BusServer:
    """Start the server of the configured bus; it ends with the connection, or with this process.

    Raises:
        ConfigError: the file of the bus cannot be read, or is invalid.
        DeviceError: the port cannot be opened, or a servo does not answer.
    """
    from rtu_edge.config.bus_file import load_bus_file, serve
    from rtu_edge.device.emulated_bus import VirtualServos

    given = load_bus_file(config.device.bus)
    servos = VirtualServos(given.family.value, given.emulated_load) if config.device.emulated else None
    return serve(given, bus=servos)


def _companion_link(name: str, given: Further, stack: ExitStack, source: str | os.PathLike[str]) -> Link:
    """Open a further device and shake hands.

    Raises:
        DeviceError: no port, no answer, or a simulated plant that does not start.
    """
    url = given.port
    if given.plant:
        from rtu_edge.device.simulated import simulated

        url = str(stack.enter_context(simulated(given.plant)).port)
    port = stack.enter_context(open_port(url, given.baud, dtr=_DTR[given.dtr.value]))
    try:
        link = stack.enter_context(Link(port, config=source))
        link.handshake(given.hello_timeout_s)
        link.describe()
    except LinkError as error:
        raise DeviceError(f"companion.{name}: {url}: {error}") from error
    return link


def with_firmware(config: Config) -> Config:
    """With the path of a firmware that is not the package's in device.firmware, where RTU_EDGE_FIRMWARE names it.

    Raises:
        DeviceError: there is no such file.
    """
    from rtu_edge.device.simulated import firmware_path

    device = config.device
    named = device.firmware or os.environ.get("RTU_EDGE_FIRMWARE")
    if not named or not device.plant or device.plant.endswith(".c"):
        return config
    found = str(firmware_path(named))
    return msgspec.structs.replace(config, device=msgspec.structs.replace(device, firmware=found))


def own_limits(config: Config, actuator: Channel) -> Limits:
    """The file's limits of an actuator, or the device's range."""
    return config.limits.get(actuator.name, Limits(actuator.min, actuator.max))


def limits_in_force(config: Config, sheet: DataSheet) -> list[Limits]:
    """For each actuator the tighter limits of file and device, as used by the loop.

    Raises:
        ValueError: limits that cannot be enforced: one line each.
    """
    own = [own_limits(config, actuator) for actuator in sheet.actuators]
    return in_force(own, sheet.actuators, sheet.period_s, [f"limits.{actuator.name}" for actuator in sheet.actuators])


def _check_against(config: Config, connection: Connection) -> None:
    """Checks of a configuration against the device."""
    found = []
    which = f"plant {quoted(connection.plant)}" if connection.plant else "the device"
    names = [actuator.name for actuator in connection.sheet.actuators]
    for name in config.limits:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'; did you mean "limits.{close[0]}"?' if close else ""
            found.append(f"limits.{name}: {which} has no such actuator; it has {', '.join(names)}{hint}")
    found += _pose_problems(config, connection)
    limited = {row.name for row in connection.sheet.observations if row.limits}
    found += [
        f"device.limits: {quoted(name)}: {which} enforces no limit of it (TickLink {connection.hello.protocol}); "
        f"it does of {', '.join(sorted(limited)) or 'nothing'}"
        for name in config.device.limits
        if name not in limited
    ]
    if not connection.hello.simulated:
        found += [
            f"limits.{name}: missing; real hardware needs explicit min, max, slew_per_s and accel_per_s2"
            " for each actuator"
            for name in names
            if name not in config.limits
        ]
        found += [
            f"limits.{name}.accel_per_s2: missing; required on real hardware; inf means no limit"
            for name in names
            if name in config.limits and config.limits[name].accel_per_s2 is None
        ]
    try:
        limits_in_force(config, connection.sheet)
    except ValueError as error:
        found += str(error).splitlines()
    ttl_ms, least = config.loop.ttl_ms, min_ttl_ms(connection.hello.period_us)
    if 0 < ttl_ms < least:
        found.append(
            f"loop.ttl_ms = {ttl_ms}: must be at least {least}, which is the device's period of"
            f" {connection.hello.period_us} us and 1 ms for the round trip, until the next command can be there; or 0"
            " for three periods"
        )
    expected = config.loop.period_us
    if expected and abs(expected - connection.hello.period_us) > 0.2 * expected:
        found.append(f"loop.period_us = {expected}: must be within 20 % of the device's {connection.hello.period_us}")
    if config.loop.clock is Clock.LOCKSTEP and not (connection.hello.simulated and connection.hello.lockstep):
        found.append(f'loop.clock = "lockstep": only for a simulated device that offers it{_not_simulated(connection)}')
    found += _reward_problems(config, connection.sheet)
    if config.learner.actions is Actions.DISCRETE and len(names) != 1:
        found.append(f'learner.actions = "discrete": only with one actuator; the device has {len(names)}')
    if found:
        raise ConfigError(found)


def _pose_problems(config: Config, connection: Connection) -> Iterator[str]:
    names = [observation.name for observation in connection.sheet.observations]
    for name in config.reconnect.pose:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'; did you mean "reconnect.pose.{close[0]}"?' if close else ""
            yield f"reconnect.pose.{name}: the device has no such observation; it has {', '.join(names)}{hint}"
    if config.reconnect.within_s > 0 and not config.reconnect.pose and not connection.hello.simulated:
        yield (
            "reconnect.pose: missing; real hardware that may continue without a person needs the largest change of at"
            " least one observation"
        )


def _reward_problems(config: Config, sheet: DataSheet) -> Iterator[str]:
    for key in ("target", "quadratic", "cosine", "action"):
        rows = sheet.actuators if key == "action" else sheet.observations
        given = len(getattr(config.reward, key))
        if given not in (0, len(rows)):
            kind = "actuator" if key == "action" else "observation"
            listed = ", ".join(row.name for row in rows)
            numbers, has = counted(given, "number"), counted(len(rows), kind)
            yield f"reward.{key}: {numbers} given, the device has {has} ({listed}): one for each"


def _not_simulated(connection: Connection) -> str:
    """Where a user's plant would have to declare it."""
    if connection.hello.simulated or not connection.plant:
        return ""
    return f"; {connection.plant} does not declare that it is simulated (tl_plant_sheet.simulated)"
