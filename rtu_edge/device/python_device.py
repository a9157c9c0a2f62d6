"""A device written in Python: a class between any SDK and the loop, for plants at up to 50 Hz.

    class Arm(rtu.PythonDevice):
        period_s = 0.02
        observations = (rtu.Channel("angle", "rad", -3.2, 3.2),)
        actuators = (rtu.Channel("torque", "Nm", -2.0, 2.0, safe=rtu.Safe.OFF, slew=0.2),)

        def read(self): return [sdk.angle()]
        def write(self, u): sdk.torque(float(u[0]))
        def safe(self): sdk.brake()

    with rtu.connect(Arm(), arm=True, limits=...) as robot: ...

Sessions, TTL, limits, ESTOP and its latch are those of the firmware: the same C code runs here. Not
real-time: the interpreter decides when read() and write() run. docs/python_device.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_int, check_number
from rtu_edge.device.limits import sheet_problems
from rtu_edge.device.schema import Cap, Channel, DataSheet, Hello

if TYPE_CHECKING:
    from rtu_edge.device.served import ServedDevice

__all__ = ["PythonDevice", "load_device"]

Array = npt.NDArray[np.float32]

_PERIOD_S = (0.02, 10.0)
_TTL_MS = 200
_TIMEOUT_S = 0.1


class PythonDevice(ABC):
    """Base class of a device in Python. Subclasses set the data sheet and define read(), write() and safe().

    read(), write(), reset(), reward(), terminated(), open() and close() run one after the other on one thread of their
    own. safe() does so too, but where one of them hangs it runs on another thread at the same time.

    Attributes:
        period_s: s, 0.02 to 10; one read() and one write() per period.
        observations, actuators: Channel rows: name, unit, min, max; of an actuator also safe, slew (largest change per
            period, math.inf for no limit) and safe_value. At most 55 together.
        simulated: True only if no real hardware moves. False (the default) is real hardware: a host arms it only on
            explicit request.
        max_steps: length of an episode; 0: no limit. Needs reset().
        timeout_s: s; a read() or write() that takes longer is a fault. 0: two periods, at least 0.1 s.
        reset_timeout_s: s; the same for reset() and open().
        ttl_max_ms: longest time to live of a command; 0: 200, or three periods where that is more.
    """

    period_s: float
    observations: Sequence[Channel]
    actuators: Sequence[Channel]
    simulated: bool = False
    max_steps: int = 0
    timeout_s: float = 0.0
    reset_timeout_s: float = 60.0
    ttl_max_ms: int = 0

    @abstractmethod
    def read(self) -> Any:
        """Return the observation (n,), in the units of the channels. An exception is a fault, and so is a NaN."""

    @abstractmethod
    def write(self, u: Array) -> None:
        """Drive the actuators at u (m,), in the units of the channels, until the next call.

        Called each period while a command is in force, with values inside range and slew limit; without one only while
        an actuator with Safe.RAMP moves to its safe value. An exception is a fault.
        """

    @abstractmethod
    def safe(self) -> None:
        """Bring the plant to its safe behaviour: brake, torque off, hold. It may be called twice.

        Called at the start and the end of serving, and when no command is in force any more: too old, disarmed, ESTOP,
        end of an episode, a fault. Called again in the next period if it raises.
        """

    def open(self) -> None:  # noqa: B027
        """Called before the first read(): connect the SDK."""

    def close(self) -> None:  # noqa: B027
        """Called once after the last safe()."""

    def reset(self, seed: int) -> None:
        """Move the plant to the start of an episode; returns when it has arrived. Not defined: no RESET.

        Return at once if `stop_asked` is set: the session has ended meanwhile.

        Args:
            seed: 0 to 2^32 - 1.
        """
        raise NotImplementedError

    def reward(self, x: Array, u: Array) -> float:
        """Return the reward of the period that ends with the observation x (n,), in which u (m,) was applied. Not
        defined: the device sends none.
        """
        raise NotImplementedError

    def terminated(self, x: Array) -> bool:
        """Whether the episode ends with the observation x (n,). Needs reset()."""
        return False

    @property
    def stop_asked(self) -> threading.Event:
        """Set while no session holds the plant; reset() has to check it."""
        event: threading.Event = self.__dict__.setdefault("_stop_asked", threading.Event())
        return event

    def serve(self, link: str | os.PathLike[str] | None = None) -> ServedDevice:
        """Start the device behind a pseudo-terminal; a context manager whose `port` any host can open.

        Args:
            link: path of a symbolic link to the port, for a fixed name.

        Raises:
            ConfigError: an attribute cannot be used.
            DeviceError: it is already served; open() or the first read() failed or timed out.
        """
        from rtu_edge.device.served import ServedDevice

        return ServedDevice(self, link)

    def data_sheet(self) -> DataSheet:
        """Period and channels, checked.

        Raises:
            ConfigError: an invalid attribute: its name, value, and allowed values.
        """
        who = type(self).__name__
        for name in ("period_s", "observations", "actuators"):
            if not hasattr(self, name):
                raise ConfigError(f"{who}.{name}: missing")
        period_us = round(check_number(f"{who}.period_s", self.period_s, *_PERIOD_S) * 1e6)
        rows: list[Channel] = []
        for kind, given in (("observations", self.observations), ("actuators", self.actuators)):
            for index, row in enumerate(given):
                if not isinstance(row, Channel):
                    raise ConfigError(f"{who}.{kind}[{index}] = {row!r}: expected a Channel")
                rows.append(replace(row, index=len(rows), actuator=kind == "actuators"))
        n = len(self.observations)
        ttl = self.command_life_ms(period_us)
        hello = Hello(period_us=period_us, ttl_max_ms=ttl, observation_size=n, action_size=len(rows) - n)
        if problems := [f"{who}: {problem}" for problem in sheet_problems(hello, rows)]:
            raise ConfigError(problems)
        return DataSheet(period_us / 1e6, tuple(rows[:n]), tuple(rows[n:]))

    def command_life_ms(self, period_us: int) -> int:
        """Longest time to live of a command, ms."""
        given = check_int(f"{type(self).__name__}.ttl_max_ms", self.ttl_max_ms, 0, 60_000)
        return given or max(_TTL_MS, -(-3 * period_us // 1000))

    def call_limit_s(self) -> float:
        """Timeout of read() and write(), s."""
        given = check_number(f"{type(self).__name__}.timeout_s", self.timeout_s, 0.0, 60.0)
        return given or max(_TIMEOUT_S, 2 * self.period_s)

    def capabilities(self) -> Cap:
        """Capabilities of the class: SIMULATED if declared, RESET and REWARD if defined."""
        own = type(self)
        caps = Cap.SIMULATED if check_bool(f"{own.__name__}.simulated", self.simulated) else Cap(0)
        caps |= Cap.RESET if own.reset is not PythonDevice.reset else Cap(0)
        caps |= Cap.REWARD if own.reward is not PythonDevice.reward else Cap(0)
        if not caps & Cap.RESET and (own.terminated is not PythonDevice.terminated or self.max_steps):
            raise ConfigError(f"{own.__name__}: terminated() and max_steps need reset()")
        return caps


def load_device(name: str) -> PythonDevice:
    """Create the device defined in a file or module; runs its code.

    Args:
        name: FILE.py:CLASS or MODULE:CLASS; the class takes no arguments.

    Raises:
        ConfigError: no such file or class, it cannot be imported or created, or it is not a PythonDevice.
    """
    place, _, what = name.rpartition(":")
    if place.endswith(".py") and not os.path.isfile(place):
        raise ConfigError(f"{name}: no such file: {place}")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(os.path.basename(place)[:-3], place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        made = getattr(module, what, None)
        device = made() if made is not None else None
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ConfigError(f"{name}: {type(error).__name__}: {error}") from error
    if made is None:
        raise ConfigError(f"{name}: no class {what!r} in {place}{_classes_in(module)}")
    if not isinstance(device, PythonDevice):
        raise ConfigError(f"{name}: expected a subclass of rtu_edge.PythonDevice")
    return device


def _classes_in(module: ModuleType) -> str:
    found = [
        name
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, PythonDevice) and each is not PythonDevice
    ]
    return f"; it has {', '.join(found)}" if found else ""
