"""Faults in a learner and in its observations, and the supervisor's response (benchmarks/faults.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import rtu_edge as rtu
from benchmarks import faults
from rtu_edge import _core
from rtu_edge.loop.flags import MonitorFlag

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained() -> Any:
    return faults.train()


@pytest.fixture(scope="module")
def frozen(trained: Any) -> int:
    return faults.frozen_steps(trained.copy())


def test_the_frozen_policy_keeps_the_pole_up(frozen: int) -> None:
    assert frozen == faults.HORIZON


def test_there_are_enough_faults() -> None:
    assert len(faults.faults()) >= 1 + 16


@pytest.mark.parametrize("fault", faults.faults(), ids=lambda fault: fault.name)
def test_fault(fault: faults.Fault, trained: Any, frozen: int) -> None:
    seen = faults.watch(trained.copy(), fault)
    assert seen.finite and seen.worst_u <= faults.HALF_RANGE
    assert seen.steps_up >= 0.9 * frozen
    assert seen.same_bits
    if fault.non_finite:
        # 0: in the tick that first computes with it, before its action is sent or right after.
        assert seen.first_trip == 0 and seen.monitor & MonitorFlag.NON_FINITE
        assert seen.rolled_back == 1
    if fault.name == "nothing":
        assert seen.first_trip is None and seen.first_input is None and seen.fallback_steps == 0


def test_a_reward_out_of_all_measure_shows_in_the_td_error_without_a_range(trained: Any, frozen: int) -> None:
    fault = next(fault for fault in faults.faults() if fault.name == "reward times 1e6")
    seen = faults.watch(
        trained.copy(), fault, 10**6, "reward.min=-1e9", "reward.max=1e9", "learner_monitor.td_warmup=50"
    )
    assert seen.first_trip == 0 and seen.monitor & MonitorFlag.TD_ERROR
    # A persistent fault: each rollback is followed by another finding, until the learner is frozen.
    assert seen.monitor & MonitorFlag.FROZEN and seen.rolled_back == 4
    assert seen.finite and seen.same_bits and seen.steps_up >= 0.9 * frozen


@pytest.mark.parametrize("name", ["normaliser off by 1e3", "normaliser's count of rest 7"])
def test_statistics_that_no_data_can_have_made_are_found_at_once(name: str, trained: Any) -> None:
    seen = faults.watch(trained.copy(), next(fault for fault in faults.faults() if fault.name == name))
    assert seen.first_trip == 0 and seen.monitor & MonitorFlag.NORMALIZER and seen.rolled_back == 1


@pytest.mark.hazard("learner-not-finite")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"body": "shared"},
        {"cell": "nonlinear", "activation": "tanh"},
        {"units": 8, "units_per_pole": 4, "recompute": True},
        {"cell": "none"},
        {"optimizer": "adam", "actor": {"step_size": 1e-4}, "critic": {"step_size": 1e-4}},
        {"dtype": "float64", "n_actions": 3},
    ],
    ids=lambda settings: "-".join(map(str, settings)) or "default",
)
def test_nan_in_any_section_trips_within_a_tick(settings: dict[str, Any]) -> None:
    """One NaN in every section of the learner state in turn: found by the end of the next tick."""
    sizes = {"units": 4, "hidden": [4, 4]} | settings
    if "n_actions" not in sizes:
        sizes["action_size"] = 1
    agent: Any = rtu.StreamAC(observation_size=2, seed=1, **sizes)
    first = faults.Rig(agent.core.policy(), 3)
    for _ in range(5):
        first.tick()
    names = [row[0] for row in agent.core.sections() if row[5] and row[1].kind == "f"]
    assert len(names) > 25
    found, missed = [], []
    for name in names:
        twin = agent.copy()
        # The scan would find it anyway: this tests the check of a step's intermediate results.
        made = faults.supervised(twin, "learner_monitor.scan_kib=1", "learner_monitor.weight_change=0", text=NO_RANGE)
        rig = faults.Rig(made.policy, 3)
        for _ in range(5):
            rig.tick()
        section = twin.core.get(name).copy()
        section.flat[-1] = np.nan
        twin.core.set(name, section)
        # An Adam moment affects the weights, so it is found in the next step's prediction, before its action is sent.
        for _ in range(2 if ".m." in name or ".v." in name else 1):
            rig.tick()
        if made.policy.counters()["monitor_non_finite"]:
            found.append(name)
        elif any(not np.isfinite(twin.core.get(each)).all() for each in names):
            missed.append(name)
    # A NaN that neither trips nor persists was overwritten before it was read.
    assert missed == []
    assert len(found) > len(names) / 2


NO_RANGE = faults.CONFIG.replace("min = 0.0\nmax = 10.0", "")


def test_a_return_goes_to_the_newest_snapshot_that_survived(trained: Any) -> None:
    agent = trained.copy()
    made = faults.supervised(agent, "learner_monitor.snapshot_steps=100", "learner_monitor.validation_steps=60")
    rig = faults.Rig(made.policy, 5)
    taken: list[tuple[bytes, int]] = []
    validated: list[tuple[bytes, int]] = []
    for _ in range(1000):
        rig.tick()
        monitor = made.policy.info()["learner_monitor"]
        if monitor & MonitorFlag.SNAPSHOT:
            taken.append((made.policy.state(), made.policy.hash()))
        if monitor & MonitorFlag.VALIDATED:
            validated.append(taken[-1])
            assert made.supervisor.snapshot() == taken[-1][0]
    assert len(validated) >= 5
    # A snapshot that is not yet validated is not restored.
    while not made.policy.info()["learner_monitor"] & MonitorFlag.SNAPSHOT:
        rig.tick()
    faults.overwrite(np.nan, "actor.head.weight")(agent)
    rig.tick()
    assert made.policy.info()["learner_monitor"] & MonitorFlag.ROLLED_BACK
    assert made.policy.state() == validated[-1][0]
    assert made.policy.hash() == validated[-1][1]


def test_a_second_return_goes_one_further_back_and_more_freeze(trained: Any) -> None:
    agent = trained.copy()
    made = faults.supervised(
        agent,
        "learner_monitor.snapshot_steps=50",
        "learner_monitor.validation_steps=20",
        "learner_monitor.max_rollbacks=2",
    )
    rig = faults.Rig(made.policy, 5)
    for _ in range(300):
        rig.tick()
    seen = []
    for _ in range(3):
        seen.append(made.supervisor.snapshot())
        faults.one(np.nan, "actor.head.weight")(agent)
        rig.tick()
    assert seen[0] == seen[1] != made.supervisor.snapshot()
    assert made.supervisor.frozen and made.policy.counters()["monitor_frozen"] == 1
    assert made.policy.info()["learner_monitor"] & MonitorFlag.FROZEN
    # From now on the learner's state is ignored.
    state = made.policy.state()
    for _ in range(200):
        assert not rig.tick()[1]
    assert made.policy.state() == state


def test_a_return_halves_the_step_size_and_survival_gives_it_back(trained: Any) -> None:
    agent = trained.copy()
    made = faults.supervised(agent, "learner_monitor.snapshot_steps=200", "learner_monitor.validation_steps=50")
    rig = faults.Rig(made.policy, 5)
    rig.tick()
    faults.one(np.nan, ".h1")(agent)
    rig.tick()
    rig.tick()
    assert agent.core.get("scalars")[2] == 1
    for _ in range(400):
        rig.tick()
    assert made.policy.counters()["snapshots_validated"] >= 1
    assert agent.core.get("scalars")[2] == 0


def test_half_the_step_size_is_half_the_step() -> None:
    """One transition from the same state: each weight moves half as far, to the rounding of an addition near 1."""
    agent: Any = rtu.StreamAC(2, 1, units=4, hidden=[4], seed=1)
    agent.reset([0.1, 0.2])
    for k in range(3):
        agent.step([0.1 * k, 0.2], 1.0)
    agent.core.flush()
    name = "critic.head.weight"
    before = agent.core.get(name).astype(float)
    moved = []
    for halvings in (0, 1, 3):
        twin = agent.copy()
        scalars = twin.core.get("scalars")
        scalars[2] = halvings
        twin.core.set("scalars", scalars)
        twin.step([0.3, 0.2], -1.0)
        twin.core.flush()
        moved.append(twin.core.get(name).astype(float) - before)
    assert np.abs(moved[0]).max() > 1e-4
    np.testing.assert_allclose(moved[1], moved[0] / 2, atol=1e-7)
    np.testing.assert_allclose(moved[2], moved[0] / 8, atol=1e-7)


def test_the_learner_s_own_numbers_are_untouched_by_being_watched(trained: Any) -> None:
    """No finding, no difference: supervised and alone the learner ends with the same bits."""
    alone, watched = trained.copy(), trained.copy()
    rigs = [faults.Rig(alone.core.policy(), 9), faults.Rig(faults.supervised(watched).policy, 9)]
    for _ in range(1500):
        commands = [rig.tick() for rig in rigs]
        assert_array_equal(*commands)
    assert alone.state_hash() == watched.state_hash()
    assert isinstance(rigs[1].policy, _core.Policy)
