"""The tables of a configuration, but for those that say who may drive (loop/supervision.py)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from rtu_edge._base.strict import Number, Section, quoted
from rtu_edge.loop.supervision import Fallback, Gate, Guard, Supervisor
from rtu_edge.loop.supervision import cross_check as check_supervision

__all__ = [
    "Actions",
    "Checkpoint",
    "Clock",
    "Config",
    "Device",
    "Learner",
    "Limits",
    "Log",
    "Loop",
    "Reward",
    "RewardSource",
    "Run",
    "cross_check",
]


class Clock(str, enum.Enum):
    """What makes the loop's tick; the words of rtu_edge.loop.Clock."""

    DEVICE = "device"
    HOST = "host"
    LOCKSTEP = "lockstep"


class Dtr(str, enum.Enum):
    """What to do with the DTR line when a port is opened."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class RewardSource(str, enum.Enum):
    """Where the reward comes from."""

    DEVICE = "device"
    FORM = "form"


class Actions(str, enum.Enum):
    """Continuous actions, or evenly spaced levels between the limits of one actuator."""

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"


class Cell(str, enum.Enum):
    """The recurrent cell; none is the memoryless control."""

    LINEAR = "linear"
    NONLINEAR = "nonlinear"
    NONE = "none"


class Activation(str, enum.Enum):
    """The cell's activation."""

    RELU = "relu"
    TANH = "tanh"
    IDENTITY = "identity"


class Body(str, enum.Enum):
    """One body for actor and critic, or one each."""

    SEPARATE = "separate"
    SHARED = "shared"


class Optimizer(str, enum.Enum):
    """How a weight moves."""

    OBGD = "obgd"
    SGD = "sgd"
    ADAM = "adam"


class Dtype(str, enum.Enum):
    """The learner's number format."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


Width: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65536)]
Unit: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Device(Section, frozen=True):
    """`[device]`: the machine at the other end; a real port, or a simulated plant, never both.

    Args:
        plant: a name, or the C file of a plant of one's own.
        sim: what `run --sim` simulates in place of the port; as plant.
    """

    port: str = ""
    plant: str = ""
    sim: str = ""
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = 1_000_000
    dtr: Dtr = Dtr.AUTO
    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)] = 3.0


class Loop(Section, frozen=True):
    """`[loop]`: timing.

    Args:
        period_us: what the configuration was made for; a device that differs by more than 20 % is refused. 0: any.
        ttl_ms: life of a command; 0 takes three periods, at least 20 ms. The device caps it.
        realtime: ask for locked memory, SCHED_FIFO and one core. Never in lockstep.
        cpu: the core to pin the loop to, -1 for none.
    """

    clock: Clock = Clock.DEVICE
    period_us: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    ttl_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    realtime: bool = False
    cpu: Annotated[int, msgspec.Meta(ge=-1, le=1023)] = -1


class Limits(Section, frozen=True):
    """`[limits.NAME]`: what the gate lets through to the actuator NAME, in the actuator's unit.

    Args:
        slew_per_s: largest change per second; inf for none, but it has to be said.
        accel_per_s2: largest change of that per second; inf for none, but on real hardware it has to be said.
        rest: sent once before disarming.
    """

    min: Number
    max: Number
    slew_per_s: Annotated[float, msgspec.Meta(gt=0.0)]
    accel_per_s2: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    rest: Number = 0.0


class Reward(Section, frozen=True):
    """`[reward]`: from the device's frame, or bias + sum w_i x_i^2 + c_i cos(x_i) + a_k u_k^2.

    Args:
        min, max: a reward outside is not learned from.
    """

    source: RewardSource = RewardSource.DEVICE
    bias: Number = 0.0
    quadratic: tuple[Number, ...] = ()
    cosine: tuple[Number, ...] = ()
    action: tuple[Number, ...] = ()
    min: Number | None = None
    max: Number | None = None


class TraceDecay(Section, frozen=True):
    """`[learner.trace_decay]`: lambda of each parameter group."""

    recurrent: Unit
    body: Unit
    head: Unit


class Step(Section, frozen=True):
    """`[learner.actor]` and `[learner.critic]`."""

    step_size: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)] = 1.0
    kappa: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)] = 2.0


class Learner(Section, frozen=True):
    """`[learner]`: arguments of StreamAC. A key left out takes the learner's own default."""

    actions: Actions = Actions.CONTINUOUS
    levels: Annotated[int, msgspec.Meta(ge=2, le=64)] = 2
    units: Width | None = None
    hidden: Width | tuple[Width, ...] | None = None
    cell: Cell | None = None
    activation: Activation | None = None
    units_per_pole: Width | None = None
    body: Body | None = None
    gamma: Unit | None = None
    trace_decay: Unit | TraceDecay | None = None
    optimizer: Optimizer | None = None
    actor: Step | None = None
    critic: Step | None = None
    entropy: Annotated[float, msgspec.Meta(ge=0.0, le=10.0)] | None = None
    r_min: Unit | None = None
    r_max: Unit | None = None
    max_phase: Annotated[float, msgspec.Meta(gt=0.0, le=6.2832)] | None = None
    sparsity: Unit | None = None
    sigma_floor: Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)] | None = None
    normalize_observation: bool | None = None
    observation_bound: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] | None = None
    scale_reward: bool | None = None
    recompute: bool | None = None
    dtype: Dtype | None = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for StreamAC, those the file gives (without the action's width and the seed)."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        for key in ("actions", "levels"):
            del plain[key]
        if isinstance(plain["hidden"], list):
            plain["hidden"] = tuple(plain["hidden"])
        return {key: value for key, value in plain.items() if value is not None}


class Log(Section, frozen=True):
    """`[log]`: what a run writes down while it goes on.

    Args:
        mcap: log.mcap, which viewers open and `rtu-edge replay` runs again.
        blackbox_minutes: how far back blackbox.rtubox reaches; 0: none.
        hash_every: records between two that hold a hash of everything that learns; 0: none.
        sessions_mib: what the sessions of a service may take together before the oldest are removed; 0: no bound.
    """

    mcap: bool = True
    blackbox_minutes: Annotated[float, msgspec.Meta(ge=0.0, le=1440.0)] = 5.0
    hash_every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    sessions_mib: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 1024


class Run(Section, frozen=True):
    """`[run]`: how long, from which seed, and where the results go.

    Args:
        name: of the run's folder; "" takes the file's name.
        steps, seconds: stop after so many control steps, or so much wall clock; 0 s: no limit.
        stop_return, stop_episodes: stop when the mean return of the last episodes is at least this.
    """

    name: str = ""
    folder: str = "runs"
    steps: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 100_000
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] = 0
    stop_return: Number | None = None
    stop_episodes: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 20
    seconds: Annotated[float, msgspec.Meta(ge=0.0, le=31_536_000.0)] = 0.0


class Checkpoint(Section, frozen=True):
    """`[checkpoint]`: what a run saves of itself while it goes on.

    Args:
        every_s, every_steps: save when so much wall clock, or so many steps, have passed since the last time; 0: never.
        keep: checkpoints in all, the newest and those before it.
    """

    every_s: Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)] = 60.0
    every_steps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    keep: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 2


class Config(Section, frozen=True):
    """A whole configuration."""

    device: Device
    loop: Loop = Loop()
    limits: dict[str, Limits] = msgspec.field(default_factory=dict)
    reward: Reward = Reward()
    supervisor: Supervisor = Supervisor()
    fallback: Fallback = Fallback()
    guard: Guard = Guard()
    gate: dict[str, Gate] = msgspec.field(default_factory=dict)
    learner: Learner = Learner()
    log: Log = Log()
    run: Run = Run()
    checkpoint: Checkpoint = Checkpoint()


def cross_check(config: Config) -> Iterator[str]:
    """What no single field can tell."""
    device, learner = config.device, config.learner
    if bool(device.port) == bool(device.plant):
        given = f"port = {quoted(device.port)}, plant = {quoted(device.plant)}"
        yield f"device ({given}): give either port or plant, not both"
    if config.loop.realtime and config.loop.clock is Clock.LOCKSTEP:
        yield 'loop.realtime = true: must be false with loop.clock = "lockstep"'
    for name, limits in config.limits.items():
        if not limits.min < limits.max:
            yield f"limits.{name}.min = {limits.min:g}: must be below limits.{name}.max = {limits.max:g}"
        elif not limits.min <= limits.rest <= limits.max:
            yield f"limits.{name}.rest = {limits.rest:g}: must be from {limits.min:g} to {limits.max:g}"
    low = 0.0 if learner.r_min is None else learner.r_min
    high = 1.0 if learner.r_max is None else learner.r_max
    if not low < high:
        yield f"learner.r_min = {low:g}: must be below learner.r_max = {high:g}"
    reward = config.reward
    weights = (reward.quadratic, reward.cosine, reward.action)
    if reward.source is RewardSource.DEVICE and (reward.bias or any(weights)):
        yield 'reward.source = "device": must be "form" when bias, quadratic, cosine or action is given'
    if reward.min is not None and reward.max is not None and not reward.min < reward.max:
        yield f"reward.min = {reward.min:g}: must be below reward.max = {reward.max:g}"
    yield from check_supervision(config.supervisor, config.fallback, config.gate)
    if "/" in config.run.name or config.run.name in (".", ".."):
        yield f"run.name = {quoted(config.run.name)}: must be a folder's name, without a slash"
