"""Scores of reference: a controller tuned on the true state, and random commands, for each machine.

    score = (return - random) / (reference - random)

A return is the mean reward per step for a continuing kind, the mean sum of rewards of an episode for the others.

The search. The controller is linear in features of the true state (firmware_bridge/plants/families/reference.h); its
gains are found by CMA-ES (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016; rank-one and rank-mu updates, step
size by the cumulative path), twice, from zero with steps of 0.5 and of 2, on episodes of SEARCH_SEED and on. The better
result on other episodes, of CHOICE_SEED and on, is kept. Both returns are then measured on episodes of SCORE_SEED and
on, which the search has not seen; that of random commands, which varies most, on ten times as many.

    python -m rtu_edge.study.references        computes rtu_edge/study/references.json: seeds 0 to 19 of every kind,
                                               and references_flipped.json: seeds 0 to 4 with the reward's sign flipped
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base import files
from rtu_edge._base.validation import check_int
from rtu_edge._bridge import ffi, lib
from rtu_edge.study.families import Machine, kind, kinds

__all__ = ["KEPT", "KEPT_FLIPPED", "Reference", "compute", "flipped", "main", "mean_return", "reference", "text_of"]

KEPT = Path(__file__).with_name("references.json")
KEPT_FLIPPED = Path(__file__).with_name("references_flipped.json")
KEPT_SEEDS, KEPT_FLIPPED_SEEDS = 20, 5
SEARCH_SEED, CHOICE_SEED, SCORE_SEED = 1 << 20, 1 << 21, 1 << 22
SEARCH_EPISODES, SCORE_EPISODES, RANDOM_EPISODES = 4, 48, 480
STEPS = 1000  # of an episode of a continuing kind
GENERATIONS = 40
FIRST_STEPS = (0.5, 2.0)


@dataclass(frozen=True)
class Reference:
    """Returns of one machine.

    Attributes:
        random: return of commands uniform in [-1, 1].
        reference: return of the tuned controller.
        gains: of the controller, (action_size, features) in one row.
    """

    random: float
    reference: float
    gains: tuple[float, ...]

    def score(self, value: float) -> float:
        """The score of a return: 0 as random commands, 1 as the controller."""
        return (value - self.random) / (self.reference - self.random)


def mean_return(machine: Machine, gains: NDArray[np.float64] | None, first_seed: int, episodes: int) -> float:
    """Return of the controller, or of random commands, on a machine; it is at another state afterwards.

    Args:
        machine: the machine.
        gains: (action_size * features,); None: random commands.
        first_seed: of the first episode; the next ones count up.
        episodes: how many.

    Returns:
        Mean reward per step for a continuing kind, mean sum of rewards of an episode for the others.
    """
    c_gains = ffi.NULL if gains is None else ffi.new("float[]", gains.tolist())
    steps = STEPS if machine.continuing else 2**32 - 1
    total = lib.tl_machine_run(machine.pointer, c_gains, first_seed, episodes, steps)
    return float(total.reward_sum / (total.steps if machine.continuing else episodes))


def reference(kind_name: str, seed: int, folder: str | os.PathLike[str] | None = None) -> Reference:
    """The reference of a machine: kept with the package for seeds 0 to 19, else computed once.

    >>> from rtu_edge.study.families import Machine
    >>> found = reference("cartpole", 3)
    >>> found.score(found.random), found.score(found.reference)
    (0.0, 1.0)

    Args:
        kind_name, seed: of the machine.
        folder: keeps computed ones for later processes; None: this process alone.

    Raises:
        ConfigError: no kind has this name, or the seed is out of range.
    """
    name, seed = kind(kind_name).name, check_int("seed", seed, 0, 2**32 - 1)
    if seed < KEPT_SEEDS:
        return _kept(KEPT)[name][seed]
    return _computed(name, seed, None if folder is None else Path(folder))


@cache
def flipped(kind_name: str, seed: int) -> Reference:
    """The reference of a machine whose reward has the other sign, by a search of its own; seeds 0 to 4 are kept."""
    return _kept(KEPT_FLIPPED)[kind_name][seed] if seed < KEPT_FLIPPED_SEEDS else compute(kind_name, seed, -1.0)


@cache
def _kept(path: Path) -> dict[str, list[Reference]]:
    rows: dict[str, list[Any]] = json.loads(path.read_bytes())["machines"]
    return {name: [_from_row(row) for row in found] for name, found in rows.items()}


@cache
def _computed(name: str, seed: int, folder: Path | None) -> Reference:
    path = None if folder is None else folder / f"{name}-{seed}.json"
    if path is not None and path.is_file():
        return _from_row(json.loads(path.read_bytes()))
    found = compute(name, seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, json.dumps(_row(found)).encode())
    return found


def _row(found: Reference) -> list[Any]:
    return [found.random, found.reference, *found.gains]


def _from_row(row: list[float]) -> Reference:
    return Reference(row[0], row[1], tuple(row[2:]))


def compute(kind_name: str, seed: int, sign: float = 1.0) -> Reference:
    """Search and measure; 0.1 to 3 s.

    Args:
        kind_name, seed: of the machine.
        sign: -1 flips its reward.
    """
    machine = Machine(kind_name, seed)
    machine.change(reward_scale=sign * machine.parameters["reward_scale"])
    size = machine.action_size * lib.tl_machine_phi_size(machine.pointer)

    def cost(gains: NDArray[np.float64]) -> float:
        return -mean_return(machine, gains, SEARCH_SEED, SEARCH_EPISODES)

    found = [_minimise(cost, size, step, seed) for step in FIRST_STEPS]
    best = max(found, key=lambda gains: mean_return(machine, gains, CHOICE_SEED, 2 * SEARCH_EPISODES))
    best = np.array([float(f"{gain:.4g}") for gain in best])  # what the file keeps
    return Reference(
        random=mean_return(machine, None, SCORE_SEED, RANDOM_EPISODES),
        reference=mean_return(machine, best, SCORE_SEED, SCORE_EPISODES),
        gains=tuple(best.tolist()),
    )


def _minimise(cost: Callable[[NDArray[np.float64]], float], n: int, sigma: float, seed: int) -> NDArray[np.float64]:
    """CMA-ES from zero; the mean of the last generation. Names as in the tutorial, figure 6."""
    rng = np.random.default_rng(seed)
    lam = 8 + int(3 * math.log(n))
    mu = lam // 2
    w = math.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    w /= w.sum()
    mu_eff = 1.0 / float((w**2).sum())
    c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    c_s = (mu_eff + 2) / (n + mu_eff + 5)
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
    damping = 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_s
    chi = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
    mean, cov = np.zeros(n), np.eye(n)
    p_c, p_s = np.zeros(n), np.zeros(n)
    for generation in range(GENERATIONS):
        d2, b = np.linalg.eigh(cov)
        d = np.sqrt(np.maximum(d2, 1e-20))
        y = (rng.standard_normal((lam, n)) * d) @ b.T
        order = np.argsort([cost(mean + sigma * row) for row in y], kind="stable")[:mu]
        chosen = y[order]
        step = w @ chosen
        mean = mean + sigma * step
        p_s = (1 - c_s) * p_s + math.sqrt(c_s * (2 - c_s) * mu_eff) * (b @ ((b.T @ step) / d))
        length = float(np.linalg.norm(p_s))
        steady = length / math.sqrt(1 - (1 - c_s) ** (2 * generation + 2)) < (1.4 + 2 / (n + 1)) * chi
        p_c = (1 - c_c) * p_c + (math.sqrt(c_c * (2 - c_c) * mu_eff) * step if steady else 0.0)
        cov = (1 - c_1 - c_mu) * cov + c_1 * np.outer(p_c, p_c) + c_mu * (chosen.T * w) @ chosen
        sigma *= math.exp(min(1.0, c_s / damping * (length / chi - 1)))
    return mean


def _search() -> dict[str, Any]:
    """The numbers of the search, for the file."""
    return {
        "row": "random, reference, gains",
        "search": f"CMA-ES, {GENERATIONS} generations from zero with steps of {FIRST_STEPS}; the better one",
        "steps_of_a_continuing_episode": STEPS,
        "first_episode_seeds": {"search": SEARCH_SEED, "choice": CHOICE_SEED, "score": SCORE_SEED},
        "episodes": {
            "search": SEARCH_EPISODES,
            "choice": 2 * SEARCH_EPISODES,
            "score": SCORE_EPISODES,
            "random": RANDOM_EPISODES,
        },
    }


def text_of(rows: dict[str, list[Reference]]) -> str:
    """The file of kept references, a line for each machine."""
    head = json.dumps(_search(), indent=1)[:-2]
    kinds_text = (
        f' "{name}": [\n  ' + ",\n  ".join(json.dumps(_row(one)) for one in found) + "\n ]"
        for name, found in rows.items()
    )
    return head + ',\n "machines": {\n' + ",\n".join(kinds_text) + "\n}}\n"


def main() -> None:
    """Compute the kept references on all cores."""
    with ProcessPoolExecutor() as pool:
        for path, seeds, sign in ((KEPT, KEPT_SEEDS, 1.0), (KEPT_FLIPPED, KEPT_FLIPPED_SEEDS, -1.0)):
            names = [name for name in kinds() for _ in range(seeds)]
            found = list(pool.map(compute, names, [*range(seeds)] * len(kinds()), [sign] * len(names)))
            rows = {name: found[i * seeds : (i + 1) * seeds] for i, name in enumerate(kinds())}
            files.write(path, text_of(rows).encode())


if __name__ == "__main__":
    main()
