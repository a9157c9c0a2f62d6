"""Options of a run, and their validation against device and policy."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool, check_choice, check_int, check_number, counted
from rtu_edge.device.limits import as_float, min_ttl_ms
from rtu_edge.device.schema import Channel, Hello, Limits, Safe
from rtu_edge.loop.checks import Checks, Controller, Homing, HomingKind, Start
from rtu_edge.loop.companions import Companion, checked, whole_hello
from rtu_edge.loop.flags import Clock
from rtu_edge.loop.person import Source

__all__ = ["Limits", "LoopConfig", "Reward", "check", "holds", "native_options"]


_KINDS = ("frame", "form", "callable")


class BlackBox(Protocol):
    """The store of the loop's last records: `rtu_edge.record.blackbox.BlackBox`."""

    @property
    def core(self) -> Any: ...


@dataclass(frozen=True)
class Reward:
    """Reward of a transition: from the device's frame, a native form, or a Python callable.

    The form is ``bias + sum quadratic_i (x_i - target_i)^2 + sum cosine_i cos(x_i - target_i) + sum action_k u_k^2``
    with x the observation that ends the transition (raw units) and u the applied command (actuator units).

    Args:
        kind: "frame", "form" or "callable".
        bias, quadratic, cosine, action: the form's weights; missing ones are 0.
        target: the value that each observation should have, in its unit; missing ones are 0.
        function: ``function(x, u) -> float`` on float32 arrays. Slower: takes the interpreter lock once per step, so
            that any thread that holds the lock stops the loop. Not for real hardware.
    """

    kind: str = "frame"
    bias: float = 0.0
    quadratic: Sequence[float] = ()
    cosine: Sequence[float] = ()
    action: Sequence[float] = ()
    target: Sequence[float] = ()
    function: Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], float] | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError for another kind; the numbers are checked with the device."""
        check_choice("reward.kind", self.kind, _KINDS)

    def native(self) -> dict[str, Any]:
        """Options for the native loop."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True)
class LoopConfig:
    """Options of a run.

    Args:
        limits: one per actuator, or empty for the device's own (simulated devices and dry runs only).
        clock: source of the tick.
        reward: see Reward.
        seed: base seed; episode k resets the plant with ``episode_seed(seed, k)``.
        session: session number, above all used since the device's boot; None: the next one.
        first_episode: number of the first episode, for its seed.
        learn: learn from transitions; False freezes the policy.
        explore: sample actions; False uses the mode of the policy. Learning requires exploration.
        dry_run: after the handshake nothing is written to the device (no ARM, CMD, RESET); the loop runs on the STATE
            the device streams, and the actions that the device reports as applied count as applied.
        steps, seconds, episodes: limits of commands, seconds of wall clock, and finished episodes; 0 = no limit. The
        result of the last command is still learned from. target_return: stop when the mean return of the last
        `target_window` episodes is at least this; None = never. returns: of the episodes before this session, oldest
        first, at most `target_window`; they count for the target. snapshots: reserve memory for a copy of the learner
        state, for take_snapshot(). ttl_ms: time to live of a command; 0 takes 3 periods (at least 20 ms). The device
        caps it. command_limiter: limits each command before it is sent (finite, range, slew). max_bad_actions:
        consecutive non-finite or failed actions before the run stops (until then the last is held). drop_updates:
        numbers of the transitions (from 0) whose weight update is dropped, ascending, in place of the
            deadline rule: to repeat a run, or to test. The rule itself never drops in lockstep.
        retry_ms, retries: lockstep: first wait before a command is sent again, and how often.
        ring_records, ring_episodes: telemetry that fits before records are dropped (and counted).
        reconnect_s: longest time from the last STATE of a device whose link was lost to a new session with it: the
            port is opened again by its name, and boot, data sheet and pose are checked; 0: a lost link ends the run.
        max_reconnects: then the next loss ends the run; 0: no limit.
        reconnect_pose: for each observation the largest change from the last step before the loss, inf for any finite
            value; empty: any finite values (simulated devices only).
        companions: further devices, at most 3, only with clock DEVICE and without reconnect; limits, reward and
            reconnect_pose then cover the channels of all devices, the loop's own first (companions.whole_sheet()).
        hash_every: records between two that hold a hash of everything that learns, for a replay to compare; 0: none.
        black_box: an open `rtu_edge.record.blackbox.BlackBox`, or None.
        realtime: ask for locked memory, SCHED_FIFO and one core (never in lockstep); what is refused is reported once.
        cpu: the core to pin the loop to, -1 for none.
        checks: that the plant does what is commanded: on unless switched off.
        start: region of observations in which an episode may begin, by name; another pose is refused, or homing changes
            it.
        homing: what brings the plant there between episodes: a Homing, or a function of an observation (n,) and whether
            it is the first, which returns commands (m,). Nothing is learned meanwhile.
        take_over: a person's source: a function of the newest observation (n,), or its name MODULE:NAME, that returns
            commands (m,), or None while hands are off (docs/take_over.md). Needs a supervisor. take_over_silence_ms,
            10 to 60000: time after which a source that has not returned is silent. take_over_back_s, 0 to 60: time of
            the way back from the person's last command.
        ranges: smallest and largest valid value of observations, by name, for arming; default: the data sheet's.
        handle_signals: first SIGINT, SIGTERM or SIGHUP: safe action, DISARM, stop; second SIGINT or SIGTERM: ESTOP.
    """

    limits: Sequence[Limits] = ()
    clock: Clock = Clock.LOCKSTEP
    reward: Reward = field(default_factory=Reward)
    seed: int = 0
    session: int | None = None
    first_episode: int = 1
    learn: bool = True
    explore: bool = True
    dry_run: bool = False
    steps: int = 0
    seconds: float = 0.0
    episodes: int = 0
    target_return: float | None = None
    target_window: int = 20
    returns: Sequence[float] = ()
    snapshots: bool = False
    ttl_ms: int = 0
    command_limiter: bool = True
    max_bad_actions: int = 5
    drop_updates: Sequence[int] = ()
    retry_ms: float = 100.0
    retries: int = 20
    reset_timeout_s: float = 60.0
    ring_records: int = 65536
    ring_episodes: int = 16384
    reconnect_s: float = 0.0
    max_reconnects: int = 0
    reconnect_pose: Sequence[float] = ()
    companions: Sequence[Companion] = ()
    hash_every: int = 100
    black_box: BlackBox | None = None
    realtime: bool = False
    cpu: int = -1
    handle_signals: bool = True
    checks: Checks = field(default_factory=Checks)
    start: Mapping[str, Start] = field(default_factory=dict)
    homing: Homing | Controller = field(default_factory=Homing)
    take_over: Source | str | None = None
    take_over_silence_ms: float = 200.0
    take_over_back_s: float = 1.0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


# The integers of a LoopConfig, and their ranges, both ends included.
_INTEGERS = {
    "seed": (0, 2**64 - 1),
    "session": (1, 2**32 - 1),
    "first_episode": (0, 2**32 - 1),
    "steps": (0, 2**63 - 1),
    "episodes": (0, 2**63 - 1),
    "target_window": (1, 1024),
    "ttl_ms": (0, 2**16 - 1),
    "max_bad_actions": (1, 1000),
    "retries": (0, 1_000_000),
    "ring_records": (1, 2**31 - 1),
    "ring_episodes": (1, 2**31 - 1),
    "max_reconnects": (0, 2**63 - 1),
    "hash_every": (0, 2**32 - 1),
    "cpu": (-1, 1023),
}
_SWITCHES = ("learn", "explore", "dry_run", "snapshots", "command_limiter", "realtime", "handle_signals")
_WEIGHTS = ("quadratic", "cosine", "action", "target")  # arrays of a Reward
_FLOAT_MAX = float(np.finfo(np.float32).max)


def holds(limits: Sequence[Limits], actuators: Sequence[Channel]) -> list[bool]:
    """Whether an actuator keeps its last command at a stop: if this is the device's safe behaviour and no
    rest is given.
    """
    return [each.safe == Safe.HOLD and (not limits or limits[i].rest is None) for i, each in enumerate(actuators)]


def native_options(
    config: LoopConfig, session: int, limits: Sequence[Limits], actuators: Sequence[Channel]
) -> dict[str, Any]:
    """Options for the native loop.

    Args:
        config: of check().
        session: number of a session that is not given.
        limits: in force.
        actuators: of the data sheet.
    """
    options: dict[str, Any] = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    options["clock"] = config.clock.value
    options["session"] = config.session if config.session is not None else session
    options["hold"] = holds(config.limits, actuators)
    options["safe"] = [actuator.safe_value for actuator in actuators]
    options["limits"] = limits
    options["reset_timeout_s"] = _reset_timeout_s(config)
    options["black_box"] = config.black_box.core if config.black_box is not None else None
    options["reward"] = config.reward.native()
    options["companions"] = [
        (each.link._core, each.link.next_session, each.ttl_ms, each.age) for each in config.companions
    ]
    return options


def _reset_timeout_s(config: LoopConfig) -> float:
    """A device that brings the plant to its start has the time of homing."""
    homing = config.homing
    if isinstance(homing, Homing) and homing.kind is HomingKind.DEVICE:
        return homing.timeout_s
    return config.reset_timeout_s


def check(config: LoopConfig, hello: Hello) -> LoopConfig:
    """The same with plain values of the right types.

    Raises:
        ValueError: an invalid value, or configuration and device do not match; the message names the field.
    """
    plain = _plain(config)
    _check_companions(plain)
    hello = whole_hello(hello, plain.companions)
    if plain.limits and len(plain.limits) != hello.action_size:
        raise ValueError(f"limits: {len(plain.limits)} given, the device has {counted(hello.action_size, 'actuator')}")
    if not plain.limits and not hello.simulated and not plain.dry_run:
        raise ValueError("limits: a device that is not simulated needs one entry per actuator")
    for index, limits in enumerate(plain.limits if not hello.simulated and not plain.dry_run else ()):
        for key in ("slew_per_s", "accel_per_s2"):
            if getattr(limits, key) is None:
                raise ValueError(
                    f"limits[{index}].{key}: missing; on real hardware give a number, or math.inf for none"
                )
    _check_timing(plain, hello)
    _check_reconnect(plain, hello)
    if plain.learn and not plain.explore:
        raise ValueError("learn: True needs explore=True")
    drops = plain.drop_updates
    if drops != sorted(set(drops)):
        raise ValueError("drop_updates: must be ascending numbers from 0 on, each once")
    if len(plain.returns) > plain.target_window:
        raise ValueError(f"returns: {len(plain.returns)}, allowed: {plain.target_window} at most")
    _check_reward(plain.reward, hello)
    return plain


def _plain(config: LoopConfig) -> LoopConfig:
    """Raises ValueError for a value of the wrong type."""
    found: dict[str, Any] = {}
    for name, (least, most) in _INTEGERS.items():
        value = getattr(config, name)
        found[name] = None if name == "session" and value is None else _integer(name, value, least, most)
    for name in _SWITCHES:
        found[name] = check_bool(name, getattr(config, name))
    found["seconds"] = check_number("seconds", config.seconds, 0.0, math.inf)
    for name in ("retry_ms", "reset_timeout_s"):
        found[name] = check_number(name, getattr(config, name), 0.0, math.inf, open_low=True)
    found["companions"] = tuple(checked(_items("companions", config.companions)))
    found["reconnect_s"] = check_number("reconnect_s", config.reconnect_s, 0.0, 600.0)
    pose = _items("reconnect_pose", config.reconnect_pose)
    found["reconnect_pose"] = tuple(check_number(f"reconnect_pose[{k}]", x, 0.0, math.inf) for k, x in enumerate(pose))
    if config.target_return is not None:
        found["target_return"] = check_number("target_return", config.target_return, -math.inf, math.inf)
    found["returns"] = _numbers("returns", config.returns)
    drops = _items("drop_updates", config.drop_updates)
    found["drop_updates"] = [_integer(f"drop_updates[{k}]", each, 0, 2**63 - 1) for k, each in enumerate(drops)]
    found["limits"] = [_plain_limits(k, each) for k, each in enumerate(_items("limits", config.limits))]
    if not isinstance(config.clock, Clock):
        raise ConfigError(f"clock = {config.clock!r}: expected one of {', '.join(map(str, Clock))}")
    if config.black_box is not None and not hasattr(config.black_box, "core"):
        raise ConfigError(f"black_box = {config.black_box!r}: expected an open BlackBox, or None")
    found["reward"] = _plain_reward(config.reward)
    found["take_over_silence_ms"] = check_number("take_over_silence_ms", config.take_over_silence_ms, 10.0, 60_000.0)
    found["take_over_back_s"] = check_number("take_over_back_s", config.take_over_back_s, 0.0, 60.0)
    if not (config.take_over is None or callable(config.take_over) or isinstance(config.take_over, str)):
        raise ConfigError(f"take_over = {config.take_over!r}: expected a function of an observation, or MODULE:NAME")
    _check_plant(config)
    return replace(config, **found)


def _check_plant(config: LoopConfig) -> None:
    """Types; names and numbers are checked with the device."""
    if not isinstance(config.checks, Checks):
        raise ConfigError(f"checks = {config.checks!r}: expected Checks")
    if not isinstance(config.homing, Homing) and not callable(config.homing):
        raise ConfigError(f"homing = {config.homing!r}: expected Homing, or a function of an observation")
    for name, given in dict(config.start).items():
        if not isinstance(given, Start):
            raise ConfigError(f"start[{name!r}] = {given!r}: expected Start")


def _integer(name: str, value: object, least: int, most: int) -> int:
    try:
        return check_int(name, value, least, most)
    except ConfigError:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        what = f"{value}, allowed: " if whole else f"{value!r}, allowed: an integer, "
        raise ValueError(f"{name}: {what}{least}..{most}") from None


def _items(name: str, value: object) -> list[Any]:
    try:
        return list(value)  # type: ignore[call-overload,no-any-return]
    except TypeError:
        raise ConfigError(f"{name} = {value!r}: expected a sequence") from None


def _numbers(name: str, value: object, largest: float = sys.float_info.max) -> list[float]:
    return [check_number(f"{name}[{k}]", each, -largest, largest) for k, each in enumerate(_items(name, value))]


def _plain_limits(index: int, given: object) -> Limits:
    """With floats; other values are kept, for in_force() to refuse."""
    if not isinstance(given, Limits):
        raise ConfigError(f"limits[{index}] = {given!r}: expected Limits")
    values = {name: getattr(given, name) for name in Limits.__struct_fields__}
    return Limits(**{key: value if (number := as_float(value)) is None else number for key, value in values.items()})


def _plain_reward(given: object) -> Reward:
    if not isinstance(given, Reward):
        raise ConfigError(f"reward = {given!r}: expected a Reward")
    weights = {name: _numbers(f"reward.{name}", getattr(given, name), _FLOAT_MAX) for name in _WEIGHTS}
    kind = check_choice("reward.kind", given.kind, _KINDS)
    bias = check_number("reward.bias", given.bias, -_FLOAT_MAX, _FLOAT_MAX)
    return Reward(kind, bias, function=given.function, **weights)


def _check_timing(config: LoopConfig, hello: Hello) -> None:
    if config.clock is Clock.LOCKSTEP and not (hello.lockstep and hello.simulated and hello.reset):
        raise ValueError("clock: lockstep needs a simulated device that offers lockstep and RESET")
    if config.clock is Clock.LOCKSTEP and config.realtime:
        raise ValueError("realtime: never together with lockstep")
    least = min_ttl_ms(hello.period_us)
    if config.ttl_ms != 0 and config.ttl_ms < least:
        raise ValueError(
            f"ttl_ms: {config.ttl_ms}, allowed: at least {least}, which is one period of {hello.period_us} us and 1 ms "
            "for"
            " the round trip, until the next command can be there; or 0 for three periods"
        )


def _check_companions(config: LoopConfig) -> None:
    if config.companions and config.clock is not Clock.DEVICE:
        raise ValueError(f"clock: {config.clock.value!r}, allowed with companions: 'device'")
    if config.companions and config.reconnect_s > 0:
        raise ValueError(f"reconnect_s: {config.reconnect_s:g}, allowed with companions: 0")


def _check_reconnect(config: LoopConfig, hello: Hello) -> None:
    pose, size = config.reconnect_pose, hello.observation_size
    if len(pose) not in (0, size):
        raise ValueError(f"reconnect_pose: {counted(len(pose), 'number')} given, the device has {size} observations")
    if config.reconnect_s > 0 and not hello.simulated and not config.dry_run and not any(map(math.isfinite, pose)):
        raise ValueError("reconnect_pose: missing; real hardware needs a limit for at least one observation")


def _check_reward(reward: Reward, hello: Hello) -> None:
    if reward.kind == "frame" and not hello.reward:
        raise ValueError("reward.kind: 'frame', but the device sends no reward; give a form")
    if reward.kind == "callable" and not callable(reward.function):
        raise ValueError("reward.function: needed for kind 'callable'")
    for name in _WEIGHTS:
        given, width = len(getattr(reward, name)), hello.action_size if name == "action" else hello.observation_size
        if given not in (0, width):
            raise ValueError(f"reward.{name}: {counted(given, 'number')} given, the device has {width}")
