"""Result of a robot's run, collected from its records: returns, mean reward, progress, callbacks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.progress import Callback, Progress, StepRecord, call_all
from rtu_edge.loop.demonstrated import Shown
from rtu_edge.loop.flags import LimiterFlag, RecordFlag
from rtu_edge.loop.loop import LoopResult

__all__ = ["RobotResult", "Tally"]

Row = tuple[int, float, float, float, int]  # flags, reward, delta, value, command_limiter


@dataclasses.dataclass(frozen=True, repr=False)
class RobotResult(LoopResult):
    """Result of a run; prints as a summary.

    Args:
        returns: of the finished episodes, in order, float64.
        mean_reward: per step of the whole run; NaN without a transition.
        demonstration: arguments for StreamAC.clone(), of the episodes in which a person drove; None if there are none.
    """

    returns: npt.NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0))
    mean_reward: float = math.nan
    demonstration: dict[str, npt.NDArray[Any]] | None = None

    def __str__(self) -> str:
        """Steps, episodes, mean return or reward, stop reason; a line for each refused privilege."""
        text = super().__str__()
        if not len(self.returns) and math.isfinite(self.mean_reward):
            text = text.replace("; stopped:", f"; mean reward {self.mean_reward:.4g} per step; stopped:", 1)
        return "\n".join([text, *self._supervised()])

    __repr__ = __str__

    def _supervised(self) -> list[str]:
        """Interventions of the supervisor, if any."""
        words = [
            f"{self.counters[name]:,} {what}"
            for name, what in (
                ("fallback_forced", "steps driven by the fallback"),
                ("sensor_clamped", "observations clamped"),
                ("sensor_held", "observations held"),
                ("rollbacks", "rollbacks of the learner"),
            )
            if self.counters.get(name)
        ]
        frozen = ["the learner is frozen"] if self.counters.get("monitor_frozen") else []
        return [f"supervisor: {', '.join(words + frozen)}"] if words or frozen else []


class Tally:
    """Accumulates a run's records, shows its progress, and passes each transition to callbacks.

    Args:
        steps: of the whole run; 0: unknown.
        shown: progress on standard error.
        called: callbacks of a StepRecord; one that returns False stops the run.
        stop: stops it.
        one_actuator: the policy has one action, so that a step's clipping is a share.
        demonstrated: collects what a person does.
    """

    def __init__(
        self,
        steps: int,
        shown: bool,
        called: Sequence[Callback],
        stop: Callable[[], None],
        one_actuator: bool,
        demonstrated: Shown | None = None,
    ) -> None:
        self._demonstrated = demonstrated
        self._progress = Progress(steps, shown)
        self._called, self._stop, self._one_actuator = called, stop, one_actuator
        self._stopped = False

    def take(self, records: npt.NDArray[Any]) -> None:
        """The records since the last call."""
        if self._demonstrated is not None:
            self._demonstrated.take(records)
        flags = records["flags"]
        first = flags & int(RecordFlag.FIRST | RecordFlag.RECONNECTED) == int(RecordFlag.FIRST)
        ended = records[~first & (flags & int(RecordFlag.HOMING) == 0)]
        columns = [ended[name].tolist() for name in ("flags", "reward", "delta", "value", "command_limiter")]
        for row in zip(*columns, strict=True):
            flags, reward = row[0], row[1]
            if flags & RecordFlag.RECONNECTED:
                self._progress.cut()
                continue
            if self._called and not self._stopped and not call_all(self._called, self._record(row)):
                self._stopped = True
                self._stop()
            self._progress.add(reward, bool(flags & (RecordFlag.TERMINATED | RecordFlag.TRUNCATED)))

    def _record(self, row: Row) -> StepRecord:
        flags, reward, delta, value, limited = row
        run, learned = self._progress, bool(flags & RecordFlag.LEARNED)
        return StepRecord(
            step=run.steps + 1,
            episode=run.episodes + 1,
            reward=reward,
            episode_return=run.episode_return + reward,
            episode_length=run.episode_length + 1,
            terminated=bool(flags & RecordFlag.TERMINATED),
            truncated=bool(flags & RecordFlag.TRUNCATED),
            td_error=delta if learned else None,
            value=value,
            clipped=float(bool(limited & LimiterFlag.CLIPPED)) if self._one_actuator else None,
        )

    def result(self, result: LoopResult) -> RobotResult:
        """Adds the loop's own result."""
        own = {entry.name: getattr(result, entry.name) for entry in dataclasses.fields(result)}
        run = self._progress
        mean = run.reward_sum / run.steps if run.steps else math.nan
        shown = None if self._demonstrated is None else self._demonstrated.arguments()
        return RobotResult(**own, returns=np.array(run.returns), mean_reward=mean, demonstration=shown)

    def __enter__(self) -> Tally:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
