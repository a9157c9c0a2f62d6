"""The policy of stream AC(lambda) forward, in double precision, from docs/math.md, 1 and 4; random parameters."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .cells import make_cell
from .normalizers import READING, VARIANCE_EPS

ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0.0), "tanh": np.tanh, "identity": lambda z: z}


def cell_parameters(
    rng: np.random.Generator, cell: str, units: int, members: int, inputs: int, r_max: float
) -> tuple[dict[str, np.ndarray], int]:
    """Random parameters of a cell, and the width of its output."""
    p: dict[str, np.ndarray] = {}
    if cell in ("mingru", "elstm"):
        for name in ("Wu", "Wh") if cell == "mingru" else ("Z", "F"):
            p[name] = rng.standard_normal((units, inputs))
        for name in ("bu", "bh") if cell == "mingru" else ("bz", "bf", "wz", "wf"):
            p[name] = rng.standard_normal(units)
        return p, units
    p["nu_log"] = np.log(-np.log(rng.uniform(0.3, r_max, units // members)))
    p["theta_log"] = np.log(rng.uniform(0.01, 2.0, units // members))
    for name in ("Br", "Bi") if cell == "lru" else ("W1", "W2"):
        p[name] = rng.standard_normal((units, inputs))
    if cell == "lru":
        p["gamma_log"] = rng.uniform(-2.0, 0.0, units // members)
    return p, 2 * units + (inputs if cell == "lru" else 0)


class OraclePolicy:
    """Has an agent's interface for the export, and predicts in double.

    members: units that share a pole, neighbours.
    """

    kind = "stream_ac"

    def __init__(
        self,
        observation_size: int = 3,
        action_size: int | None = 2,
        n_actions: int | None = None,
        units: int = 6,
        hidden: tuple[int, ...] = (8,),
        cell: str = "linear",
        activation: str = "relu",
        body: str = "separate",
        normalize_observation: bool = True,
        observation_bound: float = 10.0,
        members: int = 1,
        r_max: float = 0.99,
        seed: int = 0,
    ) -> None:
        self.config: dict[str, Any] = {
            "observation_size": observation_size,
            "action_size": None if n_actions else action_size,
            "n_actions": n_actions,
            "units": units,
            "hidden": list(hidden),
            "cell": cell,
            "activation": activation,
            "body": body,
            "normalize_observation": normalize_observation,
            "observation_bound": observation_bound,
            "dt_s": None,
        }
        rng = np.random.default_rng(seed)
        prefix = "body" if body == "shared" else "actor"
        p: dict[str, np.ndarray] = {}
        size = observation_size
        if cell != "none":
            own, size = cell_parameters(rng, cell, units, members, size, r_max)
            p |= {f"{prefix}.cell.{name}": value for name, value in own.items()}
        for i, width in enumerate(hidden):
            p[f"{prefix}.layer{i}.weight"] = rng.standard_normal((width, size)) / np.sqrt(size)
            p[f"{prefix}.layer{i}.bias"] = 0.1 * rng.standard_normal(width)
            size = width
        outputs = n_actions or 2 * (action_size or 0)
        p["actor.head.weight"] = 0.5 * rng.standard_normal((outputs, size)) / np.sqrt(size)
        p["actor.head.bias"] = 0.1 * rng.standard_normal(outputs)
        if body == "separate":  # not to be taken for the actor's
            p["critic.head.weight"] = rng.standard_normal((1, size))
            p["critic.head.bias"] = rng.standard_normal(1)
        self.parameters = {name: value.astype(np.float32) for name, value in p.items()}
        self.set_statistics(rng.standard_normal(observation_size) * 3.0, rng.uniform(0.01, 4.0, observation_size))
        self.begin()

    def set_statistics(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Of channels that have always moved, but for those without a variance."""
        scale = np.where(variance > 0, 1.0 / np.sqrt(variance + VARIANCE_EPS), 0.0)
        self.normalizer = {"mean": mean, "variance": variance, "scale": scale, "count": 1000}

    def copy(self) -> OraclePolicy:
        return copy.deepcopy(self)

    def begin(self) -> None:
        cell = self.config["cell"] != "none"
        self.h = np.zeros((2, self.config["units"] if cell else 0))
        self.cell: Any = None  # of the other cells

    def features(self, observation: np.ndarray) -> np.ndarray:
        x = np.asarray(observation, dtype=np.float64)
        if self.config["normalize_observation"]:
            x = (np.clip(x, -READING, READING) - self.normalizer["mean"]) * self.normalizer["scale"]
            if (bound := self.config["observation_bound"]) > 0:
                x = np.clip(x, -bound, bound)
        if self.config["cell"] == "none":
            return x
        prefix = "body" if self.config["body"] == "shared" else "actor"
        p = {k: v.astype(np.float64) for k, v in self.parameters.items()}
        kind = self.config["cell"]
        if kind not in ("linear", "nonlinear"):
            if self.cell is None:
                cell = {name.split(".")[-1]: v for name, v in p.items() if ".cell." in name}
                self.cell = make_cell(cell, self.config["activation"], nonlinear=False)
            return np.asarray(self.cell.step(x))
        members = self.config["units"] // len(p[f"{prefix}.cell.nu_log"])
        lam = np.repeat(
            np.exp(-np.exp(p[f"{prefix}.cell.nu_log"]) + 1j * np.exp(p[f"{prefix}.cell.theta_log"])), members
        )
        gam = np.sqrt(1 - np.abs(lam) ** 2) + 1e-8
        u = p[f"{prefix}.cell.W1"] @ x + 1j * (p[f"{prefix}.cell.W2"] @ x)
        z = lam * (self.h[0] + 1j * self.h[1]) + gam * u
        f = ACTIVATIONS[self.config["activation"]]
        self.h = np.stack([z.real, z.imag])
        if self.config["cell"] == "nonlinear":
            self.h = f(self.h)
            return self.h.reshape(-1)
        return f(self.h.reshape(-1))

    def outputs(self, observation: np.ndarray) -> np.ndarray:
        y = self.features(observation)
        prefix = "body" if self.config["body"] == "shared" else "actor"
        p = self.parameters
        for i in range(len(self.config["hidden"])):
            y = p[f"{prefix}.layer{i}.weight"].astype(np.float64) @ y + p[f"{prefix}.layer{i}.bias"]
            y = (y - y.mean()) / np.sqrt(y.var() + 1e-5)
            y = np.where(y > 0, y, 0.01 * y)
        return p["actor.head.weight"].astype(np.float64) @ y + p["actor.head.bias"]

    def predict(self, observation: np.ndarray, *, deterministic: bool = True) -> Any:
        assert deterministic
        out = self.outputs(observation)
        if self.config["n_actions"]:
            return int(np.argmax(out))
        return np.clip(out[: len(out) // 2], -1.0, 1.0)
