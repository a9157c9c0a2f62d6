"""The log of a controller, as arrays: checks, episodes, and what its rows were worth (docs/start_good.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import NUMBERS, counted

__all__ = ["Demonstration", "demonstration", "value_targets"]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Demonstration:
    """What a controller did: rows as for StreamAC.run(), each an observation and the answer to it.

    Attributes:
        observations: (k, d), finite.
        actions: (k, action_size) in [-1, 1], or (k,) indices: the answer to each row; not used at an end.
        rewards: (k,), finite: of the transition into each row; not used where an episode starts.
        terminated, truncated: (k,) bool: the episode ended with this row; the next row starts another.
        demonstrated: (k,) bool: the answer is to be learned; elsewhere something else drove.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    demonstrated: Array

    @property
    def ends(self) -> Array:
        """(k,) bool: the last row of an episode, or of the log."""
        last = np.arange(len(self.rewards)) == len(self.rewards) - 1
        return np.asarray(self.terminated | self.truncated | last)

    def episodes(self) -> Iterator[slice]:
        """The rows of each."""
        start = 0
        for end in np.flatnonzero(self.ends):
            yield slice(start, int(end) + 1)
            start = int(end) + 1


def demonstration(
    agent: Any,
    observations: npt.ArrayLike,
    actions: npt.ArrayLike,
    rewards: npt.ArrayLike,
    terminated: npt.ArrayLike | None = None,
    truncated: npt.ArrayLike | None = None,
    demonstrated: npt.ArrayLike | None = None,
) -> Demonstration:
    """Checked arrays; see Demonstration.

    Raises:
        ConfigError: a shape, a value that is not finite, or an action out of range; the message names it.
    """
    config = agent.config
    kind = agent.dtype
    x = _numbers("observations", observations, (None, config["observation_size"]), kind)
    k = len(x)
    if k < 2:
        raise ConfigError(f"observations has {counted(k, 'row')}; expected 2 or more")
    flags = [
        np.full(k, default) if given is None else _flags(name, given, k)
        for name, given, default in (
            ("terminated", terminated, False),
            ("truncated", truncated, False),
            ("demonstrated", demonstrated, True),
        )
    ]
    discrete = config["n_actions"] is not None
    u = _numbers("actions", actions, (k,) if discrete else (k, config["action_size"]), kind)
    low, high = (0, config["n_actions"] - 1) if discrete else (-1.0, 1.0)
    used = ~(flags[0] | flags[1]) & flags[2] & (np.arange(k) < k - 1)
    wrong = used & ~((u >= low) & (u <= high) & (not discrete or u == np.round(u))).reshape(k, -1).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        numbers = "integers" if discrete else "numbers"
        raise ConfigError(f"actions[{row}] = {actions_text(u[row])}: expected {numbers} from {low} to {high}")
    if not used.any():
        raise ConfigError("demonstrated: no row with an action to learn")
    return Demonstration(x, u, _numbers("rewards", rewards, (k,), kind), *flags)


def actions_text(row: Array) -> str:
    """One action in few words."""
    return ", ".join(f"{value:g}" for value in np.atleast_1d(row))


def _array(name: str, value: npt.ArrayLike) -> Array:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:  # such as rows of different lengths
        raise ConfigError(f"{name}: {error}") from None


def _numbers(name: str, value: npt.ArrayLike, shape: tuple[int | None, ...], kind: Any) -> Float:
    """kind: the agent's dtype, in which they have to be finite."""
    given = _array(name, value)
    if given.dtype.kind not in NUMBERS or isinstance(value, np.ma.MaskedArray):
        raise ConfigError(f"{name}: expected real numbers, got dtype {given.dtype}")
    if given.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, given.shape, strict=True)):
        wanted = ", ".join("k" if n is None else str(n) for n in shape)
        raise ConfigError(f"{name} has shape {given.shape}, expected ({wanted})")
    try:
        found = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:  # of objects
        raise ConfigError(f"{name}: expected real numbers: {error}") from None
    with np.errstate(over="ignore"):
        finite = np.isfinite(found.astype(kind))
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(found), -1).all(axis=1)))
        raise ConfigError(f"{name}[{row}] is not finite in {np.dtype(kind).name}")
    return found


def _flags(name: str, value: npt.ArrayLike, k: int) -> Array:
    given = _array(name, value)
    if given.shape != (k,) or given.dtype.kind not in "bui" or not np.isin(given, (0, 1)).all():
        raise ConfigError(f"{name}: expected {k} values True or False, got shape {given.shape}, dtype {given.dtype}")
    return given.astype(bool)


def value_targets(demo: Demonstration, values: Float, rewards: Float, gamma: float, decay: float) -> Float:
    """(k,) G = r' + gamma ((1 - lambda) v' + lambda G'), of the row after each; at a cut the value itself, at a
    terminal row 0.

    Source: Sutton and Barto, Reinforcement Learning, 2018, equation 12.2, by recursion.
    """
    found = np.array(values, np.float64)
    ends = demo.ends
    for row in range(len(found) - 1, -1, -1):
        if ends[row]:
            found[row] = 0.0 if demo.terminated[row] else values[row]
        else:
            ahead = 0.0 if demo.terminated[row + 1] else (1.0 - decay) * values[row + 1] + decay * found[row + 1]
            found[row] = rewards[row + 1] + gamma * ahead
    return found
