"""What a robot's run came to, collected as its records pass: returns, mean reward, a line of progress."""

from __future__ import annotations

import dataclasses
import math
import sys
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge.loop.flags import RecordFlag
from rtu_edge.loop.loop import LoopResult, LoopStatus

__all__ = ["RobotResult", "Tally"]

_RECENT = 1000  # steps in the progress line's mean reward


@dataclasses.dataclass(frozen=True)
class RobotResult(LoopResult):
    """How a run ended; prints as a summary.

    Args:
        returns: of the finished episodes, in order, float64.
        mean_reward: per step of the whole run; NaN without a transition.
    """

    returns: npt.NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0))
    mean_reward: float = math.nan

    def __str__(self) -> str:
        """Steps, episodes, mean return or reward, why it ended; a line for each privilege that the system refused."""
        text = super().__str__()
        if len(self.returns) or not math.isfinite(self.mean_reward):
            return text
        return text.replace("; stopped:", f"; mean reward {self.mean_reward:.4g} per step; stopped:", 1)


class Tally:
    """Adds up a run's records, and shows a line of progress on standard error while it is open.

    Args:
        period_s: of the device.
        steps: of the whole run; 0: unknown.
        show: the line, where standard error is a terminal.
    """

    def __init__(self, period_s: float, steps: int, show: bool) -> None:
        self._period_s, self._steps = period_s, steps
        self._show = show and sys.stderr.isatty()
        self._returns: list[float] = []
        self._sum, self._count = 0.0, 0

    def take(self, status: LoopStatus, records: npt.NDArray[Any], episodes: npt.NDArray[Any]) -> None:
        """The records and episodes since the last call."""
        ended = records[(records["flags"] & int(RecordFlag.FIRST)) == 0]
        self._sum += float(ended["reward"].sum(dtype=np.float64))
        self._count += len(ended)
        self._returns += episodes["total_return"].tolist()
        if self._show:
            self._print(status, ended["reward"][-_RECENT:])

    def _print(self, status: LoopStatus, recent: npt.NDArray[Any]) -> None:
        of = f" of {self._steps:,}" if self._steps else ""
        words = [f"step {status.steps:,}{of}", f"episode {status.episodes + 1:,}"]
        if math.isfinite(status.mean_return):
            words.append(f"mean return {status.mean_return:.4g}")
        if len(recent):
            words.append(f"reward {float(recent.mean()):.3g}")
        sys.stderr.write(f"\r{'  '.join(words):<78}")
        sys.stderr.flush()

    def result(self, result: LoopResult) -> RobotResult:
        """With what the loop itself reports."""
        own = {entry.name: getattr(result, entry.name) for entry in dataclasses.fields(result)}
        mean = self._sum / self._count if self._count else math.nan
        return RobotResult(**own, returns=np.array(self._returns), mean_reward=mean)

    def __enter__(self) -> Tally:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._show:
            sys.stderr.write("\r" + " " * 78 + "\r")
            sys.stderr.flush()
