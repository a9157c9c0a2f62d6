"""The footprint of a learner: bytes, operations and named sections, computed before allocation, and
time by measurement.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_choice, check_number
from rtu_edge.learn.kinds import KINDS

__all__ = ["Footprint", "StepTimes", "footprint"]


@dataclass(frozen=True)
class StepTimes:
    """Time of one step on this host: medians, steps one after the other, caches warm.

    Attributes:
        predict_us: first half, up to the action.
        traces_us: traces and eligibilities, never dropped by the deadline rule.
        update_us: the weight step, dropped when time is short.
        isa: the instruction set.
    """

    predict_us: float
    traces_us: float
    update_us: float
    isa: str

    @property
    def step_us(self) -> float:
        """A whole step."""
        return self.predict_us + self.traces_us + self.update_us

    @property
    def rate_hz(self) -> float:
        """The maximum rate of a loop that only steps the learner."""
        return 1e6 / self.step_us

    def __str__(self) -> str:
        """A readable line."""
        return (
            f"{self.step_us:.3g} us per step ({self.isa}): predict {self.predict_us:.3g}, traces {self.traces_us:.3g}, "
            f"update {self.update_us:.3g}; at most {self.rate_hz:.3g} steps/s"
        )


@dataclass(frozen=True)
class Footprint:
    """Sizes of one learner.

    Attributes:
        kind: "stream_ac", "stream_q", "stream_sarsa", "stream_qrc", "td_predictor", "td_bank" or "online_regressor".
        nbytes: bytes of the arena, exactly.
        flops: floating-point operations of "predict", "traces" and "update" in one step, leading terms (docs/math.md,
            5).
        sections: (name, dtype, shape, bytes) of each named part.
        times: of a step on this host, after calibrate().
    """

    kind: str
    nbytes: int
    flops: dict[str, int]
    sections: list[tuple[str, str, tuple[int, ...], int]]
    times: StepTimes | None = None
    _native: tuple[dict[str, Any], str] = field(default_factory=lambda: ({}, "float32"), repr=False, compare=False)

    @property
    def flops_per_step(self) -> int:
        """All of one step's operations."""
        return sum(self.flops.values())

    def calibrate(self, seconds: float = 0.2) -> Footprint:
        """This footprint with `times`: builds the learner and runs it on a synthetic stream for a while.

        Args:
            seconds: duration, 0 to 60.

        Raises:
            ConfigError: seconds out of range.
        """
        config, dtype = self._native
        found = _core.calibrate(self.kind, config, dtype, check_number("seconds", seconds, 0.0, 60.0))
        predict, traces, update = (nanoseconds / 1e3 for nanoseconds in found)
        return replace(self, times=StepTimes(predict, traces, update, "scalar" if dtype == "float64" else _core.isa))

    def __repr__(self) -> str:
        times = "" if self.times is None else f", {self.times.step_us:.3g} us per step ({self.times.isa})"
        return f"Footprint({self.kind}: {self.nbytes:,} bytes, {self.flops_per_step:,} operations per step{times})"

    def __str__(self) -> str:
        """A table for people."""
        width = max(len(name) for name, *_ in self.sections)
        rows = [
            f"{name:{width}}  {dtype:8} {'x'.join(map(str, shape)):>10} {nbytes:>9}"
            for name, dtype, shape, nbytes in self.sections
        ]
        return "\n".join([*rows, self.totals])

    @property
    def totals(self) -> str:
        """The last lines of the table: bytes and operations, and times if measured."""
        operations = ", ".join(f"{part} {count}" for part, count in self.flops.items())
        total = f"{self.kind}: {self.nbytes} bytes; operations per step: {operations}"
        return total if self.times is None else f"{total}\n{self.times}"


# Of each cell, per unit and input: operations that advance the traces of a weight pair (complex rotation and input;
# four real traces; two), outputs per unit, operations per set of eligibilities.
_CELLS = {
    "linear": (8, 2, 16),
    "nonlinear": (16, 2, 16),
    "lru": (8, 2, 16),
    "mingru": (6, 1, 12),
    "elstm": (6, 1, 12),
}

# Of each rule of a last layer, per feature: operations beyond those of an eligibility and a step.
_HEADS = {"td": 0, "true_online": 4, "swift": 40}


def _outputs(config: Mapping[str, Any]) -> int:
    """Of a learner for signals."""
    return len(config["gammas"]) if "gammas" in config else int(config.get("n_outputs", 1))


def _flops(config: Mapping[str, Any]) -> dict[str, int]:
    n, d, hidden = config["units"], config["observation_size"], list(config["hidden"])
    recurrent = config["cell"] != "none"
    pair, width, per_pair = _CELLS.get(config["cell"], (0, 0, 0))
    acts, values = "previous_action" in config, "values" in config
    control = acts and not values
    if acts:
        d += config["n_outputs"] * config["previous_action"] + config["previous_reward"]
    corrects = config.get("values") == "qrc"
    bodies, sets = (1, 2) if control and config["body"] == "shared" else (2 if control or corrects else 1, 1)
    outputs = [1, config["n_outputs"] * (1 if config["discrete"] else 2)] if control else [_outputs(config)] * bodies
    before = [d, *config.get("encoder", ())]
    d = before[-1]  # of the cell
    widths = [width * n + d * (config["cell"] in ("lru", "none")), *hidden]
    body = sum(below * above for row in (before, widths) for below, above in itertools.pairwise(row))
    head = widths[-1] * sum(outputs)
    # backpropagated cotangents: value, log pi, entropy; q for two actions, h for one
    kinds = 3 if control or corrects else 1
    straight = 3 if corrects else 0  # steps along a gradient that no eligibility keeps, per weight and per pair
    block = n * d if recurrent else 0
    learned = block if config["credit"] != "frozen" else 0
    own_rule = _HEADS[config.get("head", "td")] * (widths[-1] + 1)
    return {
        "predict": bodies * (4 * block + 2 * body) + 2 * head,
        "traces": bodies * learned * pair,
        # per weight pair contraction 6 or 2, decay and sum of sizes 6, weight step 4; backward, eligibility and step of
        # dense layers; backward through the cell's input
        "update": bodies * sets * (per_pair * learned + 6 * body)
        + 6 * head
        + kinds * 2 * body
        + 2 * kinds * head
        + own_rule
        + kinds * 4 * block * (len(before) > 1)
        + straight * (2 * (per_pair - 10) * learned + 4 * body + 2 * head),
    }


def footprint(kind: str | Mapping[str, Any] = "stream_ac", *, calibrate: bool = False, **arguments: Any) -> Footprint:
    """The footprint of a learner.

    >>> import rtu_edge as rtu
    >>> p = rtu.footprint("stream_ac", observation_size=2, action_size=1, units=32, hidden=32)
    >>> p.nbytes == rtu.StreamAC(observation_size=2, action_size=1, units=32, hidden=32).nbytes
    True

    Args:
        kind: "stream_ac", "stream_q", "stream_sarsa", "stream_qrc", "td_predictor", "td_bank", "online_regressor", or
            a learner's `config`.
        calibrate: also `times`, from a fifth of a second of steps.
        **arguments: those of the learner's class.

    Raises:
        ConfigError: as the learner's class.
    """
    if isinstance(kind, Mapping):
        arguments = {**kind, **arguments}
        kind = arguments.pop("kind", "stream_ac")
    name = check_choice("kind", kind, tuple(KINDS))
    cls = KINDS[name]
    found: dict[str, Any] = {}

    class Sized(cls):  # type: ignore[misc, valid-type]
        """The class without its allocation."""

        def _start(self, native: type, native_config: dict[str, Any], arguments: dict[str, Any]) -> None:
            found.update(config=native_config, dtype=arguments["dtype"])

    try:
        Sized(**arguments)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from None
    nbytes, rows = _core.footprint(name, found["config"], found["dtype"])
    sections = [(name, dtype.name, shape, size) for name, dtype, shape, size, _, _ in rows]
    sized = Footprint(name, nbytes, _flops(found["config"]), sections, None, (found["config"], found["dtype"]))
    return sized.calibrate() if calibrate else sized
