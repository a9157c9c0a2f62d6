"""Recurrent trace units by themselves: one step at a time, exact gradients through the RTRL traces.

Source: Elelimy et al., Real-Time Recurrent Learning using Trace Units in Reinforcement Learning, NeurIPS 2024
(arXiv 2409.01449); docs/math.md, 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_choice, check_dtype, check_int, check_number, check_sections, check_seed

__all__ = ["LinearRTU", "NonlinearRTU"]

Array = npt.NDArray[np.floating[Any]]


class _Cell:
    """What the linear and the nonlinear RTU share."""

    _kind: str

    def __init__(
        self,
        n_inputs: int,
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
        self._config = cell_config(
            self._kind, n_inputs, n_units, units_per_pole, activation, r_min=r_min, r_max=r_max, max_phase=max_phase
        )
        self._dtype = np.dtype(check_dtype("dtype", dtype))
        self._core = _core.Cell(self._config, self._dtype.name, check_seed(seed))

    @property
    def n_inputs(self) -> int:
        """Inputs d."""
        return int(self._config["n_inputs"])  # type: ignore[call-overload, no-any-return]

    @property
    def n_units(self) -> int:
        """Units n; the output has 2n entries."""
        return int(self._config["units"])  # type: ignore[call-overload, no-any-return]

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
            ValueError: shape, dtype, or a value that is not finite; the cell is as it was.
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

    @property
    def nbytes(self) -> int:
        """Bytes of the arena: parameters, state, traces, scratch."""
        return self._core.nbytes

    @property
    def n_traces(self) -> int:
        """Floats kept for RTRL: 2 m d + 4 n for the linear RTU, 4 n d + 4 n for the nonlinear one."""
        return self._core.n_traces


class LinearRTU(_Cell):
    """The linear RTU: activation outside the recurrence, traces halved (docs/math.md, 2).

    >>> import numpy as np, rtu_edge as rtu
    >>> cell = rtu.LinearRTU(n_inputs=3, n_units=5, activation="relu", dtype="float64", seed=0)
    >>> y = cell.step(np.ones(3))
    >>> y.shape, cell.gradient(np.ones(10))["W1"].shape, cell.n_traces
    ((10,), (5, 3), 50)

    Args:
        n_inputs: d, 1 or more.
        n_units: n, 1 or more.
        activation: "relu", "tanh" or "identity".
        dtype: "float32" for work, "float64" for verification (scalar code); or numpy's types of these names.
        seed: 0 to 2^64 - 1.
        units_per_pole: G; units i G ... i G + G - 1 share pole i and its traces, exactly. n is a multiple of it.
        r_min: smallest retention at the start, 0 to r_max.
        r_max: largest retention at the start, to 1.
        max_phase: largest phase at the start, rad.

    Raises:
        ConfigError: an argument out of its range.
    """

    _kind = "linear"


class NonlinearRTU(_Cell):
    """The nonlinear RTU: activation inside the recurrence, four traces per weight pair.

    Args: as LinearRTU, but units_per_pole is 1: the traces of units that share a pole differ here.
    """

    _kind = "nonlinear"


def cell_config(
    kind: str,
    n_inputs: int,
    units: int,
    units_per_pole: int,
    activation: str,
    *,
    r_min: float,
    r_max: float,
    max_phase: float,
) -> dict[str, object]:
    """The recurrent part of a configuration, checked, as plain values."""
    n, shared = check_int("units", units, 1, 65536), check_int("units_per_pole", units_per_pole, 1, 4096)
    largest = check_number("r_max", r_max, 0.0, 1.0, open_low=True)
    config: dict[str, object] = {
        "cell": check_choice("cell", kind, ("linear", "nonlinear", "none")),
        "n_inputs": check_int("n_inputs", n_inputs, 1, 65536),
        "units": n,
        "units_per_pole": shared,
        "activation": check_choice("activation", activation, ("relu", "tanh", "identity")),
        "r_max": largest,
        "max_phase": check_number("max_phase", max_phase, 0.0, 1000.0, open_low=True),
        "r_min": check_number("r_min", r_min, 0.0, min(largest, 0.9999999)),
    }
    if n % shared != 0:
        raise ConfigError(f"units_per_pole = {shared}: expected a divisor of units = {n}")
    if kind == "nonlinear" and shared != 1:
        raise ConfigError(f"units_per_pole = {shared}: expected 1 for the nonlinear RTU, whose units share no traces")
    return config
