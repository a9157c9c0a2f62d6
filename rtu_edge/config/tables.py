"""The tables of a configuration, except those of the supervisor (loop/supervision.py)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated

import msgspec

from rtu_edge._base.strict import Number, Section, quoted
from rtu_edge.config.learner import Actions, Learner
from rtu_edge.config.learner import problems as check_learner
from rtu_edge.device.schema import Limits
from rtu_edge.loop.checks import Checks, Homing, Start
from rtu_edge.loop.checks import cross_check as check_plant
from rtu_edge.loop.flags import MOST_COMPANIONS, Clock
from rtu_edge.loop.supervision import Fallback, LearnerMonitor, Sensor, Supervisor, TakeOverTable
from rtu_edge.loop.supervision import cross_check as check_supervision

__all__ = [
    "Actions",
    "Checkpoint",
    "Clock",
    "Companion",
    "Config",
    "Device",
    "Learner",
    "LimitsTable",
    "Log",
    "Loop",
    "Reconnect",
    "Reward",
    "RewardSource",
    "Run",
    "cross_check",
]


class Dtr(str, enum.Enum):
    """State of the DTR line when a port is opened."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class RewardSource(str, enum.Enum):
    """Source of the reward."""

    DEVICE = "device"
    FORM = "form"


class Device(Section, frozen=True):
    """`[device]`: device to control; give one of `port`, `plant` and `bus`.

    Args:
        port: Serial port or pyserial URL; prefer /dev/serial/by-id/... (`rtu-edge ports` lists them)
        plant: Simulated plant behind a pty: cartpole, pendulum, servo, each also with -full, joint, or the path of a
            C file (docs/hil.md)
        bus: File of a servo bus, relative to the working directory; the run starts the server of the bus
            (docs/servo_bus.md)
        emulated: Emulated servos in place of the port of `bus`; with clock "lockstep" in virtual time
        firmware: Executable of the firmware that simulates `plant`, in place of the package's (`rtu-edge firmware`
            builds one); empty: the variable RTU_EDGE_FIRMWARE, or else the package's; the run's record has its path
        sim: Plant that `run --sim` simulates in place of `port`; as `plant`
        baud: Baud rate, for a port that has one
        dtr: DTR line when the port is opened; `auto` decides by the driver
        hello_timeout_s: Time to wait for a booting board, in seconds
        limits: Observations that must have a limit of the device's own (docs/protocol_limits.md); a device without one
            of them, such as one with an earlier firmware, is refused
    """

    port: str = ""
    plant: str = ""
    bus: str = ""
    emulated: bool = False
    firmware: str = ""
    sim: str = ""
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = 1_000_000
    dtr: Dtr = Dtr.AUTO
    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)] = 3.0
    limits: tuple[str, ...] = ()


class Companion(Section, frozen=True):
    """`[companion.NAME]`: a further device of the loop (docs/companions.md).

    Args:
        port: Port, as `device.port`
        plant: Plant, as `device.plant`
        baud: Baud rate
        dtr: DTR line, as `device.dtr`
        hello_timeout_s: Time to wait for HELLO, in seconds
        ttl_ms: Time to live of commands and observations, in milliseconds; 0: three periods, at least 20 ms
        age: Observe the age of its newest observation, as NAME.age
    """

    port: str = ""
    plant: str = ""
    baud: Annotated[int, msgspec.Meta(ge=1200, le=12_000_000)] = 1_000_000
    dtr: Dtr = Dtr.AUTO
    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)] = 3.0
    ttl_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    age: bool = False


class Loop(Section, frozen=True):
    """`[loop]`: timing.

    Args:
        clock: Source of the tick; `lockstep` is virtual time, simulated devices only
        period_us: Period that the file was written for, in microseconds; a device that differs by more than 20 % is
            refused; 0 accepts any period
        ttl_ms: Time to live of a command, in milliseconds; 0: three periods, at least 20 ms; otherwise at least one
            period of the device plus a round trip, and at least 1 ms; capped by the device
        realtime: Request locked memory, SCHED_FIFO and one core; refused requests are printed at the start; not with
            `lockstep`
        cpu: Core to pin the loop to; -1 for none; a core that this computer does not have is refused before arming
    """

    clock: Clock = Clock.DEVICE
    period_us: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    ttl_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    realtime: bool = False
    cpu: Annotated[int, msgspec.Meta(ge=-1, le=1023)] = -1


class Reconnect(Section, frozen=True):
    """`[reconnect]`: a device that comes back after a loss (docs/reconnect.md).

    Args:
        within_s: Longest time from its last observation to a new session, in seconds; 0: a lost link ends the run
        most: Reconnects per run; 0 disables the limit
        pose: Largest change of named observations meanwhile; required on real hardware
    """

    within_s: Annotated[float, msgspec.Meta(ge=0.0, le=600.0)] = 0.0
    most: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    pose: dict[str, Annotated[float, msgspec.Meta(gt=0.0)]] = msgspec.field(default_factory=dict)


class LimitsTable(Limits, frozen=True, kw_only=True):
    """`[limits.NAME]`: limits of the actuator NAME on the host, in its unit; required on real hardware.

    Args:
        min: Lower limit; the tighter of this and the device's own range holds
        max: Upper limit, above `min`; the tighter of this and the device's own range holds
        slew_per_s: Largest change per second; `inf` disables the limit; the change per period must exceed the float32
            spacing at the larger end of the range
        accel_per_s2: Largest change of the slew rate per second; `inf` disables the limit; required on real hardware
        rest: Value sent once before disarming, `min` to `max`
    """

    # The same five numbers, stricter: the slew is required, and rest defaults to 0.
    slew_per_s: Annotated[float, msgspec.Meta(gt=0.0)]
    accel_per_s2: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    rest: Number = 0.0


class Reward(Section, frozen=True):
    """`[reward]`: reward of a transition.

    Args:
        source: `device`: the reward in the device's frame; `form`: bias + sum quadratic_i (x_i - target_i)^2 +
            cosine_i cos(x_i - target_i) + action_k u_k^2
        bias: Constant of the form
        target: Target value of each observation, in its unit: one for each, or none for zeros
        quadratic: Weights of the squared distances from the targets, negative for a cost: one for each observation, or
            none
        cosine: Weights of the cosines of the distances from the targets: one for each observation, or none
        action: Weights of the squared commands: one for each actuator, or none
        min: Smallest valid reward; the learner does not learn from a smaller one
        max: Largest valid reward, above `min`; the learner does not learn from a larger one
    """

    source: RewardSource = RewardSource.DEVICE
    bias: Number = 0.0
    target: tuple[Number, ...] = ()
    quadratic: tuple[Number, ...] = ()
    cosine: tuple[Number, ...] = ()
    action: tuple[Number, ...] = ()
    min: Number | None = None
    max: Number | None = None


class Log(Section, frozen=True):
    """`[log]`: recording of a run (docs/log.md).

    Args:
        mcap: Write log.mcap, for reports, viewers, `rtu-edge promote` and `replay`
        blackbox_minutes: Time span of blackbox.rtubox at the device's rate, in minutes; 0 disables it
        hash_every: Records between two with a hash of the learner's state; 0 disables the hashes
        sessions_mib: Disk space for all sessions of a service, in MiB; the oldest are removed first; 0 disables the
            limit
    """

    mcap: bool = True
    blackbox_minutes: Annotated[float, msgspec.Meta(ge=0.0, le=1440.0)] = 5.0
    hash_every: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    sessions_mib: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 1024


class Run(Section, frozen=True):
    """`[run]`: length, seed and folder of a run.

    Args:
        name: Name of the run's folder, without a slash; empty: the file's name; a name in use gets a
            number, such as -2
        folder: Folder of all runs
        steps: Stop after this number of control steps
        seed: Random seed
        stop_return: Stop when the mean return of the last `stop_episodes` episodes is at least this
        stop_episodes: Number of episodes in that mean
        seconds: Stop after this time, in seconds; 0 disables the limit
    """

    name: str = ""
    folder: str = "runs"
    steps: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 100_000
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] = 0
    stop_return: Number | None = None
    stop_episodes: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 20
    seconds: Annotated[float, msgspec.Meta(ge=0.0, le=31_536_000.0)] = 0.0


class Checkpoint(Section, frozen=True):
    """`[checkpoint]`: checkpoints during a run (docs/checkpoint_run.md).

    Args:
        every_s: Time between checkpoints, in seconds; 0 disables them
        every_steps: Steps between checkpoints; 0 disables them
        keep: Number of checkpoints kept, the newest included
    """

    every_s: Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)] = 60.0
    every_steps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    keep: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 2


class Config(Section, frozen=True):
    """A whole configuration."""

    device: Device
    companion: dict[str, Companion] = msgspec.field(default_factory=dict)
    loop: Loop = Loop()
    reconnect: Reconnect = Reconnect()
    limits: dict[str, LimitsTable] = msgspec.field(default_factory=dict)
    reward: Reward = Reward()
    supervisor: Supervisor = Supervisor()
    fallback: Fallback = Fallback()
    take_over: TakeOverTable = TakeOverTable()
    learner_monitor: LearnerMonitor = LearnerMonitor()
    sensor: dict[str, Sensor] = msgspec.field(default_factory=dict)
    checks: Checks = Checks()
    start: dict[str, Start] = msgspec.field(default_factory=dict)
    homing: Homing = Homing()
    learner: Learner = Learner()
    log: Log = Log()
    run: Run = Run()
    checkpoint: Checkpoint = Checkpoint()


def _companion_problems(config: Config) -> Iterator[str]:
    for name, given in config.companion.items():
        where = f"companion.{name}"
        if bool(given.port) == bool(given.plant):
            yield f"{where} (port = {quoted(given.port)}, plant = {quoted(given.plant)}): give either port or plant"
        ports = [config.device.port, *(other.port for key, other in config.companion.items() if key != name)]
        if given.port and given.port in ports:
            yield f"{where}.port = {quoted(given.port)}: must be another port than that of each other device"
    if len(config.companion) > MOST_COMPANIONS:
        yield f"companion: {len(config.companion)} tables; must be at most {MOST_COMPANIONS}"
    if config.companion and config.loop.clock is not Clock.DEVICE:
        yield f'loop.clock = "{config.loop.clock.value}": must be "device" with [companion]; the first device ticks'
    if config.companion and config.reconnect.within_s > 0:
        yield f"reconnect.within_s = {config.reconnect.within_s:g}: must be 0 with [companion]; a stop of one stops all"


def cross_check(config: Config) -> Iterator[str]:
    """Checks across fields."""
    device, learner = config.device, config.learner
    if sum(map(bool, (device.port, device.plant, device.bus))) != 1:
        given = ", ".join(f"{key} = {quoted(getattr(device, key))}" for key in ("port", "plant", "bus"))
        yield f"device ({given}): give one of port, plant and bus"
    if device.emulated and not device.bus:
        yield "device.emulated = true: must be false without device.bus"
    if device.firmware and not (device.plant or device.sim):
        yield f"device.firmware = {quoted(device.firmware)}: only with plant or sim; a port has its own firmware"
    if device.firmware and device.plant.endswith(".c"):
        yield f"device.firmware = {quoted(device.firmware)}: not with a C file; plant = {quoted(device.plant)} is built"
    if config.loop.realtime and config.loop.clock is Clock.LOCKSTEP:
        yield 'loop.realtime = true: must be false with loop.clock = "lockstep"'
    yield from _companion_problems(config)
    if config.reconnect.within_s == 0 and (config.reconnect.most or config.reconnect.pose):
        yield "reconnect.within_s = 0.0: must be above 0 when most or pose is given"
    for name, limits in config.limits.items():
        if not limits.min < limits.max:
            yield f"limits.{name}.min = {limits.min:g}: must be below limits.{name}.max = {limits.max:g}"
        elif not limits.min <= limits.rest <= limits.max:
            yield f"limits.{name}.rest = {limits.rest:g}: must be from {limits.min:g} to {limits.max:g}"
    yield from check_learner(learner)
    reward = config.reward
    weights = (reward.quadratic, reward.cosine, reward.action, reward.target)
    if reward.source is RewardSource.DEVICE and (reward.bias or any(weights)):
        yield 'reward.source = "device": must be "form" when bias, target, quadratic, cosine or action is given'
    elif reward.target and not (reward.quadratic or reward.cosine):
        yield f"reward.target = {quoted(reward.target)}: has no effect without weights in reward.quadratic or .cosine"
    if reward.min is not None and reward.max is not None and not reward.min < reward.max:
        yield f"reward.min = {reward.min:g}: must be below reward.max = {reward.max:g}"
    yield from check_supervision(config.supervisor, config.fallback, config.sensor, config.take_over)
    yield from check_plant(config.checks, config.start, config.homing)
    if "/" in config.run.name or config.run.name in (".", ".."):
        yield f"run.name = {quoted(config.run.name)}: must be a folder's name, without a slash"
