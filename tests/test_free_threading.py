"""Learners, loops and links used by several threads at once, also by an interpreter without a global lock."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Limits, Link, Loop, LoopConfig, Reward

FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
D = 3
X = np.array([0.5, -1.0, 2.0], np.float32)

# What learns, drives and logs, with its dependencies.
IMPORTS = (
    "rtu_edge._core rtu_edge._testing rtu_edge._bridge rtu_edge.learn rtu_edge.loop.robot rtu_edge.loop.connecting"
    " rtu_edge.device.simulated rtu_edge.device.python_device rtu_edge.learn.checkpoint rtu_edge.config"
    " rtu_edge.record.file rtu_edge.record.reader rtu_edge.run mcap.writer rtu_edge.cli"
)


def learner(kind: str) -> Any:
    if kind == "agent":
        return rtu.StreamAC(D, 1, units=8, hidden=8)
    if kind == "predictor":
        return rtu.TDPredictor(D, units=8, hidden=8)
    return rtu.OnlineRegressor(D, 2, units=8, hidden=8)


def stepper(model: Any) -> Callable[[], Any]:
    """A step that many threads may take in any order: each is the same."""
    if isinstance(model, rtu.StreamAC):
        model.bind(X, np.zeros(1, np.float32))
        model.reset_bound()
        return lambda: model.step_bound(0.25)
    if isinstance(model, rtu.TDPredictor):
        return lambda: model.step(X, 0.25)
    model.bind(X, np.zeros(2, np.float32), np.array([0.5, -0.5], np.float32))
    return model.step_bound


def together(*bodies: Callable[[], None]) -> None:
    """Each in a thread of its own, all begun at once; the first error is raised here."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(bodies))

    def guarded(body: Callable[[], None]) -> None:
        try:
            gate.wait(30)
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def linked() -> Iterator[Link]:
    """A link to a cart-pole of its own."""
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as made:
        made.handshake()
        yield made


class Paused:
    """A reward of a run in lockstep that stops at a step until it may continue."""

    def __init__(self, at: int | None) -> None:
        self.at, self.calls = at, 0
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, x: Any, u: Any) -> float:
        self.calls += 1
        if self.calls == self.at:
            self.reached.set()
            assert self.go_on.wait(60)
        return float(np.cos(x[0]))


def config(reward: Paused, steps: int = 300) -> LoopConfig:
    return LoopConfig(limits=[Limits(-10, 10)], seed=3, steps=steps, reward=Reward("callable", function=reward))


def test_an_interpreter_without_a_lock_stays_so() -> None:
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    code += "; import rtu_edge as rtu; rtu.StreamAC(2, 1); print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code, *IMPORTS.split()]
    own = {key: value for key, value in os.environ.items() if key != "PYTHON_GIL"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert (done.returncode, done.stdout.strip()) == (0, str(not FREE)), done.stderr


@pytest.mark.parametrize("kind", ["agent", "predictor", "regressor"])
def test_the_steps_of_four_threads_are_as_many_of_one(kind: str) -> None:
    k = 500
    alone, shared = learner(kind), learner(kind)
    step = stepper(alone)
    for _ in range(4 * k):
        step()
    step = stepper(shared)
    together(*[lambda: [step() for _ in range(k)] and None] * 4)
    assert shared.state_hash() == alone.state_hash()


def test_who_reads_meanwhile_sees_states_between_two_steps() -> None:
    k = 400
    alone, shared = learner("agent"), learner("agent")
    step = stepper(alone)
    states = {alone.state_hash()}
    for _ in range(k):
        step()
        states.add(alone.state_hash())
    step = stepper(shared)
    over = threading.Event()
    seen: list[str] = []

    def write() -> None:
        try:
            for _ in range(k):
                step()
        finally:
            over.set()

    def read(one: Callable[[], Any]) -> Callable[[], None]:
        def body() -> None:
            while not over.is_set():
                seen.append(one().state_hash())

        return body

    def loaded() -> Any:
        twin = learner("agent")
        assert twin.core.load(shared.core.save("{}")) == (0, "")
        return twin

    together(write, read(lambda: shared), read(shared.copy), read(loaded))
    assert seen and set(seen) <= states
    assert shared.state_hash() == alone.state_hash()


USES: dict[str, Callable[[rtu.StreamAC], Any]] = {
    "step": lambda agent: agent.step(X[:2], 0.0),
    "step_bound": lambda agent: agent.step_bound(0.0),
    "reset": lambda agent: agent.reset(X[:2]),
    "reset_bound": lambda agent: agent.reset_bound(),
    "predict": lambda agent: agent.predict(X[:2]),
    "act": lambda agent: agent.act(X[:2]),
    "update": lambda agent: agent.update(0.0),
    "run": lambda agent: agent.run(X[:2].reshape(1, 2), [0.0]),
    "begin": lambda agent: agent.begin(),
    "copy": lambda agent: agent.copy(),
    "pickle": pickle.dumps,
    "save": lambda agent: agent.save("refused.ckpt"),
    "state_hash": lambda agent: agent.state_hash(),
    "parameters": lambda agent: agent.parameters,
    "load_parameters": lambda agent: agent.load_parameters({}),
    "diagnostics": lambda agent: agent.diagnostics,
    "last_step": lambda agent: agent.last_step,
    "last_action_sample": lambda agent: agent.last_action_sample,
    "adopt": lambda agent: agent.core.adopt(bytes(agent.nbytes)),
    "load": lambda agent: agent.core.load(rtu.StreamAC(2, 1, units=8, hidden=8).core.save("{}")),
    "policy": lambda agent: agent.core.policy().begin(),
    "policy.state": lambda agent: agent.core.policy().state(),
}


@pytest.mark.parametrize("supervised", [False, True], ids=["loop", "robot"])
def test_an_agent_belongs_to_the_loop_that_drives_it(supervised: bool) -> None:
    """Every use of it is refused, and the run learns what it learns without them."""

    def driven(reward: Paused, meanwhile: Callable[[rtu.StreamAC], None]) -> str:
        agent = rtu.StreamAC(2, 1, units=8, hidden=8)
        agent.bind(np.zeros(2, np.float32), np.zeros(1, np.float32))
        with contextlib.ExitStack() as stack:
            if supervised:
                robot = stack.enter_context(rtu.connect("cartpole"))
                given = Reward("callable", function=reward)
                run: Callable[[], Any] = partial(robot.run, agent, steps=300, seed=3, reward=given)
            else:
                loop = stack.enter_context(Loop(stack.enter_context(linked()), agent, config(reward)))
                run = loop.run
            together(run, lambda: meanwhile(agent))
        agent.copy().reset(X[:2])  # it is free again
        return agent.state_hash()

    reward = Paused(100)

    def use(agent: rtu.StreamAC) -> None:
        try:
            assert reward.reached.wait(60)
            for name, one in USES.items():
                with pytest.raises(RuntimeError, match=r"^a loop drives this learner in another thread"):
                    one(agent)
                    pytest.fail(f"{name} was not refused")
            assert "learning in another thread" in repr(agent)
            with linked() as other:
                second = Loop(other, agent, config(Paused(None)))
                with pytest.raises(RuntimeError, match=r"^a loop drives this learner"):
                    second.start()
                free = rtu.StreamAC(2, 1, units=8, hidden=8)
                with Loop(other, free, config(Paused(None), 10)) as second:
                    assert second.run().steps == 10
        finally:
            reward.go_on.set()

    assert driven(reward, use) == driven(Paused(None), lambda agent: None)


def test_a_loop_waits_for_no_run_of_its_agent() -> None:
    """Refused at once; run() and link are as before."""
    agent = rtu.StreamAC(2, 1, units=64, hidden=64)
    k = 30_000
    thread = threading.Thread(target=agent.run, args=(np.zeros((k, 2), np.float32), np.zeros(k)))
    with linked() as link, Loop(link, agent, config(Paused(None), 10)) as loop:
        thread.start()
        refused = False
        while thread.is_alive() and not refused:
            try:
                agent.state_hash()
            except RuntimeError:
                with pytest.raises(RuntimeError, match="another thread"):
                    loop.start()
                refused = True
        thread.join()
        assert refused
        assert loop.run().steps == 10


def test_each_record_is_drained_once_by_several_threads() -> None:
    agent = rtu.StreamAC(2, 1, units=8, hidden=8)
    steps = 2000
    taken: list[np.ndarray] = []
    with linked() as link, Loop(link, agent, config(Paused(None), steps)) as loop:

        def drain() -> None:
            while not loop.wait(0.001):
                taken.append(loop.drain())
                assert loop.status().steps <= steps
                assert len(loop.drain_episodes()) <= steps

        loop.start()
        together(drain, drain, drain, lambda: [loop.result() for _ in range(2)] and None)
        result = loop.result()
        taken.append(loop.drain())
    records = [record.tobytes() for record in np.concatenate(taken)]
    assert len(set(records)) == len(records) == steps + 1 + result.episodes - result.counters["records_dropped"]


def test_a_link_is_closed_once_by_several_threads() -> None:
    """What another thread opens meanwhile may get the same descriptor, and is not closed."""
    for _ in range(20):
        with SimulatedDevice("cartpole") as device, open_port(device.port) as port:
            link = Link(port)
            link.handshake()
            opened: list[int] = []

            def open_one(into: list[int] = opened) -> None:
                into.append(os.open(os.devnull, os.O_RDONLY))

            together(link.close, link.close, link.close, open_one)
            os.close(opened[0])
