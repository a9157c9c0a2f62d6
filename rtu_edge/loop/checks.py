"""Checks of the plant: that it does what is commanded, where it may be armed, how an episode begins.

The tables `[checks]`, `[start.NAME]` and `[homing]` of a configuration, and their conversion for the native loop, which
makes the decisions (native/runtime/safety/plant_checks.h, native/runtime/loop/start.h).
"""

from __future__ import annotations

import difflib
import enum
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from rtu_edge._base.strict import Number, Section, quoted
from rtu_edge.device.schema import Channel, DataSheet, Hello, LimitKind, Role
from rtu_edge.loop.supervision import Pd, Sensor, Share

__all__ = [
    "CheckedActuator",
    "CheckedObservation",
    "Checks",
    "Controller",
    "Findings",
    "Homing",
    "HomingKind",
    "Responds",
    "Start",
    "arming_options",
    "check_options",
    "cross_check",
    "finding_text",
    "homing_kind",
    "ranges_of",
    "settings_of",
    "start_options",
    "to_stderr",
    "unknown_names",
    "what_is_off",
]

Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=86_400.0)]

_RESPONDS = {"auto": 0, "yes": 1, "no": 2}
_EFFECT, _STILL, _REWARD = 1, 2, 3  # native: safety::Check


class Responds(str, enum.Enum):
    """Whether an observation has to respond to commands."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class HomingKind(str, enum.Enum):
    """What brings the plant to its start."""

    AUTO = "auto"
    NONE = "none"
    DEVICE = "device"
    PD = "pd"
    PYTHON = "python"


class CheckedObservation(Section, frozen=True):
    """`[checks.observation.NAME]`: check of the observation NAME.

    Args:
        moves: Largest spread of an observation that stands still, in its unit; without the key `checks.moves` holds
        responds: `auto`: expected to move once it has moved within episodes; `yes`: from the start; `no`: never, such
            as a target
    """

    moves: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] | None = None
    responds: Responds = Responds.AUTO


class CheckedActuator(Section, frozen=True):
    """`[checks.actuator.NAME]`: check of the actuator NAME.

    Args:
        effect: Check that the actuator has an effect
        observations: Observations that it moves; empty: those with a limit on its direction in the data sheet, else any
            observation that responds
    """

    effect: bool = True
    observations: tuple[str, ...] = ()


class Checks(Section, frozen=True):
    """`[checks]`: checks that the plant does what is commanded; a finding is a warning first, then a stop
    (docs/plant_checks.md).

    Args:
        effect: Check for an actuator that moves nothing although its command moves
        still: Check for an observation that stands still while the commands move
        reward: Check for a reward that stays non-finite
        warn_s: Duration of a finding until the warning, in seconds; at least `steps` steps
        stop_s: Duration of a finding until the stop, in seconds, at least `warn_s`
        steps: Shortest time until the warning, in steps
        command: Spread of a command that counts as a movement, as a share of the actuator's range
        moves: Largest spread of an observation that stands still, as a share of its range in the data sheet; without a
            finite range only equal values stand still
    """

    effect: bool = True
    still: bool = True
    reward: bool = True
    warn_s: Seconds = 5.0
    stop_s: Seconds = 10.0
    steps: Annotated[int, msgspec.Meta(ge=4, le=1_000_000)] = 100
    command: Share = 0.6
    moves: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1e-4
    observation: dict[str, CheckedObservation] = msgspec.field(default_factory=dict)
    actuator: dict[str, CheckedActuator] = msgspec.field(default_factory=dict)


class Start(Section, frozen=True, kw_only=False):
    """`[start.NAME]`: start region of the observation NAME, in its unit: where an episode may begin.

    Args:
        min: Smallest value; without the key there is no bound
        max: Largest value, above `min`; without the key there is no bound
    """

    min: Number | None = None
    max: Number | None = None


class Homing(Section, frozen=True):
    """`[homing]`: what brings the plant to its start region between episodes; nothing is learned meanwhile
    (docs/plant_checks.md).

    Args:
        kind: `device`: the device, on RESET; `pd`, `python`: a controller on the host, see the keys; `none`: a person;
            `auto`: `device` for a simulated device with RESET, otherwise `none`
        share: Largest command of the controller, from the actuator's rest value, as a share of its range
        settle_s: Time in the region before the episode begins, in seconds
        timeout_s: Time after which the run stops, in seconds
        function: Kind `python`: MODULE:NAME of a function that is called as function(x, first) and returns the
            actuators' values; simulated devices only
    """

    kind: HomingKind = HomingKind.AUTO
    share: Share = 1.0
    settle_s: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)] = 0.2
    timeout_s: Seconds = 60.0
    function: str = ""
    pd: dict[str, Pd] = msgspec.field(default_factory=dict)


# A homing controller in a script: of x (n,) and whether it is the first observation, to commands (m,) in their units.
Controller = Callable[[Any, bool], Any]


def settings_of(homing: Homing | Controller) -> Homing:
    """The settings; those of a function are the defaults."""
    return homing if isinstance(homing, Homing) else Homing(kind=HomingKind.NONE)


def cross_check(checks: Checks, start: Mapping[str, Start], homing: Homing) -> Iterator[str]:
    """Checks across fields."""
    if not checks.warn_s <= checks.stop_s:
        yield f"checks.stop_s = {checks.stop_s:g}: must be at least checks.warn_s = {checks.warn_s:g}"
    for name, region in start.items():
        low, high = -math.inf if region.min is None else region.min, math.inf if region.max is None else region.max
        if not low < high:
            yield f"start.{name}.min = {low:g}: must be below start.{name}.max = {high:g}"
    kind = homing.kind
    if kind in (HomingKind.PD, HomingKind.PYTHON) and not start:
        yield f'homing.kind = "{kind.value}": needs a start region: [start.NAME] for an observation or more'
    for key, needed in (("pd", HomingKind.PD), ("function", HomingKind.PYTHON)):
        given = bool(getattr(homing, key))
        if given and kind is not needed:
            yield f'homing.{key}: only with kind = "{needed.value}", not {quoted(kind.value)}'
        elif kind is needed and not given:
            yield f'homing.{key}: missing; kind = "{needed.value}" needs it'
    if homing.function and ":" not in homing.function:
        yield f"homing.function = {quoted(homing.function)}: must be MODULE:NAME"


def unknown_names(checks: Checks, start: Mapping[str, Start], homing: Homing, sheet: DataSheet) -> list[str]:
    """Names in these tables that the device does not have: one sentence each."""
    seen, driven = ([row.name for row in rows] for rows in (sheet.observations, sheet.actuators))
    used = [(f"checks.observation.{name}", name, seen, "observation") for name in checks.observation]
    used += [(f"checks.actuator.{name}", name, driven, "actuator") for name in checks.actuator]
    for actuator, own in checks.actuator.items():
        path = f"checks.actuator.{actuator}.observations"
        used += [(path, name, seen, "observation") for name in own.observations]
    used += [(f"start.{name}", name, seen, "observation") for name in start]
    for actuator, pd in homing.pd.items():
        used.append((f"homing.pd.{actuator}", actuator, driven, "actuator"))
        for key in ("p", "d", "target"):
            path = f"homing.pd.{actuator}.{key}"
            used += [(f"{path}.{name}", name, seen, "observation") for name in getattr(pd, key)]
    found = []
    for path, name, known, what in used:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            found.append(f"{path}: the device has no {what} {quoted(name)}; it has {', '.join(known)}{hint}")
    return found


def check_options(checks: Checks, sheet: DataSheet) -> dict[str, Any]:
    """The checks for the native loop; empty where all are off."""
    if not (checks.effect or checks.still or checks.reward):
        return {}
    names = [row.name for row in sheet.observations]
    own = [checks.observation.get(row.name, _checked(row)) for row in sheet.observations]
    driven = [checks.actuator.get(row.name, CheckedActuator()) for row in sheet.actuators]
    warn = max(math.ceil(checks.warn_s / sheet.period_s), checks.steps)
    return {
        "effect": checks.effect,
        "still": checks.still,
        "reward": checks.reward,
        "warn_steps": min(warn, 2**31),
        "stop_steps": min(math.ceil(warn * checks.stop_s / checks.warn_s), 2**32 - 1),
        "command": [
            checks.command * (row.max - row.min) if each.effect else math.inf
            for row, each in zip(sheet.actuators, driven, strict=True)
        ],
        "moves": [_moves(checks, row, each) for row, each in zip(sheet.observations, own, strict=True)],
        "responds": [_RESPONDS[each.responds.value] for each in own],
        "observations": [_mask(each, names, own, _linked(k, sheet)) for k, each in enumerate(driven)],
    }


def _checked(row: Channel) -> CheckedObservation:
    """The default of an observation: no answer to a command is expected of a slow one, of a brake, nor of the age of
    another device's observation (docs/companions.md), which is none of the plant.
    """
    slow = row.role in (Role.TEMPERATURE, Role.BUS_VOLTAGE, Role.BRAKE) or row.name.endswith(".age")
    return CheckedObservation(responds=Responds.NO) if slow else CheckedObservation()


def _moves(checks: Checks, row: Channel, own: CheckedObservation) -> float:
    if own.moves is not None:
        return own.moves
    width = row.max - row.min
    return checks.moves * width if math.isfinite(width) else 0.0


def _linked(actuator: int, sheet: DataSheet) -> tuple[str, ...]:
    """Observations that an actuator moves by the data sheet: they have a limit on its direction."""
    return tuple(
        row.name
        for row in sheet.observations
        if any(each.kind is LimitKind.DIRECTION and each.actuator == actuator for each in row.limits)
    )


def _mask(
    actuator: CheckedActuator, names: Sequence[str], own: Sequence[CheckedObservation], linked: Sequence[str]
) -> int:
    """A bit for each observation that an actuator moves: as configured, else by the data sheet, else all."""
    given = actuator.observations or linked
    moved = [
        name in given if given else each.responds is not Responds.NO for name, each in zip(names, own, strict=True)
    ]
    return sum(1 << index for index, each in enumerate(moved) if each)


def homing_kind(homing: Homing, hello: Hello) -> HomingKind:
    """The kind, without `auto`."""
    if homing.kind is not HomingKind.AUTO:
        return homing.kind
    return HomingKind.DEVICE if hello.simulated and hello.reset else HomingKind.NONE


def arming_options(
    homing: Homing, ranges: Mapping[str, tuple[float, float]], hello: Hello, sheet: DataSheet
) -> dict[str, Any]:
    """What is checked before ARM, for the native loop.

    Args:
        ranges: smallest and largest valid value of observations, by name; default: the data sheet's.
    """
    bounds = [ranges.get(row.name, (row.min, row.max)) for row in sheet.observations]
    return {
        "pose": homing_kind(homing, hello) is not HomingKind.DEVICE,
        "low": [low for low, _ in bounds],
        "high": [high for _, high in bounds],
    }


def ranges_of(sensors: Mapping[str, Sensor], sheet: DataSheet) -> dict[str, tuple[float, float]]:
    """Valid ranges of the observations: those of [sensor.NAME], else the data sheet's."""
    found = {}
    for row in sheet.observations:
        own = sensors.get(row.name, Sensor())
        found[row.name] = row.min if own.min is None else own.min, row.max if own.max is None else own.max
    return found


def start_options(start: Mapping[str, Start], homing: Homing, sheet: DataSheet, policy: Any) -> dict[str, Any]:
    """Start region and homing for the native loop; empty without a region.

    Args:
        policy: of the controller on the host, or None.
    """
    if not start:
        return {}
    own = [start.get(row.name, Start()) for row in sheet.observations]
    return {
        "low": [-math.inf if each.min is None else each.min for each in own],
        "high": [math.inf if each.max is None else each.max for each in own],
        "share": homing.share,
        "settle_steps": max(1, min(math.ceil(homing.settle_s / sheet.period_s), 2**31)),
        "timeout_steps": max(1, min(math.ceil(homing.timeout_s / sheet.period_s), 2**31)),
        "policy": policy,
    }


def what_is_off(checks: Checks) -> str:
    """The checks that are switched off, for a person, or ""."""
    off = [name for name in ("effect", "still", "reward") if not getattr(checks, name)]
    off += [f"actuator.{name}" for name, each in checks.actuator.items() if not each.effect]
    off += [f"observation.{name}" for name, each in checks.observation.items() if each.responds is Responds.NO]
    return f"checks that are off: {', '.join(off)}" if off else ""


def to_stderr(name: str) -> Callable[[str], None]:
    """Prints lines on standard error, each after the name of a robot."""

    def say(text: str) -> None:
        print(f"{name}: {text}", file=sys.stderr, flush=True)

    return say


class Findings:
    """Reports which checks are off, and the findings of the others as they begin.

    Args:
        checks: as configured.
        sheet: names of the channels.
        say: receives a line each; a finding begins with "warning: ".
    """

    def __init__(self, checks: Checks, sheet: DataSheet, say: Callable[[str], object]) -> None:
        self._sheet, self._say, self._word = sheet, say, 0
        if off := what_is_off(checks):
            say(off)

    def take(self, word: int) -> None:
        """LoopStatus.check, now."""
        if word != self._word and (text := finding_text(word, self._sheet)):
            self._say(f"warning: {text}")
        self._word = word


def finding_text(word: int, sheet: DataSheet | None = None) -> str:
    """A finding of LoopStatus.check in words, or ""; without a data sheet channels are numbers."""
    kind, channel = word & 255, word >> 8
    rows = () if sheet is None else sheet.actuators if kind == _EFFECT else sheet.observations
    name = rows[channel].name if channel < len(rows) else str(channel)
    if kind == _EFFECT:
        return f"actuator {name} is commanded and has no effect"
    if kind == _STILL:
        return f"observation {name} stands still while the commands move"
    return "the reward is not finite" if kind == _REWARD else ""
