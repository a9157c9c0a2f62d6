"""The tables of a configuration that say who may drive: [supervisor], [fallback], [guard], [gate.NAME]."""

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
    "Gate",
    "Guard",
    "InputAction",
    "Mode",
    "Pd",
    "Supervisor",
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
    """What a block of the A/B mode counts."""

    STEPS = "steps"
    EPISODES = "episodes"


class FallbackKind(str, enum.Enum):
    """What drives when the learner may not."""

    REST = "rest"
    HOLD = "hold"
    PD = "pd"
    CHECKPOINT = "checkpoint"
    C = "c"
    PYTHON = "python"


class InputAction(str, enum.Enum):
    """What to do about a value that the input gate finds fault with."""

    HOLD = "hold"
    CLAMP = "clamp"
    FALLBACK = "fallback"
    STOP = "stop"


Steps: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
SomeSteps: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Share: TypeAlias = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


class Ab(Section, frozen=True):
    """`[supervisor.ab]`: the learner has the first block, the fallback the second, and so on."""

    block: SomeSteps = 1000
    unit: AbUnit = AbUnit.STEPS


class Supervisor(Section, frozen=True):
    """`[supervisor]`: who drives, and how they change over.

    Args:
        dwell_steps: least time in the fallback.
        good_steps: without a finding, in a row, before the learner drives again.
        max_switches: to the fallback within switch_window steps; one more, and the fallback keeps driving.
        ab: see Ab.
        residual: largest correction per actuator, as a share of its range.
    """

    mode: Mode = Mode.LEARN
    dwell_steps: Steps = 50
    good_steps: Steps = 25
    max_switches: Annotated[int, msgspec.Meta(ge=1, le=64)] = 10
    switch_window: SomeSteps = 3000
    ab: Ab = Ab()
    residual: dict[str, Share] = msgspec.field(default_factory=dict)


class Pd(Section, frozen=True):
    """`[fallback.pd.NAME]`: the actuator NAME is driven to bias + sum p (target - x) - d dx/dt, in its own unit.

    Args:
        p, d, target: by the observation's name; dx/dt is the difference of two steps over the period.
    """

    bias: Number = 0.0
    p: dict[str, Number] = msgspec.field(default_factory=dict)
    d: dict[str, Number] = msgspec.field(default_factory=dict)
    target: dict[str, Number] = msgspec.field(default_factory=dict)


class Fallback(Section, frozen=True):
    """`[fallback]`: what drives when the learner may not.

    Args:
        kind: what it is.
        pd: one table per actuator; an actuator without one rests.
        checkpoint: of a learner, which drives frozen.
        library, symbol: a shared library and a function in it (native/bindings/c/rtu_edge_fallback.h).
        function: "module:name" of a Python function; simulated devices only.
    """

    kind: FallbackKind = FallbackKind.REST
    pd: dict[str, Pd] = msgspec.field(default_factory=dict)
    checkpoint: str = ""
    library: str = ""
    symbol: str = ""
    function: str = ""


class Guard(Section, frozen=True):
    """`[guard]`: what makes the learner's state suspect; it then returns to a snapshot that has survived.

    Args:
        enabled: False takes no snapshots; what is not finite still never drives.
        snapshot_steps, survive_steps: time between snapshots; how long one has to be good before it counts.
        snapshots: that have survived, kept.
        max_rollbacks: before anything survives again; one more, and the learner stays frozen.
        scan_kib: of the state, looked through in each step.
        weight_change: largest |w - w'| / |w'| of a section against the snapshot; 0: not looked at.
        td_error: largest |delta| as a multiple of its running mean; 0: not looked at.
        td_warmup: transitions before that.
        saturated_steps: with all actions at the same end, in a row; 0: not looked at.
        retention: largest retention of a pole; 1: not looked at.
        rate_window, rate: largest share of forced fallback steps in a window; 0: not looked at.
    """

    enabled: bool = True
    snapshot_steps: SomeSteps = 1000
    survive_steps: SomeSteps = 500
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


class Gate(Section, frozen=True):
    """`[gate.NAME]`: what may come in as the observation NAME, in its own unit.

    Args:
        min, max: the data sheet's where left out.
        spike: largest change per step; 0: not looked at.
        stuck_steps: with the same bits while the commands move; 0: not looked at.
        hold_steps: how long the last good value may stand in; then the fallback drives.
        on_dropout, on_range, on_spike, on_stuck: what to do.
    """

    min: Number | None = None
    max: Number | None = None
    spike: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 0.0
    stuck_steps: Steps = 0
    hold_steps: Steps = 5
    on_dropout: InputAction = InputAction.HOLD
    on_range: InputAction = InputAction.CLAMP
    on_spike: InputAction = InputAction.HOLD
    on_stuck: InputAction = InputAction.FALLBACK


_NEEDS = {
    FallbackKind.CHECKPOINT: ("checkpoint",),
    FallbackKind.C: ("library", "symbol"),
    FallbackKind.PYTHON: ("function",),
    FallbackKind.PD: ("pd",),
}


def cross_check(supervisor: Supervisor, fallback: Fallback, gates: dict[str, Gate]) -> Iterator[str]:
    """What no single field can tell."""
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
    for name, gate in gates.items():
        if gate.min is not None and gate.max is not None and not gate.min < gate.max:
            yield f"gate.{name}.min = {gate.min:g}: must be below gate.{name}.max = {gate.max:g}"
