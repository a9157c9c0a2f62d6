"""The job that `run` and `demo` share: a device, an agent, a native loop between them, and what it recorded."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rtu_edge import control, runtime
from rtu_edge.config import Actions, Clock, Config, RewardSource
from rtu_edge.errors import ConfigError, DeadlineError, DeviceError, ExitCode
from rtu_edge.log import Row, Stage, Summary
from rtu_edge.log.recording import Recording
from rtu_edge.planning import StepTimes, plan
from rtu_edge.ports import Port, open_port
from rtu_edge.runtime.config import tighter

if TYPE_CHECKING:
    from rtu_edge.checkpoint.saving import Saver
    from rtu_edge.supervise import Supervised

__all__ = [
    "KEEP",
    "POLL_S",
    "Connection",
    "Outcome",
    "Sheet",
    "Watch",
    "check_deadline",
    "connect",
    "describe",
    "exit_code",
    "loop_config",
    "make_agent",
    "run_loop",
    "stage_of",
    "supervised",
]

Array = npt.NDArray[Any]

# Called while a loop runs, with a status, the new step records and the new episode records.
Watch = Callable[[runtime.LoopStatus, Array, Array], None]

# Step records kept in memory: at 50 Hz about five hours; older ones are dropped and counted.
KEEP = 1_000_000

# Between two looks at a loop that runs.
POLL_S = 0.1

_SAFETY_REASONS = frozenset(
    {
        runtime.StopReason.ESTOP,
        runtime.StopReason.DEVICE_SAFE,
        runtime.StopReason.DEVICE_FAULT,
        runtime.StopReason.POLICY,
        runtime.StopReason.REWARD,
        runtime.StopReason.INPUT,
    }
)
_DEVICE_REASONS = frozenset(
    {
        runtime.StopReason.DEVICE_RESTART,
        runtime.StopReason.HALF_OPEN,
        runtime.StopReason.LINK_LOST,
        runtime.StopReason.ARM_REFUSED,
        runtime.StopReason.RESET_TIMEOUT,
    }
)


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
    """

    url: str
    plant: str
    port: Port
    link: runtime.Link
    hello: runtime.Hello
    observations: list[Row]
    actuators: list[Row]

    @property
    def period_s(self) -> float:
        """The device's period."""
        return self.hello.period_us / 1e6


@dataclass(frozen=True)
class Outcome:
    """A loop that has ended, with its telemetry."""

    session: int
    result: runtime.LoopResult
    progress: runtime.Progress
    records: Array
    episodes: Array


@contextmanager
def connect(config: Config) -> Iterator[Connection]:
    """Open the configured port, or start the simulated plant behind one, and shake hands.

    Raises:
        DeviceError: no port, no answer, or a simulated plant that does not start.
        ConfigError: the configuration was made for another device.
    """
    with ExitStack() as stack:
        url = config.device.port
        if config.device.plant:
            from rtu_edge.device import SimulatedDevice

            url = str(stack.enter_context(SimulatedDevice(plant=config.device.plant)).port)
        dtr = {"auto": None, "on": True, "off": False}[config.device.dtr.value]
        port = stack.enter_context(open_port(url, config.device.baud, dtr=dtr))
        try:
            link = stack.enter_context(runtime.Link(port, control=control.socket_path(url)))
            hello = link.handshake(config.device.hello_timeout_s)
            rows = link.describe()
        except runtime.LinkError as error:
            raise DeviceError(f"{url}: {error}") from error
        observations, actuators = (
            [Row(row.name, row.unit, row.minimum, row.maximum) for row in rows if row.actuator is kind]
            for kind in (False, True)
        )
        connection = Connection(url, config.device.plant, port, link, hello, observations, actuators)
        _check_against(config, connection)
        yield connection


def make_agent(config: Config, connection: Sheet, *, cell: str | None = None) -> Any:
    """The learner that the configuration describes, for the connected device.

    Args:
        config: the configuration.
        connection: gives the numbers of observations and actuators and the period.
        cell: another recurrent cell than the configured one: "none" for the memoryless control.

    Raises:
        ConfigError: the learner does not fit the device.
    """
    import rtu_edge as rtu

    arguments = config.learner.arguments()
    if cell is not None:
        arguments["cell"] = cell
    if config.learner.actions is Actions.DISCRETE:
        arguments["n_actions"] = config.learner.levels
    else:
        arguments["action_size"] = len(connection.actuators)
    try:
        return rtu.StreamAC(
            observation_size=len(connection.observations),
            seed=config.run.seed,
            dt_s=connection.period_s,
            **arguments,
        )
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"learner: {error}") from error


def loop_config(config: Config, connection: Connection, **changes: Any) -> runtime.LoopConfig:
    """The native loop's configuration; `changes` are fields of LoopConfig."""
    reward = config.reward
    base = runtime.LoopConfig(
        limits=[_limits(config, row) for row in connection.actuators],
        clock=runtime.Clock(config.loop.clock.value),
        reward=runtime.Reward(
            kind="frame" if reward.source is RewardSource.DEVICE else "form",
            bias=reward.bias,
            quadratic=reward.quadratic,
            cosine=reward.cosine,
            action=reward.action,
        ),
        seed=config.run.seed,
        steps=config.run.steps,
        seconds=config.run.seconds,
        target_return=config.run.stop_return,
        target_window=config.run.stop_episodes,
        ttl_ms=config.loop.ttl_ms,
        realtime=config.loop.realtime,
        cpu=config.loop.cpu,
    )
    return dataclasses.replace(base, **changes)


def supervised(
    config: Config, connection: Connection, agent: Any, loop: runtime.LoopConfig, state: bytes = b""
) -> Supervised:
    """The agent's policy with a supervisor around it, as the configuration has it.

    Args:
        state: of the supervisor that watched the agent until it was saved; b"" for a new one.

    Raises:
        CheckpointError: it is not that of this agent.
        ConfigError: it does not fit the device.
    """
    from rtu_edge.supervise import supervise

    link = connection.link
    try:
        limits = tighter(loop.limits, link.rows[link.hello.n_observations :], connection.period_s)
    except ValueError as error:
        raise ConfigError(f"limits: {error}") from error
    return supervise(
        config,
        agent.core.policy(),
        connection.observations,
        connection.actuators,
        limits,
        connection.period_s,
        simulated=connection.hello.simulated,
        state=state,
    )


def run_loop(
    connection: Connection,
    agent: Any,
    config: runtime.LoopConfig,
    watch: Watch | None = None,
    poll_s: float = POLL_S,
    saver: Saver | None = None,
    keep: int = KEEP,
    *,
    policy: Any = None,
    recording: Recording | None = None,
) -> Outcome:
    """Run one session from ARM to DISARM; `saver` saves it meanwhile, `recording` writes it down. Of its step records the
    last `keep` are kept.

    Args:
        policy: what drives, such as `supervised(...).policy`; the agent alone where left out.

    Raises:
        ConfigError: loop, policy and device do not fit.
    """
    config = dataclasses.replace(config, snapshots=saver is not None and saver.periodic)
    if recording is not None:
        config = recording.prepare(config)
    try:
        loop = runtime.Loop(connection.link, policy if policy is not None else agent.core.policy(), config)
    except ValueError as error:
        raise ConfigError(f"loop: {error}") from error
    if recording is not None:
        recording.start(loop, supervised=policy is not None)
    kept: list[Array] = [loop.drain()]
    episodes: list[Array] = [loop.drain_episodes()]
    count, piece = 0, max(1, keep // 10)

    def take(status: runtime.LoopStatus, new: Array) -> None:
        nonlocal count
        finished = loop.drain_episodes()
        # In pieces: what has piled up in one poll does not stay for another `keep` records.
        kept.extend(new[at : at + piece].copy() for at in range(0, len(new), piece))
        if len(finished):
            episodes.append(finished)
        count += len(new)
        while count - len(kept[0]) > keep:
            count -= len(kept.pop(0))
        if recording is not None:
            recording.add(new, finished)
        if watch is not None:
            watch(status, new, finished)

    with loop, nullcontext() if saver is None else saver.during(loop):
        result = loop.run(take, poll_s)
    if recording is not None:
        recording.finish(result)
    return Outcome(loop.session, result, loop.progress(), np.concatenate(kept), np.concatenate(episodes))


def stage_of(result: runtime.LoopResult, counters: Mapping[str, int] | None = None) -> Stage:
    """A loop's result as the summary keeps it, with counters of others."""
    return Stage(
        steps=result.steps,
        episodes=result.episodes,
        seconds=result.seconds,
        reason=result.reason.value,
        message=result.message,
        mean_return=result.mean_return if math.isfinite(result.mean_return) else None,
        counters={**result.counters, **(counters or {})},
        link=result.link.known(),
        privileges=list(result.privileges),
    )


def describe(summary: Summary, connection: Connection, agent: Any) -> None:
    """Write device and learner into a summary."""
    hello = connection.hello
    summary.period_s = connection.period_s
    summary.observations = connection.observations
    summary.actuators = connection.actuators
    summary.device = {
        "port": connection.url,
        "plant": connection.plant,
        "firmware": hello.firmware,
        "boot_id": f"{hello.boot_id:08x}",
        "schema_hash": f"{hello.schema_hash:08x}",
        "ttl_max_ms": str(hello.ttl_max_ms),
    }
    summary.learner = {str(key): value for key, value in _plain(agent.config).items()}
    summary.learner_bytes = int(agent.nbytes)


def check_deadline(agent: Any, period_s: float) -> StepTimes:
    """Measure a step of such a learner on this machine, for a fifth of a second; the agent is not touched.

    Returns:
        Its parts. Where only the update does not fit, the deadline rule will drop some.

    Raises:
        DeadlineError: predict and traces, which are never dropped, do not fit the period: there is no point in arming.
    """
    times = plan(agent.config).calibrate().times
    assert times is not None
    needed_us, period_us = times.predict_us + times.traces_us, period_s * 1e6
    if needed_us > period_us:
        raise DeadlineError(
            f"predict and traces take {needed_us:.3g} us on this machine ({times.isa}), the device's period is"
            f" {period_us:.3g} us: choose a smaller learner (`rtu-edge plan`), or a longer period"
        )
    return times


def exit_code(result: runtime.LoopResult) -> ExitCode:
    """What a process ends with after this loop."""
    if result.reason in _SAFETY_REASONS:
        return ExitCode.SAFETY_STOP
    if result.reason in _DEVICE_REASONS:
        return ExitCode.DEVICE
    return ExitCode.OK if result.confirmed else ExitCode.SAFETY_STOP


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _limits(config: Config, row: Row) -> runtime.Limits:
    given = config.limits.get(row.name)
    if given is None:
        return runtime.Limits(row.minimum, row.maximum)
    slew = given.slew_per_s if math.isfinite(given.slew_per_s) else None
    accel = given.accel_per_s2 if given.accel_per_s2 is not None and math.isfinite(given.accel_per_s2) else None
    return runtime.Limits(given.min, given.max, slew, given.rest, accel)


def _check_against(config: Config, connection: Connection) -> None:
    """What only the device can tell about a configuration."""
    found = []
    names = [row.name for row in connection.actuators]
    for name in config.limits:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'; did you mean "limits.{close[0]}"?' if close else ""
            found.append(f"limits.{name}: the device has no such actuator; it has {', '.join(names)}{hint}")
    if not connection.hello.simulated:
        found += [
            f"limits.{name}: missing; real hardware needs explicit min, max, slew_per_s and accel_per_s2"
            " for each actuator"
            for name in names
            if name not in config.limits
        ]
        found += [
            f"limits.{name}.accel_per_s2: missing; on real hardware it has to be said, inf for none"
            for name in names
            if name in config.limits and config.limits[name].accel_per_s2 is None
        ]
    expected = config.loop.period_us
    if expected and abs(expected - connection.hello.period_us) > 0.2 * expected:
        found.append(f"loop.period_us = {expected}: must be within 20 % of the device's {connection.hello.period_us}")
    if config.loop.clock is Clock.LOCKSTEP and not (connection.hello.simulated and connection.hello.lockstep):
        found.append('loop.clock = "lockstep": only for a simulated device that offers it')
    if config.learner.actions is Actions.DISCRETE and len(names) != 1:
        found.append(f'learner.actions = "discrete": only with one actuator; the device has {len(names)}')
    if found:
        raise ConfigError(found)
