"""What a learner will take, before anything is allocated: bytes, operations per step, named sections."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtu_edge import _core
from rtu_edge._check import check_choice
from rtu_edge.agents import _KINDS
from rtu_edge.errors import ConfigError

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """Sizes of one learner.

    Attributes:
        kind: "stream_ac", "td_predictor" or "online_regressor".
        nbytes: bytes of the arena, exactly.
        flops: floating-point operations of "predict", "traces" and "update" in one step, leading terms (docs/math.md, 8).
        sections: (name, dtype, shape, bytes) of each named part.
    """

    kind: str
    nbytes: int
    flops: dict[str, int]
    sections: list[tuple[str, str, tuple[int, ...], int]]

    @property
    def flops_per_step(self) -> int:
        """All of one step's operations."""
        return sum(self.flops.values())

    def __str__(self) -> str:
        """A table for people."""
        width = max(len(name) for name, *_ in self.sections)
        rows = [
            f"{name:{width}}  {dtype:8} {'x'.join(map(str, shape)):>10} {nbytes:>9}"
            for name, dtype, shape, nbytes in self.sections
        ]
        operations = ", ".join(f"{part} {count}" for part, count in self.flops.items())
        return "\n".join([*rows, f"{self.kind}: {self.nbytes} bytes; operations per step: {operations}"])


def _flops(config: Mapping[str, Any]) -> dict[str, int]:
    n, d, hidden = config["units"], config["n_inputs"], list(config["hidden"])
    recurrent = config["cell"] != "none"
    linear = config["cell"] == "linear"
    control = "body" in config
    bodies, sets = (1, 2) if control and config["body"] == "shared" else (2 if control else 1, 1)
    outputs = [1, config["n_outputs"] * (1 if config["discrete"] else 2)] if control else [config.get("n_outputs", 1)]
    widths = [2 * n if recurrent else d, *hidden]
    body = sum(below * above for below, above in itertools.pairwise(widths))
    head = widths[-1] * sum(outputs)
    kinds = 3 if control else 1  # cotangents carried back: value, log pi, entropy
    block = n * d if recurrent else 0
    return {
        "predict": bodies * (4 * block + 2 * body) + 2 * head,
        # complex rotation and input; four real traces for the nonlinear cell
        "traces": bodies * block * (8 if linear else 16),
        # contraction 6, decay and sum of sizes 6, weight step 4 per weight pair; backward, eligibility and step of dense layers
        "update": bodies * sets * (16 * block + 6 * body) + 6 * head + kinds * 2 * body + 2 * kinds * head,
    }


def plan(kind: str | Mapping[str, Any] = "stream_ac", **arguments: Any) -> Plan:
    """Plans a learner.

    >>> import rtu_edge as rtu
    >>> p = rtu.plan("stream_ac", observation_size=2, action_size=1, units=32, hidden=32)
    >>> p.nbytes == rtu.StreamAC(observation_size=2, action_size=1, units=32, hidden=32).nbytes
    True

    Args:
        kind: "stream_ac", "td_predictor", "online_regressor", or a learner's `config`.
        **arguments: those of the learner's class.

    Raises:
        ConfigError: as the learner's class.
    """
    if isinstance(kind, Mapping):
        arguments = {**kind, **arguments}
        kind = arguments.pop("kind", "stream_ac")
    name = check_choice("kind", kind, tuple(_KINDS))
    cls = _KINDS[name]
    found: dict[str, Any] = {}

    class Planned(cls):  # type: ignore[misc, valid-type]
        """The class up to where it would allocate."""

        def _start(
            self, native: type, native_config: dict[str, Any], arguments: dict[str, Any], dtype: str, seed: int
        ) -> None:
            found.update(config=native_config, dtype=dtype)

    try:
        Planned(**arguments)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from None
    nbytes, rows = _core.plan(name, found["config"], found["dtype"])
    sections = [(name, dtype.name, shape, size) for name, dtype, shape, size, _, _ in rows]
    return Plan(name, nbytes, _flops(found["config"]), sections)
