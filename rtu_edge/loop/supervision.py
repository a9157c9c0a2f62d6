"""The tables of a configuration for the supervisor: [supervisor], [fallback], [learner_monitor], [sensor.NAME]."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec

from rtu_edge._base.strict import Number, Section, quoted

__all__ = [
    "Ab",
    "AbUnit",
    "Fallback",
    "FallbackKind",
    "LearnerMonitor",
    "Mode",
    "Pd",
    "Sensor",
    "SensorAction",
    "Supervisor",
    "TakeOverTable",
    "cross_check",
]


class Mode(str, enum.Enum):
    """Who drives."""

    OFF = "off"
    SHADOW = "shadow"
    AB = "ab"
    LEARN = "learn"
    FROZEN = "frozen"
    RESIDUAL = "residual"


class AbUnit(str, enum.Enum):
    """Unit of a block in the A/B mode."""

    STEPS = "steps"
    EPISODES = "episodes"


class FallbackKind(str, enum.Enum):
    """Kind of the fallback controller."""

    REST = "rest"
    HOLD = "hold"
    PD = "pd"
    CHECKPOINT = "checkpoint"
    C = "c"
    PYTHON = "python"


class SensorAction(str, enum.Enum):
    """Reaction of the sensor monitor to an invalid value."""

    HOLD = "hold"
    CLAMP = "clamp"
    FALLBACK = "fallback"
    STOP = "stop"


Steps: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
SomeSteps: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Share: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


class Ab(Section, frozen=True):
    """`[supervisor.ab]`: blocks of mode `ab`; the learner drives the first block, the fallback the second.

    Args:
        block: Length of a block
        unit: Unit of that length
    """

    block: SomeSteps = 1000
    unit: AbUnit = AbUnit.STEPS


class Supervisor(Section, frozen=True):
    """`[supervisor]`: which controller drives (docs/safety.md).

    Args:
        mode: `off`: the fallback; `shadow`: the fallback, the learner watches; `ab`: both in alternating blocks;
            `learn`: the learner; `frozen`: the learner without learning; `residual`: the fallback plus a bounded
            correction
        dwell_steps: Minimum time in the fallback, in steps
        recovery_steps: Consecutive steps without a finding before the learner drives again
        max_switches: Switches to the fallback within `switch_window`; after one more the fallback keeps driving
        switch_window: Window for `max_switches`, in steps
        residual: Largest correction of each actuator in mode `residual`, as a share of its range
    """

    mode: Mode = Mode.LEARN
    dwell_steps: Steps = 50
    recovery_steps: Steps = 25
    max_switches: Annotated[int, msgspec.Meta(ge=1, le=64)] = 10
    switch_window: SomeSteps = 3000
    ab: Ab = Ab()
    residual: dict[str, Share] = msgspec.field(default_factory=dict)


class Pd(Section, frozen=True):
    """`[fallback.pd.NAME]`: PD controller of the actuator NAME in its unit; without a table it rests.

    Args:
        bias: Constant; the command is bias + sum p (target - x) - d dx/dt
        p: Proportional gain by observation
        d: Derivative gain by observation; dx/dt is the difference of two steps over the period
        target: Target value by observation
    """

    bias: Number = 0.0
    p: dict[str, Number] = msgspec.field(default_factory=dict)
    d: dict[str, Number] = msgspec.field(default_factory=dict)
    target: dict[str, Number] = msgspec.field(default_factory=dict)


class Fallback(Section, frozen=True):
    """`[fallback]`: controller that drives when the learner may not.

    Args:
        kind: `rest`: rest value of the limits; `hold`: last action (in mode `residual`: rest); `pd`, `checkpoint`, `c`,
            `python`: see the keys; after 5 consecutive failures a fallback that has to drive ends the run at rest
        checkpoint: Kind `checkpoint`: file of the learner that drives frozen
        library: Kind `c`: shared library with a function as in native/bindings/c/rtu_edge_fallback.h
        symbol: Kind `c`: name of the function in `library`
        function: Kind `python`: MODULE:NAME of a function that is called as function(x, first) and returns the
            actuators' values; simulated devices only
    """

    kind: FallbackKind = FallbackKind.REST
    pd: dict[str, Pd] = msgspec.field(default_factory=dict)
    checkpoint: str = ""
    library: str = ""
    symbol: str = ""
    function: str = ""


class LearnerMonitor(Section, frozen=True):
    """`[learner_monitor]`: learner monitor; rolls back to the last validated snapshot when the learner's state is
    suspect.

    Args:
        enabled: Take snapshots; without them a non-finite action still never drives
        snapshot_steps: Steps between snapshots
        validation_steps: Steps without a finding before a snapshot is validated
        snapshots: Number of validated snapshots kept
        max_rollbacks: Rollbacks before another snapshot is validated; one more freezes the learner; 0: the first one
            freezes it
        scan_kib: Part of the state that is checked for non-finite values in each step, in KiB
        weight_change: Largest change of a section against the snapshot, as a share of its norm; 0 disables the check
        td_error: Largest TD error as a multiple of its running mean; 0 disables the check
        td_warmup: Transitions before the TD error is checked
        saturated_steps: Consecutive steps with all actions at the same limit; 0 disables the check
        retention: Largest retention of a pole; 1 disables the check
        rate_window: Window for `rate`, in steps; 0 disables the check
        rate: Largest share of steps in which the fallback was forced to drive
    """

    enabled: bool = True
    snapshot_steps: SomeSteps = 1000
    validation_steps: SomeSteps = 500
    snapshots: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2
    max_rollbacks: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 3
    scan_kib: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    weight_change: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] = 10.0
    td_error: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 100.0
    td_warmup: Steps = 1000
    saturated_steps: Steps = 500
    retention: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.9999
    rate_window: Steps = 3000
    rate: Share = 0.5


class Sensor(Section, frozen=True):
    """`[sensor.NAME]`: sensor monitor of the observation NAME, in its unit; without a table the data sheet's range
    holds.

    Args:
        min: Smallest valid value; without the key the data sheet's
        max: Largest valid value, above `min`; without the key the data sheet's
        spike: Largest change per step; 0 disables the check
        stuck_steps: Consecutive steps with the same bits while the commands change; 0 disables the check
        hold_steps: Longest time in which the last valid value stands in, in steps; then the fallback drives
        on_dropout: Reaction to NaN (a missing channel) or an infinity
        on_range: Reaction to a value out of range
        on_spike: Reaction to a spike
        on_stuck: Reaction to a value that does not change
    """

    min: Number | None = None
    max: Number | None = None
    spike: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0
    stuck_steps: Steps = 0
    hold_steps: Steps = 5
    on_dropout: SensorAction = SensorAction.HOLD
    on_range: SensorAction = SensorAction.CLAMP
    on_spike: SensorAction = SensorAction.HOLD
    on_stuck: SensorAction = SensorAction.FALLBACK


class TakeOverTable(Section, frozen=True):
    """`[take_over]`: a person who may drive in place of the learner; needs a fallback that holds the plant
    (docs/take_over.md).

    Args:
        function: MODULE:NAME of a function that is called as function(x) with the newest observation and returns the
            actuators' values, or None while hands are off; "": no take-over
        silence_ms: Time after which a function that has not returned counts as silent, in milliseconds: the fallback
            then drives; in lockstep it is waited for
        back_s: Time in which the difference between the person's last command and the controller's falls to 0, in
            seconds
    """

    function: str = ""
    silence_ms: Annotated[float, msgspec.Meta(ge=10.0, le=60_000.0)] = 200.0
    back_s: Annotated[float, msgspec.Meta(ge=0.0, le=60.0)] = 1.0


_NEEDS = {
    FallbackKind.CHECKPOINT: ("checkpoint",),
    FallbackKind.C: ("library", "symbol"),
    FallbackKind.PYTHON: ("function",),
    FallbackKind.PD: ("pd",),
}


def cross_check(
    supervisor: Supervisor, fallback: Fallback, sensors: dict[str, Sensor], take_over: TakeOverTable
) -> Iterator[str]:
    """Checks across fields."""
    if supervisor.mode is Mode.RESIDUAL and not supervisor.residual:
        yield 'supervisor.residual: missing; mode = "residual" needs a share for each actuator'
    for key in ("checkpoint", "library", "symbol", "function", "pd"):
        needed = key in _NEEDS.get(fallback.kind, ())
        given = bool(getattr(fallback, key))
        if needed and not given:
            yield f'fallback.{key}: missing; kind = "{fallback.kind.value}" needs it'
        if given and not needed:
            kinds = " or ".join(f'"{kind.value}"' for kind, keys in _NEEDS.items() if key in keys)
            yield f"fallback.{key}: only with kind = {kinds}, not {quoted(fallback.kind.value)}"
    if fallback.function and ":" not in fallback.function:
        yield f"fallback.function = {quoted(fallback.function)}: must be MODULE:NAME"
    if take_over.function and ":" not in take_over.function:
        yield f"take_over.function = {quoted(take_over.function)}: must be MODULE:NAME"
    for name, sensor in sensors.items():
        if sensor.min is not None and sensor.max is not None and not sensor.min < sensor.max:
            yield f"sensor.{name}.min = {sensor.min:g}: must be below sensor.{name}.max = {sensor.max:g}"
