"""Families of machines: parameters from the seed, repeatability, limits, energy, references, environments."""

from __future__ import annotations

import copy
import pickle
import subprocess
from itertools import pairwise
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from test_plants import SOURCES as PLANTS
from test_plants import STRICT

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.study import families, references
from rtu_edge.study.families import Machine, kind, kinds

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "firmware_bridge" / "plants" / "families"
SOURCES = sorted(FOLDER.glob("*.c"))
ALL = kinds()


# ---------------------------------------------------------------- kinds and parameters


def test_the_halves_are_equal_and_disjoint():
    chosen, reported = kinds("chosen"), kinds("reported")
    assert len(ALL) >= 16 and sorted(chosen + reported) == sorted(ALL)
    assert len(chosen) == len(reported) and not set(chosen) & set(reported)
    for half in (chosen, reported):  # similar kinds are in both halves
        assert {kind(name).continuing for name in half} == {True, False}
        assert {kind(name).action_size for name in half} == {1, 2}


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_drawn_over_their_ranges(name):
    drawn = np.array([list(Machine(name, seed).parameters.values()) for seed in range(200)])
    for row, values in zip(kind(name).parameters, drawn.T, strict=True):
        assert row.min <= values.min() and values.max() <= row.max
        if row.draw == "integer":
            steps = round(row.max - row.min) + 1
            assert (values == values.round()).all() and len(set(values)) == min(steps, len(set(values)))
            assert steps > 10 or len(set(values)) == steps
        elif row.min < row.max:  # the middle of the draws: the quartiles of 200 uniform numbers are within 0.12
            scale = np.log if row.draw == "log" else np.array
            low, high = float(scale(row.min)), float(scale(row.max))
            quartiles = (np.quantile(scale(values), [0.25, 0.5, 0.75]) - low) / (high - low)
            assert np.abs(quartiles - [0.25, 0.5, 0.75]).max() < 0.12
    units = {row.name: row.unit for row in kind(name).parameters}
    assert len(units) == len(kind(name).parameters) and all(units.values())


def test_rewards_span_the_scales_and_both_signs():
    seen = [Machine(name, seed).step(np.zeros(kind(name).action_size))[1] for name in ALL for seed in range(50)]
    assert min(seen) < -1.0 and max(seen) > 50.0
    assert 0 < min(abs(r) for r in seen if r) < 0.02
    assert {Machine(name, seed).reward_form for name in ALL for seed in range(30)} == set(families._FORMS)


def test_the_names_of_reward_forms_are_those_of_the_header():
    text = (FOLDER / "machine.h").read_text()
    for number, form in enumerate(families._FORMS):
        assert f"TL_REWARD_{form.upper()} = {number}," in text


# ---------------------------------------------------------------- repeatability


def drive(machine: Machine, seed: int, steps: int = 200) -> bytes:
    rng = np.random.default_rng(seed)
    seen = [machine.reset(seed)[0].tobytes()]
    for _ in range(steps):
        x, reward, terminated, truncated, _ = machine.step(rng.uniform(-1.2, 1.2, machine.action_size))
        seen.append(x.tobytes() + np.float32(reward).tobytes() + bytes([terminated, truncated]))
    return b"".join(seen) + machine.state_bytes


@pytest.mark.parametrize("name", ALL)
def test_a_run_depends_on_the_seeds_alone(name):
    used = Machine(name, 5)
    drive(used, 1)
    assert drive(used, 2) == drive(Machine(name, 5), 2)
    assert drive(Machine(name, 5), 3) != drive(Machine(name, 5), 2)
    assert drive(Machine(name, 6), 2) != drive(Machine(name, 5), 2)


def test_code_that_is_not_optimised_gives_the_recorded_bits(tmp_path):
    """At -O3: the build of the tests, tests/test_native.py."""
    program = tmp_path / "test_families"
    sources = [ROOT / "tests/firmware/test_families.c", *SOURCES, *PLANTS]
    done = subprocess.run(["gcc", *STRICT, "-O0", *sources, "-o", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# ---------------------------------------------------------------- behaviour


def still(name: str, **parameters: float) -> Machine:
    """A machine without noise and delay whose reward is minus the cost."""
    return Machine(name, 0, {"noise": 0.0, "delay": 0.0, "reward_scale": 1.0, "reward_form": 0.0, **parameters})


def test_delay_and_noise_are_what_the_parameters_say():
    for delay in (0, 1, 2):
        machine = still("hover", delay=float(delay), lag_s=0.005)
        machine.reset(0)
        heights = []
        for _ in range(4):
            machine.step([1.0])
            heights.append(machine.state[1])  # speed
        first = next(i for i, speed in enumerate(heights) if speed > 0.02)
        assert first == delay
    noisy = still("oscillator-track", noise=0.01, max_steps=0.0)
    errors = []
    for _ in range(4000):
        x = noisy.step([0.0])[0]
        errors.append(x[0] - noisy.state[0])
        assert x[1] == noisy.state[2]  # the target is exact
    assert np.std(errors) == pytest.approx(0.01, rel=0.05) and abs(np.mean(errors)) < 0.001
    noisy.change(noise=0.0, bias=0.1)
    x = noisy.step([0.0])[0]
    assert x[0] - noisy.state[0] == pytest.approx(0.1, abs=1e-6)


def test_a_family_has_the_equations_of_its_plant():
    machine = Machine("cartpole", 0, {"noise": 0.0, "delay": 0.0, "mass_pole_kg": 0.1, "half_length_m": 0.5})
    plant = rtu.Plant("cartpole-full")
    plant.reset(0)
    machine.reset(0)
    for name, value in zip(range(4), plant.observe()[[0, 1, 2, 3]], strict=True):
        machine.pointer.state[name] = value
    for step in range(30):
        u = 0.3 if step % 5 else -0.9
        machine.step([u])
        plant.step([u * 9.0 * 1.1])  # the family's force is an acceleration of cart and pole
        assert machine.state == pytest.approx(plant.observe(), abs=1e-5)


def energy(machine: Machine) -> float:
    x, v = machine.state[:2]
    return 0.5 * (v**2 + (machine.parameters["frequency_rad_s"] * x) ** 2)


def test_energy_never_rises_without_a_command():
    oscillator = still("oscillator-track", frequency_rad_s=3.0, damping=0.05)
    oscillator.reset(1)
    energies = []
    for _ in range(600):
        oscillator.step([0.0])
        energies.append(energy(oscillator))
    # the integrator conserves a neighbouring energy: within omega dt / 2 = 1.5 % of the true one
    assert all(later <= earlier * 1.03 for earlier, later in pairwise(energies))
    assert energies[-1] < 0.2 * energies[0]  # exp(-2 * 0.05 * 3 * 12) = 0.03


@pytest.mark.parametrize("name", ["tank", "hover", "cart", "ball-beam"])
def test_stops_hold_and_the_cost_stays_bounded(name):
    for command in (1.0, -1.0):
        machine = still(name, max_steps=0.0)
        rewards = [machine.step([command])[1] for _ in range(800)]
        positions = machine.state[0]
        assert abs(positions) <= 3.0 and min(rewards) > -20.0


@pytest.mark.parametrize("name", ALL)
def test_an_episode_ends_as_its_kind_describes(name):
    machine = Machine(name, 1)
    if machine.continuing:
        assert machine.max_steps == 0
        assert not any(any(machine.step(np.ones(machine.action_size))[2:4]) for _ in range(3000))
        return
    steps = 0
    while True:
        steps += 1
        _, _, terminated, truncated, _ = machine.step(np.ones(machine.action_size))
        if terminated or truncated:
            break
    assert truncated == (steps == machine.max_steps)
    assert terminated == (steps < machine.max_steps)
    before = machine.state_bytes
    assert machine.step(np.ones(machine.action_size))[1:4] == (0.0, terminated, truncated)
    assert machine.state_bytes == before


# ---------------------------------------------------------------- changes and errors


def test_a_parameter_changes_while_the_machine_runs():
    machine = Machine("servo-load", 2, {"reward_scale": 0.5, "reward_form": 0.0})
    same = Machine("servo-load", 2, {"reward_scale": 0.5, "reward_form": 0.0})
    machine.change(reward_scale=-0.5)
    flipped, plain = machine.step([0.4]), same.step([0.4])
    assert flipped[1] == -plain[1] and (flipped[0] == plain[0]).all()
    friction = machine.parameters["coulomb_nm"]
    machine.change(coulomb_nm=2 * friction)
    assert machine.parameters["coulomb_nm"] == pytest.approx(2 * friction)
    machine.redraw(2)
    assert machine.parameters == Machine("servo-load", 2).parameters


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda machine: pickle.loads(pickle.dumps(machine))])
def test_a_copy_continues_with_the_same_bits(copied):
    machine = Machine("servo-load", 2, {"noise": 0.01})
    machine.reset(5)
    machine.step([0.4])
    same = copied(machine)
    assert same.parameters == machine.parameters and same.state_bytes == machine.state_bytes
    for u in (0.3, -0.7):
        machine.step([u])
        assert same.state_bytes != machine.state_bytes
        same.step([u])
        assert same.state_bytes == machine.state_bytes
    assert same.reset()[1] == machine.reset()[1] == {"episode_seed": 6}


def test_errors_name_what_is_wrong_and_change_nothing():
    machine = Machine("cart", 3)
    before = machine.state_bytes
    for values, message in (
        ({"noise": 0.0, "mass": 1.0}, r"^mass: not a parameter of cart; there are reward_scale, "),
        ({"noise": 0.0, "drag_1_s": -1.0}, r"^drag_1_s = -1.0: too far from .* 0\.2 to 2"),
        ({"noise": 0.0, "delay": 3}, r"^delay = 3: too far"),
        ({"noise": float("nan")}, r"^noise = nan: expected a number"),
    ):
        with pytest.raises(ConfigError, match=message):
            machine.change(**values)
    for u, message in (([0.0, 0.0], r"^u has shape \(2,\)"), ([np.nan], "^u is not finite")):
        with pytest.raises(ConfigError, match=message):
            machine.step(u)
    for call in (machine.reset, machine.redraw, lambda seed: Machine("cart", seed)):
        with pytest.raises(ConfigError, match=r"^seed = -1: expected an integer"):
            call(-1)
    assert machine.state_bytes == before and machine.seed == 3
    with pytest.raises(ConfigError, match=r"^kind = 'wagon': expected one of cartpole, "):
        Machine("wagon")
    with pytest.raises(ConfigError, match=r"^half = 'both': expected"):
        kinds("both")


# ---------------------------------------------------------------- references


def test_every_reference_is_far_above_random():
    """Margin: a bounded or survival reward spans 1, a cost 0.3 or more under random commands; over 20 seeds the least
    difference of a kind is 0.12 (oscillator-damp), the median 0.2 to 1.3. On other episodes the reference differs by at
    most 0.09 of the difference, the random return by at most 0.13.
    """
    for name in ALL:
        for seed in range(references.KEPT_SEEDS):
            found = references.reference(name, seed)
            machine = Machine(name, seed)
            scale = machine.parameters["reward_scale"] * (1 if machine.continuing else machine.max_steps)
            assert found.reference - found.random > 0.1 * scale, (name, seed, found)


def test_the_kept_references_are_those_of_these_machines():
    for name in ALL:
        for seed in (0, 11)[: 1 if name in ("servo-load", "arm", "reacher") else 2]:
            found, machine = references.reference(name, seed), Machine(name, seed)
            gains = np.array(found.gains)
            first = references.SCORE_SEED
            assert references.mean_return(machine, None, first, references.RANDOM_EPISODES) == found.random, name
            assert references.mean_return(machine, gains, first, references.SCORE_EPISODES) == found.reference, name


def test_a_search_gives_what_is_kept_and_a_folder_keeps_others(tmp_path):
    kept = references.reference("cartpole", 1)
    assert references.compute("cartpole", 1).reference == pytest.approx(kept.reference, rel=0.02)
    other = references.reference("pendulum-hold", 20, tmp_path)
    (path,) = tmp_path.iterdir()
    references._computed.cache_clear()
    assert path.name == "pendulum-hold-20.json" and references.reference("pendulum-hold", 20, tmp_path) == other
    assert other.score(other.reference) == 1.0 and other.score(other.random) == 0.0


def test_the_file_states_the_search():
    text = references.KEPT.read_text()
    assert text == references.text_of({name: references._kept(references.KEPT)[name] for name in ALL})


# ---------------------------------------------------------------- users


def test_a_learner_learns_on_a_machine():
    machine = Machine("pendulum-hold", 0)
    agent = rtu.StreamAC.from_env(machine, seed=0)
    assert agent.config["dt_s"] == 0.02 and agent.config["observation_size"] == 1
    result = agent.learn(machine, 3000, progress=False, seed=0)
    assert result.steps == 3000 and result.episodes > 3


def test_the_environment_draws_a_machine_for_each_episode():
    from gymnasium.utils.env_checker import check_env

    env = gymnasium.make("rtu_edge.envs:rtu_edge/Family-v0", kind="cartpole-wide", machine_seed=4)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.reset(seed=1)[1]["machine_seed"] == env.reset()[1]["machine_seed"] == 4
    many = gymnasium.make("rtu_edge.envs:rtu_edge/Family-v0", kind="cartpole-wide", randomize=True)
    seeds = [many.reset(seed=1)[1]["machine_seed"], *(many.reset()[1]["machine_seed"] for _ in range(3))]
    assert len(set(seeds)) == 4 and many.reset(seed=1)[1]["machine_seed"] == seeds[0]
    agent = rtu.StreamAC.from_env(many, seed=0)
    assert agent.learn(many, 500, progress=False, seed=0).steps == 500
    with pytest.raises(TypeError, match="render_mode"):
        gymnasium.make("rtu_edge.envs:rtu_edge/Family-v0", kind="cart", render_mode="ansi").reset()


def test_the_document_describes_every_kind():
    text = " ".join((ROOT / "docs" / "families.md").read_text(encoding="utf-8").split())
    for name in ALL:
        found = kind(name)
        assert f"| `{name}` | {found.half} | {found.title} | {found.task} |" in text
    for row in kind("cart").parameters[:6]:
        assert f"`{row.name}`" in text
