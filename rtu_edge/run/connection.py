"""A device that is connected, and whether the configuration was made for it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.strict import quoted
from rtu_edge.config import Actions, Clock, Config
from rtu_edge.device.ports import Port, open_port
from rtu_edge.device.schema import ActuatorRange, combined, min_ttl_ms
from rtu_edge.loop import Hello, Limits, Link, LinkError
from rtu_edge.record import Row
from rtu_edge.run.permission import Permission

__all__ = ["Connection", "Sheet", "connect", "limits_in_force", "own_limits"]


class Sheet(Protocol):
    """What of a device decides about a learner: a connection, or the head of a log."""

    @property
    def observations(self) -> list[Row]:
        """Its data sheet."""

    @property
    def actuators(self) -> list[Row]:
        """Its data sheet."""

    @property
    def period_s(self) -> float:
        """The device's period."""


@dataclass(frozen=True)
class Connection:
    """An open device after the handshake.

    Args:
        url: the port's name.
        plant: the simulated plant's name, or "".
        port, link: open; they close with the `connect` that made them.
        hello: what the device said about itself.
        observations, actuators: its data sheet.
        permission: whether it may move.
    """

    url: str
    plant: str
    port: Port
    link: Link
    hello: Hello
    observations: list[Row]
    actuators: list[Row]
    permission: Permission

    @property
    def period_s(self) -> float:
        """The device's period."""
        return self.hello.period_us / 1e6


@contextmanager
def connect(config: Config, source: str | os.PathLike[str] = "") -> Iterator[Connection]:
    """Open the configured port, or start the simulated plant behind one, and shake hands.

    Args:
        config: the configuration.
        source: the file that it was read from; `rtu-edge estop` finds this process by it.

    Raises:
        DeviceError: no port, no answer, or a simulated plant that does not start.
        ConfigError: the configuration was made for another device.
    """
    with ExitStack() as stack:
        url = config.device.port
        if config.device.plant:
            from rtu_edge.device.simulated import simulated

            url = str(stack.enter_context(simulated(config.device.plant)).port)
        dtr = {"auto": None, "on": True, "off": False}[config.device.dtr.value]
        port = stack.enter_context(open_port(url, config.device.baud, dtr=dtr))
        try:
            link = stack.enter_context(Link(port, config=source))
            hello = link.handshake(config.device.hello_timeout_s)
            rows = link.describe()
        except LinkError as error:
            raise DeviceError(f"{url}: {error}") from error
        observations, actuators = (
            [Row(row.name, row.unit, row.minimum, row.maximum) for row in rows if row.actuator is kind]
            for kind in (False, True)
        )
        permission = Permission(url, hello.simulated)
        connection = Connection(url, config.device.plant, port, link, hello, observations, actuators, permission)
        _check_against(config, connection)
        yield connection


def own_limits(config: Config, row: Row) -> Limits:
    """The file's limits of an actuator, or where it has none the device's range."""
    given = config.limits.get(row.name)
    if given is None:
        return Limits(row.minimum, row.maximum)
    return Limits(given.min, given.max, given.slew_per_s, given.rest, given.accel_per_s2)


def limits_in_force(config: Config, connection: Connection) -> list[ActuatorRange]:
    """Of each actuator the tighter limits of file and device, as the loop will have them.

    Raises:
        ValueError: limits that cannot be kept: one line each.
    """
    rows = connection.link.rows[connection.hello.n_observations :]
    own = [own_limits(config, row) for row in connection.actuators]
    return combined(own, rows, connection.period_s, [f"limits.{row.name}" for row in connection.actuators])


def _check_against(config: Config, connection: Connection) -> None:
    """What only the device can tell about a configuration."""
    found = []
    machine = f"plant {quoted(connection.plant)}" if connection.plant else "the device"
    names = [row.name for row in connection.actuators]
    for name in config.limits:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'; did you mean "limits.{close[0]}"?' if close else ""
            found.append(f"limits.{name}: {machine} has no such actuator; it has {', '.join(names)}{hint}")
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
        limits_in_force(config, connection)
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
    if config.learner.actions is Actions.DISCRETE and len(names) != 1:
        found.append(f'learner.actions = "discrete": only with one actuator; the device has {len(names)}')
    if found:
        raise ConfigError(found)


def _not_simulated(connection: Connection) -> str:
    """Where a plant of one's own would have to say it."""
    if connection.hello.simulated or not connection.plant:
        return ""
    return f"; {connection.plant} does not say that it is simulated (tl_plant_sheet.simulated)"
