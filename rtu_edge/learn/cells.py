"""Recurrent trace units without a learner: one step at a time, exact gradients through the RTRL traces.

Source: Elelimy et al., Real-Time Recurrent Learning using Trace Units in Reinforcement Learning, NeurIPS 2024
(arXiv 2409.01449); docs/math.md, 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.validation import check_sections
from rtu_edge.learn import checkpoint, parameters
from rtu_edge.learn.parameters import CELL

__all__ = ["LinearRTU", "NonlinearRTU"]

Array = npt.NDArray[np.floating[Any]]
Self = TypeVar("Self", bound="_Cell")


class _Cell:
    """Base class of the linear and the nonlinear RTU."""

    _kind: str
    _config: dict[str, Any]

    def __init__(
        self,
        observation_size: int,
        n_units: int,
        activation: str = "relu",
        dtype: npt.DTypeLike = "float32",
        seed: int = 0,
        *,
        units_per_pole: int = 1,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 6.28,
    ) -> None:
        self._build(locals())

    def _build(self, given: Mapping[str, Any]) -> None:
        self._arguments = parameters.check(CELL, {**given, "cell": self._kind})
        values = dict(self._arguments)
        self._dtype = np.dtype(values.pop("dtype"))
        seed = values.pop("seed")
        self._config = {"cell": self._kind, "units": values.pop("n_units"), **values}
        self._core = _core.Cell(self._config, self._dtype.name, seed)

    @property
    def observation_size(self) -> int:
        """Inputs d."""
        return int(self._config["observation_size"])

    @property
    def n_units(self) -> int:
        """Units n; the output has 2n entries."""
        return int(self._config["units"])

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of "nu_log" (m,), "theta_log" (m,), "W1" (n, d), "W2" (n, d); m = n / units_per_pole poles."""
        return {name: self._core.get(name) for name in ("nu_log", "theta_log", "W1", "W2")}

    def load_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> None:
        """Replaces parameters by copies.

        Args:
            parameters: any of "nu_log", "theta_log" (m,), "W1", "W2" (n, d); finite; other names are refused.

        Raises:
            ValueError: an unknown name, a wrong shape, a value that is not finite; nothing has changed.
        """
        for name, value in check_sections(parameters, self.parameters).items():
            self._core.set(name, value)

    def step(self, x: npt.ArrayLike) -> Array:
        """Advances state and traces by one input.

        Args:
            x: (d,) finite.

        Returns:
            y (2n,), [first halves; second halves].

        Raises:
            ValueError: shape, dtype, or a value that is not finite; the cell is unchanged.
        """
        return self._core.step(x)

    def bind(self, x_buffer: Array, y_buffer: Array) -> None:
        """Names the arrays that step_bound() reads and writes in place; both are kept.

        Args:
            x_buffer: (d,) of this cell's dtype, contiguous.
            y_buffer: (2n,) the same, writable.

        Raises:
            ValueError: another dtype, shape or layout: nothing is ever converted here.
        """
        self.__dict__.update(self._core.bind(x_buffer, y_buffer))

    def step_bound(self) -> None:
        """As step(): reads the bound x, writes the bound y.

        Raises:
            ValueError: x is not finite; nothing has changed.
            RuntimeError: bind() was not called before.
        """
        raise RuntimeError("step_bound() before bind(): call bind(x_buffer, y_buffer) first")

    def gradient(self, dL_dy: npt.ArrayLike) -> dict[str, Array]:
        """Gradient of this step's loss for every parameter, through the traces. Exact while parameters stand still.

        Args:
            dL_dy: (2n,) gradient of the loss with respect to the newest output.

        Returns:
            A dict shaped like `parameters`.

        Raises:
            ValueError: shape, dtype, or a value that is not finite.
        """
        return self._core.gradient(dL_dy)

    def input_gradient(self, dL_dy: npt.ArrayLike) -> Array:
        """Gradient with respect to the newest input (d,), this step only."""
        return self._core.input_gradient(dL_dy)

    def reset(self) -> None:
        """Zeroes the state and all traces; parameters stay."""
        self._core.reset()

    def copy(self: Self) -> Self:
        """An independent copy of the cell: both continue bit-identically.

        copy.copy() and copy.deepcopy() do the same; a pickle carries the bytes of a checkpoint. The arrays that bind()
        named are not part of the state: call bind() again.
        """
        twin = self._made(self._arguments)
        twin._core.adopt(self._core.arena())
        return twin

    __copy__ = copy

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = twin = self.copy()
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle: the class, its arguments and a checkpoint.

        Raises:
            CheckpointError: a value of the cell is not finite.
        """
        data = self._core.save("{}")
        checkpoint.check_saved(data, "pickle")
        return _restored, (type(self), self._arguments, data)

    def __repr__(self) -> str:
        told = parameters.told(CELL, self._arguments)
        shown = ", ".join(f"{name}={value!r}" for name, value in told.items())
        return f"{type(self).__name__}({shown}): {2 * self.n_units} outputs, {self.nbytes:,} bytes"

    @classmethod
    def _made(cls: type[Self], arguments: Mapping[str, Any]) -> Self:
        cell = cls.__new__(cls)
        cell._build(arguments)
        return cell

    @property
    def nbytes(self) -> int:
        """Bytes of the arena: parameters, state, traces, scratch."""
        return self._core.nbytes

    @property
    def n_traces(self) -> int:
        """Floats kept for RTRL: 2 m d + 4 n for the linear RTU, 4 n d + 4 n for the nonlinear one."""
        return self._core.n_traces


def _restored(cls: type[_Cell], arguments: Mapping[str, Any], data: bytes) -> _Cell:
    """The cell of a pickle."""
    cell = cls._made(arguments)
    status, where = cell._core.load(data)
    checkpoint.raise_for(status, where, "pickle")
    return cell


class LinearRTU(_Cell):
    """The linear RTU: activation outside the recurrence, traces halved (docs/math.md, 2).

    >>> import numpy as np, rtu_edge as rtu
    >>> cell = rtu.LinearRTU(observation_size=3, n_units=5, activation="relu", dtype="float64", seed=0)
    >>> y = cell.step(np.ones(3))
    >>> y.shape, cell.gradient(np.ones(10))["W1"].shape, cell.n_traces
    ((10,), (5, 3), 50)

    Args:
        observation_size: Width d of the input, 1 to 65536.
        n_units: Recurrent units n, 1 to 65536.
        activation: Activation function of the recurrent cell, one of "relu", "tanh", "identity".
        dtype: Number format, one of "float32", "float64"; "float32" for work; "float64" for verification (scalar code).
        seed: Random seed, 0 to 2^64 - 1.
        units_per_pole: Units that share one pole and its traces, 1 to 4096; a divisor of the number of units; 1 for
            "nonlinear", "mingru" and "elstm".
        r_min: Smallest retention of a pole, or of a gate at input 0, at initialisation, 0 to 0.9999999; at most r_max.
        r_max: Largest retention of a pole, or of a gate at input 0, at initialisation, above 0, at most 1.
        max_phase: Largest phase of a pole at initialisation, above 0, at most 1000 rad per step.

    Raises:
        ConfigError: an argument out of its range.
    """

    _kind = "linear"


class NonlinearRTU(_Cell):
    """The nonlinear RTU: activation inside the recurrence, four traces per weight pair.

    Args: as LinearRTU, but units_per_pole is 1: the traces of units that share a pole differ here.
    """

    _kind = "nonlinear"
