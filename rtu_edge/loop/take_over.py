"""A person who takes over from an agent, in a loop of your own.

>>> import rtu_edge as rtu
>>> with rtu.connect("cartpole") as robot:
...     agent = rtu.StreamAC.from_env(robot, seed=0)
...     hands = robot.take_over(agent, lambda x: [5.0] if x[0] < 0.0 else None)
...     command = hands.reset(*robot.reset(seed=1))
...     for _ in range(5):
...         command = hands.step(*robot.step(command))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_number, check_values
from rtu_edge.device.schema import DataSheet, Limits, scale_to
from rtu_edge.loop.demonstrated import shares
from rtu_edge.loop.person import Source, asked, back_steps

if TYPE_CHECKING:
    from rtu_edge.learn.cloning import CloneResult

__all__ = ["Source", "TakeOver"]

Array = npt.NDArray[np.float32]
Row = tuple[Array, Array, float, bool, bool, bool]  # observation, command, reward, terminated, truncated, by the person

_SAME = 1e-4  # of an action: an applied value this near to the command counts as carried out


class TakeOver:
    """An agent with a person who may take over; made by Robot.take_over(). reset() and step() are those of the agent,
    but return commands in the units of the actuators.

    While the person drives, and while the command is on its way back, only the critic and the statistics learn: the
    actor never takes a person's command for its own action. What the person did is kept, for clone().

    Args:
        agent: a learner that fits the device.
        source: called with each observation (n,); returns commands (m,), or None while hands are off.
        sheet: of the device. limits: in force.
        back_s: time in which the difference between the person's last command and the agent's falls to 0, 0 to 60 s.
    """

    def __init__(self, agent: Any, source: Source, sheet: DataSheet, limits: Sequence[Limits], back_s: float) -> None:
        if not callable(source):
            raise ConfigError(f"take_over: source = {source!r}: expected a function of an observation")
        back_s = check_number("back_s", back_s, 0.0, 60.0)
        self.agent, self._limits = agent, list(limits)
        self._ask, self._m = asked(source, sheet.action_size), sheet.action_size
        self._back = _core.HandOver(self._m, back_steps(back_s, sheet.period_s))
        self._levels: int | None = agent.config["n_actions"]
        self._low, self._high = (np.array([getattr(own, end) for own in limits], np.float32) for end in ("min", "max"))
        self._command = np.zeros(self._m, np.float32)
        self._choice: Any = None  # the agent's own action
        self._rows: list[Row] = []
        self._start = 0  # of the episode under way, in _rows
        self.by_person = False

    def reset(self, observation: npt.ArrayLike, info: Mapping[str, Any] | None = None) -> Array:
        """Start an episode; the first command (m,). Arguments as Robot.reset() returns them.

        Raises:
            ConfigError: the source returned another shape, or values that are not finite; nothing has changed.
        """
        person = self._asked(observation)
        self._choice = self.agent.reset(observation)
        self._drop()
        self._back.begin()
        return self._decide(observation, 0.0, person)

    def step(
        self,
        observation: npt.ArrayLike,
        reward: float,
        terminated: bool = False,
        truncated: bool = False,
        info: Mapping[str, Any] | None = None,
    ) -> Array:
        """Learn from the transition into this observation; the next command (m,), not to be used after an end.
        Arguments as Robot.step() returns them.

        Raises:
            ConfigError: as reset().
        """
        over = bool(terminated or truncated)
        person = None if over else self._asked(observation)
        given = info or {}
        sent, applied = (np.asarray(given.get(name, self._command), np.float32) for name in ("sent", "applied"))
        as_action = shares(np.stack([sent, applied]), self._limits, self._levels)
        foreign = self._back.foreign
        other = foreign or bool((np.abs(as_action[0] - as_action[1]) >= _SAME).any())
        done = int(as_action[1]) if self._levels else as_action[1]
        before = self._choice
        self._choice = self.agent.predict(observation, reward=reward, applied=done)
        learned = self._foreign(before) if foreign else done if other else None
        self.agent.update(reward, terminated, truncated, learned)
        if self._rows:
            self._rows[-1] = (self._rows[-1][0], sent, *self._rows[-1][2:])
        self._command = sent
        if over:
            self._rows.append((_copy(observation), sent, float(reward), bool(terminated), bool(truncated), False))
            self.by_person = False
            return self._command.copy()
        return self._decide(observation, float(reward), person)

    @property
    def demonstration(self) -> dict[str, npt.NDArray[Any]] | None:
        """Arguments for StreamAC.clone(): the episodes in which the person drove; None if there is none."""
        self._drop(keep_open=True)
        if not any(row[5] for row in self._rows):
            return None
        x, u, rewards, terminated, truncated, by_person = zip(*self._rows, strict=True)
        return {
            "observations": np.stack(x),
            "actions": shares(np.stack(u), self._limits, self._levels),
            "rewards": np.array(rewards),
            "terminated": np.array(terminated),
            "truncated": np.array(truncated),
            "demonstrated": np.array(by_person),
        }

    def clone(self, **settings: Any) -> CloneResult:
        """Learn what the person did (StreamAC.clone(), with its settings), and forget it. Between two episodes: the
        agent's recurrent state is then that of an episode's start.

        Raises:
            ConfigError: no person has driven, or a setting is out of its range; nothing has changed.
        """
        found = self.demonstration
        if found is None:
            raise ConfigError("take_over: no person has driven; nothing to learn")
        learned: CloneResult = self.agent.clone(**found, **settings)
        self._rows, self._start = [], 0
        return learned

    def _asked(self, observation: npt.ArrayLike) -> Array | None:
        values = self._ask(_copy(observation))
        return None if values is None else check_values("take_over: the source's result", values, (self._m,))

    def _decide(self, observation: npt.ArrayLike, reward: float, person: Array | None) -> Array:
        """The next command; its row."""
        chosen = np.atleast_1d(np.asarray(self._choice, np.float32))
        if self._levels:
            chosen = np.float32(2.0) * chosen / np.float32(self._levels - 1) - np.float32(1.0)
        u = scale_to(self._low, self._high, chosen) if person is None else person
        self.by_person = person is not None
        self._command = np.clip(self._back.step(self.by_person, self._command, u), self._low, self._high)
        self._rows.append((_copy(observation), self._command, reward, False, False, self.by_person))
        return self._command.copy()

    def _foreign(self, choice: Any) -> Any:
        """An action that is not the agent's own, whatever the person did."""
        if self._levels:
            return (int(choice) + 1) % self._levels
        return np.full(self._m, _core.FOREIGN)

    def _drop(self, keep_open: bool = False) -> None:
        """Forget a finished episode in which no person drove."""
        last = self._rows[-1] if self._rows else None
        if last is not None and (not keep_open or last[3] or last[4]):
            if not any(row[5] for row in self._rows[self._start :]):
                del self._rows[self._start :]
            elif not (last[3] or last[4]):
                self._rows[-1] = (*last[:4], True, False)  # cut by reset()
            self._start = len(self._rows)


def _copy(observation: npt.ArrayLike) -> Array:
    return np.array(observation, np.float32)
