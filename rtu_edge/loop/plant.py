"""What a session checks of its plant, for the native loop: checks, start region, homing controller, arming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_values
from rtu_edge.device.schema import DataSheet, Hello, Limits, scale_to
from rtu_edge.loop import checks as tables
from rtu_edge.loop.supervisor import function_policy, pd_policy

if TYPE_CHECKING:
    from rtu_edge.loop.options import LoopConfig

__all__ = ["OwnStart", "check_plant", "homing_policy", "plant_options"]

Array = npt.NDArray[np.float32]


def check_plant(config: LoopConfig, sheet: DataSheet) -> None:
    """Raises ConfigError for a name that the device does not have, or problems across fields."""
    homing = tables.settings_of(config.homing)
    found = [*tables.cross_check(config.checks, config.start, homing)]
    found += tables.unknown_names(config.checks, config.start, homing, sheet)
    if not isinstance(config.homing, tables.Homing) and not config.start:
        found.append("homing: a controller needs a start region: start={NAME: Start(min, max)}")
    if found:
        raise ConfigError(found)


def plant_options(
    config: LoopConfig, hello: Hello, sheet: DataSheet, limits: Sequence[Limits], *, own: bool = False
) -> dict[str, Any]:
    """Entries of the native options.

    Args:
        config: of check().
        limits: in force.
        own: for a script's own loop, which brings the plant to its start itself.

    Raises:
        ConfigError: a name that the device does not have, or a controller that is not available.
    """
    check_plant(config, sheet)
    settings = tables.settings_of(config.homing)
    policy = None if config.dry_run else homing_policy(config.homing, hello, sheet, limits)
    homes_itself = own and policy is not None
    return {
        "checks": tables.check_options(config.checks, sheet),
        "start": {} if homes_itself else tables.start_options(config.start, settings, sheet, policy),
        "arming": {} if config.dry_run else tables.arming_options(settings, config.ranges, hello, sheet),
        "observation_names": [row.name for row in sheet.observations],
        "actuator_names": [row.name for row in sheet.actuators],
    }


def homing_policy(
    homing: tables.Homing | tables.Controller, hello: Hello, sheet: DataSheet, limits: Sequence[Limits]
) -> Any:
    """The native policy of the controller on the host; None without one. Raises ConfigError."""
    given: tables.Controller | str
    if isinstance(homing, tables.Homing):
        if homing.kind is tables.HomingKind.PD:
            return pd_policy(homing.pd, sheet, limits).policy()
        if homing.kind is not tables.HomingKind.PYTHON:
            return None
        given = homing.function
    else:
        given = homing
    if not hello.simulated:
        raise ConfigError(
            "homing: a Python function only for simulated devices in the native loop, as it takes the interpreter lock;"
            ' give kind = "pd", or drive with step()'
        )
    return function_policy("homing.function", given, sheet, limits).policy()


class OwnStart:
    """The start of an episode in a script's own loop: what the native loop does, a call at a time.

    Args:
        config: start and homing.
        hello, sheet, limits: of the device; limits in force.

    Raises:
        ConfigError: the controller is not available.
    """

    def __init__(self, config: LoopConfig, hello: Hello, sheet: DataSheet, limits: Sequence[Limits]) -> None:
        self.settings = tables.settings_of(config.homing)
        self.checked = bool(config.start)
        self._sheet, self._limits = sheet, limits
        start = tables.start_options(config.start, self.settings, sheet, None)
        self._low, self._high = (np.array(start.get(end, ()), np.float32) for end in ("low", "high"))
        self.settle_steps, self.timeout_steps = (start.get(f"{name}_steps", 1) for name in ("settle", "timeout"))
        self._function = None if isinstance(config.homing, tables.Homing) else config.homing
        self._policy: Any = None if self._function else homing_policy(config.homing, hello, sheet, limits)

    @property
    def homes(self) -> bool:
        """A controller on the host brings the plant to its start."""
        return self._function is not None or self._policy is not None

    def outside(self, x: Array) -> str:
        """The first observation outside the start region, in words; "" inside."""
        for row, value, low, high in zip(self._sheet.observations, x, self._low, self._high, strict=True):
            if not low <= value <= high:
                return f"{row.name} = {value:.6g}, allowed {low:.6g} to {high:.6g}"
        return ""

    def command(self, x: Array, first: bool) -> Array:
        """The controller's command (m,) for an observation, at most `share` from rest.

        Raises:
            ConfigError: a function returned another shape, or values that are not finite.
        """
        low, high = (np.array([getattr(own, end) for own in self._limits], np.float32) for end in ("min", "max"))
        if self._function is not None:
            u = check_values("the homing function's result", self._function(x.copy(), first), low.shape)
        else:
            if first:
                self._policy.begin()
            status, action = self._policy.predict(x, False)
            if status < 0:
                raise ConfigError("homing.function: it raised, or returned no number for each actuator")
            u = scale_to(low, high, action)
        rest = np.array([own.rest for own in self._limits], np.float32)
        most = np.float32(self.settings.share) * (high - low)
        result: Array = np.clip(u, np.maximum(low, rest - most), np.minimum(high, rest + most)).astype(np.float32)
        return result
