"""Families of simulated machines: kinds of plant whose parameters are drawn from a seed (docs/families.md).

>>> machine = Machine("cartpole", seed=3)
>>> machine
Machine('cartpole', seed=3): x_m, theta_rad -> 1 actuator; 50 Hz, episodes of at most 500 steps
>>> observation, info = machine.reset(seed=7)
>>> observation, reward, terminated, truncated, info = machine.step([0.25])
>>> machine.parameters["mass_pole_kg"] == Machine("cartpole", seed=3).parameters["mass_pole_kg"]
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_int, check_number, check_values
from rtu_edge._bridge import ffi, lib
from rtu_edge.learn.native import Functions

__all__ = ["Addresses", "Half", "Kind", "Machine", "Parameter", "kind", "kinds"]

Half = Literal["chosen", "reported"]
_LARGEST_SEED = 2**32 - 1
_FORMS = ("cost", "bounded", "centred", "survival", "shaped")  # TL_REWARD_* of machine.h


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kind and how it is drawn.

    Attributes:
        name, unit: in the form of name_unit; "1" for a ratio.
        min, max: the range; equal ends make a constant.
        draw: "uniform", "log" (the logarithm is uniform) or "integer".
    """

    name: str
    unit: str
    min: float
    max: float
    draw: str


@dataclass(frozen=True)
class Kind:
    """One kind of machine.

    Attributes:
        name, title: what it is called.
        task: cost and end of an episode, in words.
        half: "chosen": defaults of learners may be chosen on it; "reported": results are reported on it.
        period_s: s, one step.
        observations: their names.
        observation_size, action_size: numbers of observations and actuators.
        continuing: True: episodes do not end.
        parameters: the common ones first.
    """

    name: str
    title: str
    task: str
    half: Half
    period_s: float
    observations: tuple[str, ...]
    action_size: int
    continuing: bool
    parameters: tuple[Parameter, ...]

    @property
    def observation_size(self) -> int:
        """Number of observations."""
        return len(self.observations)


@dataclass(frozen=True)
class Addresses:
    """Addresses for native code: functions with the types of tl_plant's reset, step and observe, and their state."""

    state: int
    reset: int
    step: int
    observe: int


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("ascii"))


def _kind(raw: Any) -> Kind:
    rows = (raw.parameters[i] for i in range(raw.n_parameters))
    draws = ("uniform", "log", "integer")
    return Kind(
        name=_text(raw.name),
        title=_text(raw.title),
        task=_text(raw.task),
        half="reported" if raw.reported else "chosen",
        period_s=raw.period_us / 1e6,
        observations=tuple(_text(raw.observations[i]) for i in range(raw.observation_size)),
        action_size=raw.action_size,
        continuing=bool(raw.continuing),
        parameters=tuple(Parameter(_text(r.name), _text(r.unit), r.min, r.max, draws[r.draw]) for r in rows),
    )


_ALL = tuple(lib.tl_machine_at(i) for i in range(lib.tl_machine_count()))
_RAW = {_text(raw.name): raw for raw in _ALL}
_KINDS = {name: _kind(raw) for name, raw in _RAW.items()}


def kinds(half: Half | None = None) -> tuple[str, ...]:
    """Names of the kinds of machine.

    >>> "cartpole" in kinds("chosen"), "cartpole" in kinds("reported")
    (True, False)

    Args:
        half: "chosen" or "reported"; None: both.

    Raises:
        ConfigError: another half.
    """
    if half not in (None, "chosen", "reported"):
        raise ConfigError(f"half = {half!r}: expected 'chosen', 'reported' or None")
    return tuple(name for name, found in _KINDS.items() if half in (None, found.half))


def kind(name: str) -> Kind:
    """Description of a kind of machine.

    Raises:
        ConfigError: no kind has this name.
    """
    return _described(name)


def _described(name: str) -> Kind:
    if name not in tuple(_KINDS):
        raise ConfigError(f"kind = {name!r}: expected one of {', '.join(_KINDS)}")
    return _KINDS[name]


@dataclass(frozen=True)
class _Sheet:
    """What StreamAC.from_env() and learn() read."""

    observation_size: int
    action_size: int
    period_s: float


_OWN_MEMORY = frozenset({"_machine", "_u", "_x", "_u_pointer", "_x_pointer", "description", "sheet"})  # not pickled


class Machine:
    """One machine of a family, with reset() and step() as Gymnasium has them.

    `StreamAC.from_env(machine)` and `agent.learn(machine, steps)` accept it.

    Args:
        kind: one of `kinds()`.
        seed: 0 to 2^32 - 1; the parameters follow from kind and seed alone.
        parameters: values that replace drawn ones, by name.

    Raises:
        ConfigError: an unknown kind or parameter, or a value out of range.
    """

    def __init__(self, kind: str, seed: int = 0, parameters: dict[str, float] | None = None) -> None:
        self.description = _described(kind)
        self._machine = ffi.new("tl_machine *")
        self.observation_size: int = self.description.observation_size
        self.action_size: int = self.description.action_size
        self.continuing: bool = self.description.continuing
        self.dt_s: float = self.description.period_s
        self.sheet = _Sheet(self.observation_size, self.action_size, self.dt_s)
        self._u = np.zeros(self.action_size, np.float32)
        self._x = np.zeros(self.observation_size, np.float32)
        self._u_pointer = ffi.from_buffer("float[]", self._u, require_writable=True)
        self._x_pointer = ffi.from_buffer("float[]", self._x, require_writable=True)
        self.redraw(seed)
        if parameters:
            self.change(**parameters)
            self.reset(0)
        self.next_seed = 0

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: a copy continues with the same bits."""
        kept = {key: value for key, value in self.__dict__.items() if key not in _OWN_MEMORY}
        return {**kept, "description": self.kind, "state_bytes": self.state_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        data = state.pop("state_bytes")
        Machine.__init__(self, state.pop("description"), state["seed"])
        if len(data) != len(ffi.buffer(self._machine)):
            raise ConfigError("a pickled Machine of another build")
        kind = self._machine.kind
        ffi.buffer(self._machine)[:] = data
        self._machine.kind = kind
        self.__dict__.update(state)

    def redraw(self, seed: int) -> None:
        """Become another machine of the same kind, at its start; changes are undone.

        Args:
            seed: as for the class.

        Raises:
            ConfigError: the seed is out of range; nothing has changed.
        """
        self.seed = check_int("seed", seed, 0, _LARGEST_SEED)
        lib.tl_machine_draw(self._machine, _RAW[self.description.name], self.seed)
        self.next_seed = 0

    @property
    def kind(self) -> str:
        """Name of the kind."""
        return self.description.name

    @property
    def max_steps(self) -> int:
        """Maximum number of steps of an episode; 0: episodes are not truncated."""
        return int(self._machine.parameters[lib.TL_MACHINE_LIMIT])

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters in force, by name, in the units of `kind(name).parameters`; a copy."""
        return {row.name: self._machine.parameters[i] for i, row in enumerate(self.description.parameters)}

    @property
    def reward_form(self) -> str:
        """ "cost", "bounded", "centred", "survival" or "shaped"."""
        return _FORMS[round(self.parameters["reward_form"])]

    def change(self, **values: float) -> None:
        """Change parameters while the machine runs: wear, a drifting sensor (bias), a flipped reward (reward_scale).

        >>> machine = Machine("cartpole")
        >>> machine.change(noise=0.0, reward_scale=-1.0)
        >>> machine.parameters["noise"]
        0.0

        Args:
            values: by name; up to about 4 times the range in which the parameter is drawn.

        Raises:
            ConfigError: an unknown name or a value out of range; nothing has changed.
        """
        rows = {row.name: (i, row) for i, row in enumerate(self.description.parameters)}
        before = ffi.new("tl_machine *", self._machine[0])
        try:
            for name, value in values.items():
                if name not in rows:
                    raise ConfigError(f"{name}: not a parameter of {self.kind}; there are {', '.join(rows)}")
                index, row = rows[name]
                if not lib.tl_machine_change(self._machine, index, check_number(name, value, -3e38, 3e38)):
                    raise ConfigError(
                        f"{name} = {value!r}: too far from the range in which it is drawn, {row.min:g} to {row.max:g}"
                    )
        except ConfigError:
            self._machine[0] = before[0]
            raise

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; start, targets and noise depend on this seed and the machine's.

        Args:
            seed: 0 to 2^32 - 1; None: the seed of the last episode plus one, or 0 for the first one.

        Returns:
            The first observation (observation_size,) float32, a copy; and {"episode_seed": the seed}.

        Raises:
            ConfigError: the seed is out of range; the episode continues.
        """
        used = self.next_seed if seed is None else check_int("seed", seed, 0, _LARGEST_SEED)
        lib.tl_machine_reset(self._machine, used)
        self.next_seed = (used + 1) % 2**32
        return self.observe(), {"episode_seed": used}

    def step(
        self, u: NDArray[np.floating[Any]] | Sequence[float]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One period.

        Args:
            u: (action_size,), each in [-1, 1]; values beyond are clamped.

        Returns:
            Observation (observation_size,) float32, reward, terminated, truncated, {}. After the end of an episode the
            machine does not move and the reward is 0.

        Raises:
            ConfigError: another shape, or a value that is not finite; the machine has not moved.
        """
        self._u[:] = check_values("u", u, self._u.shape)
        result = lib.tl_machine_step(self._machine, self._u_pointer)
        return self.observe(), result.reward, result.terminated, result.truncated, {}

    def scale(self, action: NDArray[np.floating[Any]] | Sequence[float]) -> NDArray[np.float32]:
        """The command of an agent's action: clipped to [-1, 1]."""
        return np.clip(check_values("action", action, self._u.shape), np.float32(-1.0), np.float32(1.0))

    def observe(self) -> NDArray[np.float32]:
        """The last observation, (observation_size,) float32, a copy."""
        lib.tl_machine_observe(self._machine, self._x_pointer)
        x: NDArray[np.float32] = self._x.copy()
        return x

    @property
    def state(self) -> NDArray[np.float32]:
        """The true state without noise, float32, a copy; its entries: the kind's C source."""
        count = self._machine.kind.state_size
        return np.array(list(self._machine.state[0:count]), np.float32)

    @property
    def state_bytes(self) -> bytes:
        """Everything that a step depends on, for comparing runs bit by bit."""
        copy = ffi.new("tl_machine *", self._machine[0])
        copy.kind = ffi.NULL  # an address, which differs between processes
        return bytes(ffi.buffer(copy))

    @property
    def pointer(self) -> Any:
        """The tl_machine * of rtu_edge._bridge; valid as long as this object exists."""
        return self._machine

    @property
    def addresses(self) -> Addresses:
        """For native code; valid as long as this object exists."""

        def number(pointer: Any) -> int:
            return int(ffi.cast("uintptr_t", pointer))

        functions = (number(ffi.addressof(lib, f"tl_machine_{name}")) for name in ("reset", "step", "observe"))
        return Addresses(number(self._machine), *functions)

    def native_plant(self) -> Functions | None:
        """For the native training loop; None for a derived class, whose own methods have to be called."""
        if type(self) is not Machine or self.__dict__.keys() & {"reset", "step", "observe", "scale"}:
            return None
        return Functions(**asdict(self.addresses))

    def __repr__(self) -> str:
        acted = "1 actuator" if self.action_size == 1 else f"{self.action_size} actuators"
        ends = "continuing" if self.continuing else f"episodes of at most {self.max_steps} steps"
        seen = ", ".join(self.description.observations)
        return f"Machine({self.kind!r}, seed={self.seed}): {seen} -> {acted}; {1.0 / self.dt_s:g} Hz, {ends}"
