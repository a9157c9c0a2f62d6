"""The native training loop gives the same bits as the loop in Python."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from rtu_edge._bridge import ffi

import rtu_edge as rtu
from rtu_edge.learn import native
from rtu_edge.study.families import Machine

PLANTS = ("cartpole", "pendulum", "servo")


class InPython(rtu.Plant):
    """A plant of which every step is a call from Python."""


def outcome(result: Any) -> tuple[Any, ...]:
    return (result.steps, result.returns, result.lengths, result.mean_reward)


def pair(name: str, max_steps: int | None = None, **settings: Any) -> list[tuple[rtu.StreamAC, rtu.Plant]]:
    plants = [kind(name, max_steps) for kind in (rtu.Plant, InPython)]
    agents = [rtu.StreamAC.from_env(plant, seed=3, **settings) for plant in plants]
    assert [native.drives(*both) for both in zip(agents, plants, strict=True)] == [True, False]
    return list(zip(agents, plants, strict=True))


@pytest.mark.parametrize("settings", [{}, {"n_actions": 3}, {"dtype": "float64", "body": "shared"}], ids=str)
@pytest.mark.parametrize("name", PLANTS)
def test_learning_gives_the_same_bits(name: str, settings: dict[str, Any]) -> None:
    (ours, plant), (reference, slow) = pair(name, 70, units=8, **settings)
    for steps, seed in ((701, 5), (140, None), (1, 2**32 - 1), (71, None)):  # in the middle, at the end of an episode
        found, expected = (a.learn(p, steps, progress=False, seed=seed) for a, p in ((ours, plant), (reference, slow)))
        assert outcome(found) == outcome(expected)
        assert ours.state_hash() == reference.state_hash()
        assert plant.state_bytes == slow.state_bytes
        assert plant.next_seed == slow.next_seed
        assert ours.last_step == reference.last_step
        np.testing.assert_equal(ours.diagnostics, reference.diagnostics)  # NaN before the first window


class MachineInPython(Machine):
    """As InPython."""


@pytest.mark.parametrize("settings", [{}, {"n_actions": 3}], ids=str)
def test_learning_on_a_member_of_a_family_gives_the_same_bits(settings: dict[str, Any]) -> None:
    ours, slow = Machine("cartpole", 5), MachineInPython("cartpole", 5)
    agents = [rtu.StreamAC.from_env(env, seed=1, **settings) for env in (ours, slow)]
    found, expected = (a.learn(e, 900, progress=False, seed=3) for a, e in zip(agents, (ours, slow), strict=True))
    assert outcome(found) == outcome(expected)
    assert agents[0].state_hash() == agents[1].state_hash()
    assert ours.state_bytes == slow.state_bytes and ours.next_seed == slow.next_seed


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("settings", [{}, {"n_actions": 2}], ids=str)
@pytest.mark.parametrize("name", PLANTS)
def test_evaluation_gives_the_same_bits(name: str, settings: dict[str, Any], deterministic: bool) -> None:
    (ours, plant), (reference, slow) = pair(name, 60, **settings)
    for agent, env in ((ours, plant), (reference, slow)):
        agent.learn(env, 300, progress=False, seed=1)
    before = ours.state_hash()
    for max_steps in (25, 10_000):
        found, expected = (
            rtu.evaluate(a, p, 4, seed=9, deterministic=deterministic, max_steps=max_steps)
            for a, p in ((ours, plant), (reference, slow))
        )
        assert found == expected
        assert plant.state_bytes == slow.state_bytes and plant.next_seed == slow.next_seed
    assert ours.state_hash() == before


def test_the_length_of_a_native_call_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(first: int, seconds: float) -> tuple[list[Any], str]:
        monkeypatch.setattr(native, "_FIRST_CALL", first)
        monkeypatch.setattr(native, "_CALL_S", seconds)
        plant = rtu.Plant("cartpole")
        agent = rtu.StreamAC.from_env(plant, seed=1)
        rows = list(native.chunks(agent, plant, 2500, seed=2))
        return [
            np.concatenate([getattr(row, name) for row in rows]).tolist()
            for name in ("returns", "lengths", "ended_at", "windows")
        ], agent.state_hash()

    assert run(7, 0.0) == run(2500, 10.0)


def test_the_windows_are_those_of_the_steps() -> None:
    plant, slow, records = rtu.Plant("pendulum", 0), rtu.Plant("pendulum", 0), []
    agents = [rtu.StreamAC.from_env(plant, seed=4) for _ in range(2)]
    rows = np.concatenate([chunk.windows for chunk in native.chunks(agents[0], plant, 2000, seed=6)])
    agents[1].learn(slow, 2000, progress=False, seed=6, callback=records.append)
    assert rows.shape == (2, len(native.WINDOW_COLUMNS))
    for row, taken in zip(rows, (records[:1000], records[1000:]), strict=True):
        assert row[0] == pytest.approx(np.mean([r.reward for r in taken]), rel=1e-12)
        assert row[2] == pytest.approx(np.mean(np.abs([r.td_error for r in taken])), rel=1e-12)
        assert row[3:].tolist() == [taken[-1].sigma, taken[-1].entropy]
    # A record knows whether the action chosen after it was clipped; a window counts the actions of its steps.
    assert rows[1, 1] == pytest.approx(np.mean([r.clipped for r in records[999:1999]]), rel=1e-12)


def test_python_drives_where_its_code_has_to_run() -> None:
    plant, agent = rtu.Plant("cartpole"), rtu.StreamAC(observation_size=2, action_size=1, dt_s=0.02)

    class Careful(rtu.StreamAC):
        def step(self, *arguments: Any, **named: Any) -> Any:
            return super().step(*arguments, **named)

    assert native.drives(agent, plant)
    assert not native.drives(Careful(observation_size=2, action_size=1), plant)
    plant.step = lambda u: pytest.fail("not called here")  # type: ignore[method-assign]
    assert not native.drives(agent, plant)


def test_sizes_are_checked() -> None:
    plant, agent = rtu.Plant("cartpole-full"), rtu.StreamAC(observation_size=2, action_size=1)
    with pytest.raises(ValueError, match="observation_size = 4"):
        agent.learn(plant, 10)
    described = native._described(rtu.StreamAC.from_env(plant), plant, 0)
    with pytest.raises(ValueError, match="4 observations, the agent has 2"):
        agent.core.train(described, "learn", 10, 0, 0)


def test_a_diverged_learner_is_reported_as_in_python() -> None:
    messages = []
    for agent, plant in pair("pendulum", optimizer="sgd", actor={"step_size": 1e6}, critic={"step_size": 1e6}):
        with pytest.raises(RuntimeError, match=r"learn\(\), step [\d,]+: the learner has diverged") as error:
            agent.learn(plant, 5000, progress=False, seed=0)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.timing
def test_an_interrupt_ends_learning_at_once() -> None:
    code = (
        "import rtu_edge as rtu\np = rtu.Plant('cartpole')\na = rtu.StreamAC.from_env(p, units=512)\n"
        "print(flush=True)\ntry:\n    a.learn(p, 10**9, progress=False)\n"
        "except KeyboardInterrupt:\n    print(a.steps_learned)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.5)
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert int(child.stdout.readline()) > 0
        assert time.monotonic() - begin < 1.0  # .05 s on a quiet host


class Recorder:
    """A plant in C whose functions are Python code: observations are noise, the commands are kept."""

    def __init__(self, **limits: Any) -> None:
        self.sheet = rtu.Plant("cartpole").sheet
        self.commands: list[float] = []
        self.observations: list[np.ndarray] = []
        self.next_seed, self._limits = 0, limits
        self._rng = np.random.default_rng(5)
        self._state = ffi.new("float[2]")
        self._functions = (
            ffi.callback("void(void *, uint32_t)", lambda state, seed: None),
            ffi.callback("tl_plant_result(void *, float *)", self._step),
            ffi.callback("void(void *, float *)", self._observe),
        )

    def _step(self, state: Any, u: Any) -> Any:
        self.commands.append(u[0])
        return {"reward": -abs(u[0]), "terminated": len(self.commands) % 90 == 0, "truncated": False}

    def _observe(self, state: Any, x: Any) -> None:
        x[0:2] = self._rng.normal(size=2).tolist()
        self.observations.append(np.array([x[0], x[1]], np.float32))

    def scale(self, action: Any) -> Any:
        raise AssertionError

    def native_plant(self) -> native.Functions:
        reset, step, observe, state = (int(ffi.cast("uintptr_t", p)) for p in (*self._functions, self._state))
        ends = np.array([10.0], np.float32)
        return native.Functions(reset, step, observe, state, -ends, ends, **self._limits)


@pytest.mark.parametrize("previous", [{}, {"previous_action": True, "previous_reward": True}], ids=["", "previous"])
@pytest.mark.parametrize("told", [True, False])
def test_a_limited_command_is_learned_off_policy_or_as_a_part_of_the_plant(
    told: bool, previous: dict[str, bool]
) -> None:
    slew, accel, steps = 0.25, 0.1, 400
    plant = Recorder(slew=slew, accel=accel, told=told)
    agents = [rtu.StreamAC(2, 1, units=8, seed=2, **previous) for _ in range(3)]
    list(native.chunks(agents[0], plant, steps))
    assert len(plant.commands) == steps
    observed = iter(plant.observations)
    followed = 0
    for at, command in enumerate(plant.commands):
        u = np.float32(command)
        fraction = (u - np.float32(-10.0)) / np.float32(20.0)
        applied = np.array([np.float32(2.0) * fraction - np.float32(1.0)])
        if at % 90 == 0:
            last = change = 0.0
            agents[1].begin()
            action = agents[1].predict(next(observed))
            agents[1].update(0.0)
        wanted = 10.0 * float(np.clip(action[0], -1.0, 1.0))
        followed += abs(wanted - command) < 1e-3
        assert abs(command - last) <= slew * 20.0 + 1e-4 and abs(command) <= 10.0
        assert abs(command - last - change) <= accel * 20.0 + 1e-4 or abs(abs(command) - 10.0) < 1e-4
        last, change = command, command - last
        action = agents[1].predict(next(observed), reward=-abs(command), applied=applied)
        agents[1].update(-abs(command), (at + 1) % 90 == 0, applied=applied if told else None)
    assert agents[0].state_hash() == agents[1].state_hash()
    assert 0 < followed < steps  # some of the actions were limited
    list(native.chunks(agents[2], Recorder(), steps))
    assert agents[2].state_hash() != agents[0].state_hash()


@pytest.mark.parametrize("limits", [{"slew": 0.0}, {"accel": -1.0}, {"slew": float("nan")}])
def test_a_limit_that_cannot_be_enforced_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"limits: (slew|acceleration)"):
        list(native.chunks(rtu.StreamAC(2, 1), Recorder(**limits), 1))
