"""Progress of learning: the argument of callbacks after each step, and the line on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rtu_edge._base.errors import ConfigError

__all__ = ["Callback", "Progress", "StepRecord", "call_all", "callbacks"]

_WINDOW = 100  # episodes in a mean
_REWARDS = 1000  # steps in the mean reward
_SHOWN_S = 0.2  # interval between updates on a terminal
_PRINTED_S = 10.0  # interval between lines elsewhere


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of learning, the argument of callbacks. None: not known.

    Attributes:
        step: number of the step in this call of learn() or run(), from 1.
        episode: number of the episode in this call, from 1.
        reward: of this step.
        episode_return: sum of the rewards of this episode so far.
        episode_length: steps of this episode so far.
        terminated: the task ended with this step.
        truncated: the episode was cut after this step.
        td_error: TD error delta of the update.
        value: the critic's value of the observation.
        sigma: mean standard deviation of continuous actions, in units of an action.
        entropy: of the policy, nats.
        clipped: share of actuators whose sampled action was clipped to [-1, 1], 0 to 1.
    """

    step: int
    episode: int
    reward: float
    episode_return: float
    episode_length: int
    terminated: bool = False
    truncated: bool = False
    td_error: float | None = None
    value: float | None = None
    sigma: float | None = None
    entropy: float | None = None
    clipped: float | None = None

    @property
    def ended(self) -> bool:
        """The episode has ended."""
        return self.terminated or self.truncated


Callback = Callable[[StepRecord], object]


def callbacks(given: Callback | Iterable[Callback] | None) -> tuple[Callback, ...]:
    """The callbacks of a `callback` argument: None, one, or several.

    Raises:
        ConfigError: an argument that is not callable.
    """
    several = [] if given is None else [given] if callable(given) else given
    if not isinstance(several, Iterable):
        raise ConfigError(f"callback = {given!r}: expected a function of a StepRecord, or several")
    found = tuple(several)
    for one in found:
        if not callable(one):
            raise ConfigError(f"callback = {one!r}: expected a function of a StepRecord")
    return found


def call_all(called: Sequence[Callback], record: StepRecord) -> bool:
    """Passes a record to all callbacks; False if one of them returned False."""
    answers = [one(record) for one in called]  # each is called
    return not any(answer is False for answer in answers)


class Progress:
    """Steps, rate and returns: on a terminal one line that is updated, elsewhere a line every ten seconds.

    Written to standard error. A context manager; add() takes each step.

    Args:
        total: steps in all; 0: not known.
        shown: False writes nothing.
    """

    def __init__(self, total: int, shown: bool = True) -> None:
        self.steps = 0
        self.returns: list[float] = []
        self.lengths: list[int] = []
        self.episode_return, self.episode_length = 0.0, 0
        self.reward_sum = 0.0
        self.begin = time.monotonic()
        self._total, self._shown = total, shown
        self._recent: deque[float] = deque(maxlen=_REWARDS)
        self._next = self.begin + _SHOWN_S
        self._bar: Any = None
        self._terminal = shown and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begin

    @property
    def episodes(self) -> int:
        """Finished ones."""
        return len(self.returns)

    def add(self, reward: float, ended: bool) -> None:
        """One step more."""
        self.steps += 1
        self.episode_return += reward
        self.episode_length += 1
        self.reward_sum += reward
        self._recent.append(reward)
        if ended:
            self.returns.append(self.episode_return)
            self.lengths.append(self.episode_length)
            self.episode_return, self.episode_length = 0.0, 0
        if self._shown and (now := time.monotonic()) >= self._next:
            self._show(now)

    def cut(self) -> None:
        """The episode under way has no end: it counts in no mean."""
        self.episode_return, self.episode_length = 0.0, 0

    def add_chunk(self, chunk: Any) -> None:
        """Many steps more: a Chunk of rtu_edge/learn/native.py."""
        if added := chunk.steps - self.steps:
            self._recent.extend([(chunk.reward_sum - self.reward_sum) / added] * min(added, _REWARDS))
        self.steps, self.reward_sum = chunk.steps, chunk.reward_sum
        self.returns += chunk.returns.tolist()
        self.lengths += chunk.lengths.tolist()
        self.episode_return, self.episode_length = chunk.episode_return, chunk.episode_length
        if self._shown and (now := time.monotonic()) >= self._next:
            self._show(now)

    def text(self) -> str:
        """Steps, steps per second, and the return, or the mean reward where no episode has ended."""
        rate = self.steps / max(self.seconds, 1e-9)
        share = f" {self.steps / self._total:.0%}" if self._total else ""
        parts = [f"{self.steps:,} steps{share}", f"{rate:,.0f}/s"]
        if self.returns:
            last = self.returns[-_WINDOW:]
            parts += [f"return {self.returns[-1]:.4g}", f"mean({len(last)}) {sum(last) / len(last):.4g}"]
        elif self._recent:
            parts.append(f"reward {sum(self._recent) / len(self._recent):.4g} (mean of {len(self._recent):,} steps)")
        return "  ".join(parts)

    def _show(self, now: float) -> None:
        if self._terminal:
            self._next = now + _SHOWN_S
            self._bar = self._bar or _bar(self._total)
            if self._bar is None:
                self._terminal = False
                return
            self._bar.update(self._bar.tasks[0].id, completed=self.steps, description=self.text(), refresh=True)
        elif now - self.begin >= _PRINTED_S:
            self._next = now + _PRINTED_S
            print(self.text(), file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show(time.monotonic())
            self._bar.stop()


def _bar(total: int) -> Any:
    """A bar that has started; None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    columns = (BarColumn(bar_width=12), TextColumn("{task.description}", markup=False))
    bar = Bar(*columns, console=Console(stderr=True, highlight=False), auto_refresh=False)
    bar.add_task("", total=total or None)
    bar.start()
    return bar
