"""connect(): opens a Robot from a plant, a port or a device."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.validation import check_bool

# Other modules are loaded by the first call, so that importing the name is cheap (docs/design_decisions.md).
if TYPE_CHECKING:
    from rtu_edge.loop.checks import Checks, Controller, Homing, Start
    from rtu_edge.loop.flags import Clock
    from rtu_edge.loop.given import GivenLimits, GivenReward
    from rtu_edge.loop.robot import Robot

__all__ = ["connect"]

# Pausing a script, for example in a notebook, must not end the session with a simulated plant started for it.
_SILENCE_MS = 60_000


def connect(
    target: Any,
    *,
    limits: GivenLimits = None,
    arm: bool = False,
    reward: GivenReward = None,
    clock: Clock | str | None = None,
    ttl_ms: int = 0,
    checks: Checks | None = None,
    start: Mapping[str, Start] | None = None,
    homing: Homing | Controller | None = None,
    baud: int | None = None,
    dtr: bool | None = None,
    hello_timeout_s: float = 3.0,
) -> Robot:
    """Connect to a device: read its data sheet, and register as the owner that `rtu-edge estop` stops.

    Real hardware (HELLO without the SIMULATED flag) is read only, unless `arm=True` and explicit limits are given.

    Args:
        target: a simulated plant's name or C file, started here; a port's path; a Plant; a SimulatedDevice; a
            PythonDevice.
        limits: Limits by actuator name, or one per actuator in order; None: the device's own (simulated devices).
        arm: let real hardware move, as `rtu-edge run --arm --yes` does; what may move is printed to standard error
            before the first ARM.
        reward: of step() and run(): a Reward, or a function of observation (n,) and applied command (m,) that returns a
            float; None: the device's own.
        clock: "device" or "lockstep"; None: lockstep where a simulated device offers it, else the device's.
        ttl_ms: time to live of a command; 0: 3 periods, at least 20 ms. The device caps it.
        checks: that the plant does what is commanded; None: on, with their defaults.
        start: where an episode may begin, by the observation's name: {"theta": Start(-0.1, 0.1)}. Another pose is
            refused before ARM, and when an episode begins, unless homing changes it.
        homing: what brings the plant to its start: a Homing, or a function of an observation (n,) and whether it is
            the first, which returns commands (m,); in run() a function only for simulated devices.
        baud: bits per second of a serial port; None: 1,000,000.
        dtr: raise DTR (True), lower it (False), or decide by the driver (None).
        hello_timeout_s: s, to wait for the device's answer.

    Raises:
        ConfigError: target, limits, reward or clock do not fit the device.
        DeviceError: no port, no answer, another owner, or a data sheet that cannot be used.
    """
    from rtu_edge.device.limits import in_force
    from rtu_edge.device.ports import DEFAULT_BAUD, open_port
    from rtu_edge.device.python_device import PythonDevice
    from rtu_edge.loop.checks import Checks, Homing
    from rtu_edge.loop.driving import as_config_error
    from rtu_edge.loop.given import clock_given, own_limits, reward_given
    from rtu_edge.loop.link import Link, LinkError
    from rtu_edge.loop.options import LoopConfig
    from rtu_edge.loop.robot import Robot

    with ExitStack() as stack:
        url, plant = _port_of(target, stack)
        port = stack.enter_context(open_port(url, DEFAULT_BAUD if baud is None else baud, dtr=dtr))
        try:
            link = stack.enter_context(Link(port))
            hello, sheet = link.handshake(hello_timeout_s), link.describe()
        except LinkError as error:
            raise DeviceError(f"{url}: {error}") from error
        own = own_limits(limits, sheet.actuators, hello, arm=check_bool("arm", arm))
        config = LoopConfig(
            limits=own,
            clock=clock_given(clock, hello),
            reward=reward_given(reward, hello),
            ttl_ms=ttl_ms,
            handle_signals=False,
            checks=Checks() if checks is None else checks,
            start=start or {},
            homing=Homing() if homing is None else homing,
        )
        with as_config_error():
            named = isinstance(limits, Mapping)
            in_force(own, sheet.actuators, sheet.period_s, [f"limits[{row.name!r}]" for row in sheet.actuators] * named)
            robot = Robot(
                plant or url,
                link,
                config,
                port=url,
                arm=arm,
                has_reward=hello.reward or reward is not None,
                given=f"{plant}()" if isinstance(target, PythonDevice) else "",
            )
        robot._stack = stack.pop_all()
    return robot


def _port_of(target: Any, stack: ExitStack) -> tuple[str, str]:
    """The port of the target, and the name of its plant if any. `stack` closes what is started here.

    Raises:
        ConfigError: not a plant, port or device.
        DeviceError: the plant does not compile or start.
    """
    from rtu_edge.device import plants
    from rtu_edge.device.simulated import SimulatedDevice, simulated

    if isinstance(target, plants.Plant):
        limit = min(target.max_steps or 2**32 - 1, 2**32 - 1)
        name = target.sheet.name
        return stack.enter_context(SimulatedDevice(name, max_steps=limit, silence_ms=_SILENCE_MS)).port, name
    if isinstance(target, (str, os.PathLike)):
        name = os.fspath(target)
        if isinstance(name, str) and (name in plants.names() or name.endswith(".c")):
            return stack.enter_context(simulated(name, silence_ms=_SILENCE_MS)).port, name
        if isinstance(name, str) and ("/" in name or "://" in name or os.path.exists(name)):
            return name, ""
        raise ConfigError(f"target = {name!r}: {_no_such(str(name), plants.names())}")
    if isinstance(target, type):
        raise ConfigError(f"target = {target.__name__}: a class; give an instance: {target.__name__}()")
    serve = getattr(target, "serve", None)
    if callable(serve):
        served = stack.enter_context(serve())
        return str(served.port), type(target).__name__
    port = getattr(target, "port", None)
    if isinstance(port, str):
        return port, ""
    raise ConfigError(f"target = {target!r}: expected a plant's name, a port's path, a Plant, or a device")


def _no_such(name: str, plants: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, plants, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f"expected a plant ({', '.join(plants)}), or the path of a port, such as /dev/ttyACM0{hint}"
