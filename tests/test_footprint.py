"""footprint(): the bytes of every configuration, the time of a step."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge.learn import make


def configurations(seed: int, count: int) -> list[dict[str, Any]]:
    """Any kind, cell, optimiser, width, precision; sizes around whole vectors and odd ones."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        cell = str(rng.choice(["linear", "nonlinear", "mingru", "lru", "elstm", "none"]))
        per_pole = int(rng.choice([1, 2, 3, 8])) if cell in ("linear", "lru") else 1
        config: dict[str, Any] = {
            "kind": str(rng.choice(["stream_ac", "stream_q", "td_predictor", "td_bank", "online_regressor"])),
            "cell": cell,
            "units": per_pole * int(rng.integers(1, 40)),
            "units_per_pole": per_pole,
            "activation": str(rng.choice(["relu", "tanh", "identity"])),
            "hidden": [int(width) for width in rng.integers(1, 40, rng.integers(0, 5))],
            "encoder": [int(width) for width in rng.integers(1, 40, rng.choice([0, 0, 1, 2]))],
            "optimizer": str(rng.choice(["obgd", "sgd", "adam"])),
            "dtype": str(rng.choice(["float32", "float64"])),
            "seed": int(rng.integers(1000)),
        }
        inputs = int(rng.integers(1, 40))
        if config["kind"] == "stream_ac":
            actions = "n_actions" if rng.random() < 0.5 else "action_size"
            config |= {
                "observation_size": inputs,
                actions: int(rng.integers(2, 20)),
                "body": str(rng.choice(["separate", "shared"])),
                "recompute": bool(rng.random() < 0.5),
            }
            # Two bodies: sections enough for two layers with Adam, or for one with an encoder of one.
            config["encoder"] = config["encoder"][:1]
            config["hidden"] = config["hidden"][: 1 if config["encoder"] else 2]
        elif config["kind"] == "stream_q":
            config |= {"observation_size": inputs, "n_actions": int(rng.integers(2, 20))}
        elif config["kind"] == "td_predictor":
            config |= {"observation_size": inputs}
        elif config["kind"] == "td_bank":
            config |= {"observation_size": inputs, "gammas": [0.9] * int(rng.integers(1, 30))}
        else:
            config |= {"observation_size": inputs, "n_outputs": int(rng.integers(1, 20))}
        found.append(config)
    return found


def test_bytes_are_exact_over_many_configurations() -> None:
    kinds = set()
    for config in configurations(0, 300):
        sized, made = rtu.footprint(config), make(config)
        assert sized.nbytes == made.nbytes, config
        assert sized.sections == made.sections, config
        assert sized.flops_per_step > 0
        kinds.add((config["kind"], config["cell"], config["optimizer"], config["dtype"]))
    assert len(kinds) > 90, "of 180"


def test_sections_lie_inside_what_is_planned() -> None:
    for config in configurations(1, 40):
        made = make(config)
        rows = made.core.sections()
        assert all(offset < made.nbytes for *_, offset, _ in rows)
        assert sum(nbytes for *_, nbytes, _, _ in rows) <= made.nbytes


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "stream_ac", "observation_size": 2, "action_size": 1},
        {"kind": "stream_ac", "observation_size": 2, "n_actions": 3, "body": "shared", "recompute": True},
        {"kind": "stream_ac", "observation_size": 2, "action_size": 1, "dtype": "float64", "optimizer": "adam"},
        {"kind": "stream_q", "observation_size": 2, "n_actions": 3},
        {"kind": "stream_sarsa", "observation_size": 2, "n_actions": 3, "previous_action": True},
        {"kind": "stream_qrc", "observation_size": 2, "n_actions": 3},
        {"kind": "td_predictor", "observation_size": 4, "normalize_observation": True},
        {"kind": "td_predictor", "observation_size": 4, "cell": "none", "hidden": [8]},
        {"kind": "online_regressor", "observation_size": 4, "cell": "nonlinear"},
        {"kind": "stream_ac", "observation_size": 2, "action_size": 1, "cell": "mingru"},
        {"kind": "td_predictor", "observation_size": 4, "cell": "lru"},
        {"kind": "online_regressor", "observation_size": 4, "cell": "elstm", "dtype": "float64"},
    ],
    ids=str,
)
def test_times_of_a_step(config: dict[str, Any]) -> None:
    sized = rtu.footprint(config)
    assert sized.times is None
    times = sized.calibrate(0.01).times
    assert times is not None
    assert times.isa == ("scalar" if config.get("dtype") == "float64" else _core.isa)
    assert min(times.predict_us, times.traces_us, times.update_us) >= 0
    assert times.predict_us > 0
    assert 0.01 < times.step_us < 1e5
    assert times.rate_hz == pytest.approx(1e6 / times.step_us)


def test_calibration_changes_nothing_else() -> None:
    sized = rtu.footprint(observation_size=3, action_size=1, calibrate=True)
    plain = rtu.footprint(observation_size=3, action_size=1)
    assert sized.times is not None
    assert (sized.nbytes, sized.flops, sized.sections) == (plain.nbytes, plain.flops, plain.sections)
    last = str(sized).splitlines()[-1]
    assert re.fullmatch(r"\S+ us per step \(\w+\): predict \S+, traces \S+, update \S+; at most \S+ steps/s", last), (
        last
    )
    assert str(plain) == "\n".join(str(sized).splitlines()[:-1])


@pytest.mark.parametrize("seconds", [-1, 61, float("nan"), "1", True])
def test_a_time_out_of_range_is_refused(seconds: Any) -> None:
    with pytest.raises(rtu.ConfigError, match="seconds"):
        rtu.footprint(observation_size=3, action_size=1).calibrate(seconds)


@pytest.mark.timing
@pytest.mark.alone
def test_a_larger_learner_takes_longer_and_the_parts_are_in_proportion() -> None:
    small = rtu.footprint(observation_size=2, action_size=1, units=8, hidden=8).calibrate(0.2).times
    large = rtu.footprint(observation_size=64, action_size=1, units=256, hidden=64).calibrate(0.2).times
    assert small is not None
    assert large is not None
    assert large.step_us > 4 * small.step_us
    # The calibrated time matches run(): a factor of two either way allows for a noisy host.
    import time

    agent = rtu.StreamAC(64, 1, units=256, hidden=64)
    x, r = np.random.default_rng(0).uniform(-1, 1, (256, 64)).astype(np.float32), np.zeros(256)
    agent.run(x, r)
    taken = []
    for _ in range(15):
        begun = time.thread_time()
        agent.run(x, r)
        taken.append((time.thread_time() - begun) / 256 * 1e6)
    assert 0.5 < np.median(taken) / large.step_us < 2


def test_the_largest_layouts_fit_into_the_table_of_arrays() -> None:
    """Four layers on each side of the cell, two bodies, every rule: the number is that of native/core/arena.h."""
    deep: dict[str, Any] = {"observation_size": 2, "action_size": 1, "units": 4, "hidden": (4,) * 4}
    deep |= {"encoder": (4,) * 4, "body": "separate", "recompute": True, "previous_action": True}
    cells = ("linear", "nonlinear", "mingru", "lru", "elstm", "none")
    rules = ("obgd", "adaptive_obgd", "sgd", "adam", "intentional")
    kept = {
        (cell, rule): len(rtu.StreamAC(**deep, cell=cell, optimizer=rule).sections)
        for cell, rule in itertools.product(cells, rules)
    }
    assert max(kept.values()) == kept["lru", "intentional"] == 398
    arena = (Path(__file__).parents[1] / "native/core/arena.h").read_text("utf-8")
    assert "kMaxSections = 416;  // of LargestTable and a file; the largest layout has 398" in arena
