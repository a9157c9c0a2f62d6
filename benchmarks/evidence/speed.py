"""A control step of StreamAC and the same step in JAX, interleaved in one run on one core; needs jax.

    python -m benchmarks.evidence speed

compiled     steps one after the other without Python in between: the package's core, and one lax.scan of JAX
Python       one call a step: agent.step(), step_bound() with bound arrays, and a compiled step of JAX whose action
             Python reads before the next observation
loop         the same with the plant `cartpole` stepped from Python in between, where the sizes fit
sweep        reads, changes and writes each number of the agent once
Hopper       share of the wall time of agent.learn(env) outside the environment; needs the extra mujoco

JAX runs benchmarks/evidence/jax_agent.py with separate bodies, one thread, buffers donated, and without normalisers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rtu_edge as rtu
from benchmarks.evidence import jax_agent
from benchmarks.measure import Run, hold_one_core, host_facts, interleave, isas, required, summary, timed
from benchmarks.peer_programs.measured import versions
from rtu_edge import _testing
from rtu_edge.device.plants import Plant

SIZES = ((17, 192, (128, 128), 6), (64, 256, (64,), 1), (2, 32, (32,), 1))  # inputs, units, hidden, actions
CHUNK = 100  # steps of a scan
# Goals: the package's time over the peer's.
GOALS = {
    (192, "separate / JAX, compiled"): 5.5,
    (192, "shared / JAX, compiled"): 7.5,
    (192, "step() / JAX, Python"): 40.0,
    (32, "loop / JAX, loop"): 60.0,
    (32, "step_bound() / JAX, Python"): 200.0,
}
SWEPT = (192, 256)  # units of the sizes with a goal for the whole step over a sweep
OVER_SWEEP, HOPPER_SHARE = 1.3, 0.1  # at most
HOPPER_STEPS, HOPPER_UNITS = 20_000, 64
HOPPER_HIDDEN = ((128, 128), (32,))  # those of the sizes above with as few inputs

PLAIN: dict[str, Any] = {
    "body": "separate", "gamma": 0.99, "trace_decay": 0.9, "exploration_correlation": 0.0, "sigma_floor": 0.0,
    "actor_warmup": 0, "normalize_observation": False, "scale_reward": False,
}  # fmt: skip


def plain(d: int, actions: int, **given: Any) -> rtu.StreamAC:
    """Without normalisers and schedules: what jax_agent.py learns like."""
    return rtu.StreamAC(d, actions, **PLAIN, **given)


def compare(m: Any, dtype: Any, steps: int = 100, to: Callable[[Any], Any] = np.asarray) -> float:
    """The largest difference of a weight between package and jax_agent.py with module `m` after some steps of the same
    stream, in double precision if `dtype` is."""
    d, k = 5, 2
    agent = plain(d, k, units=7, hidden=(6, 4), seed=1, dtype=np.dtype(dtype).name)
    p = jax_agent.parameters_of(agent, m, dtype)
    step = jax_agent.make_step(m, 0.99, 0.9, (3.0, 2.0), 0.01)
    rng = np.random.default_rng(0)
    state: Any = None
    for _ in range(steps + 1):
        x, r = rng.normal(size=d).astype(np.float32).astype(dtype), float(np.float32(rng.normal()))
        if state is None:
            agent.reset(x)
        else:
            agent.step(x, r)
        given = (to(x), to(np.zeros(k, dtype)), to(np.asarray(agent.last_action_sample, dtype)))
        if state is None:
            state, _ = step.first(p, jax_agent.start(p, m, dtype), *given)  # type: ignore[attr-defined]
        else:
            p, state, _ = step(p, state, given[0], m.asarray(r, dtype), *given[1:])
    return max(
        float(np.abs(np.asarray(p[name.partition(".")[0]][name.partition(".")[2]]) - value).max())
        for name, value in agent.parameters.items()
    )


def _jax() -> Any:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    with required():
        import jax
    return jax


def jax_runs(d: int, n: int, hidden: tuple[int, ...], actions: int) -> dict[str, Run]:
    """ "JAX, compiled" and "JAX, Python" at one size."""
    jax = _jax()
    m = jax.numpy
    agent = plain(d, actions, units=n, hidden=hidden)
    step = jax_agent.make_step(m, 0.99, 0.9, (3.0, 2.0), 0.01)
    rng = np.random.default_rng(0)
    xs, noises = (rng.normal(size=(CHUNK, width)).astype(np.float32) for width in (d, actions))

    def begun() -> list[Any]:
        p = jax_agent.parameters_of(agent, m, m.float32)
        state, _ = step.first(p, jax_agent.start(p, m, m.float32), xs[0], noises[0])  # type: ignore[attr-defined]
        return [p, jax.tree_util.tree_map(m.array, state)]

    @jax.jit
    def scan(carry: Any, xs: Any, noises: Any) -> Any:
        def one(carry: Any, row: Any) -> Any:
            p, state, action = step(*carry, row[0], m.float32(0.1), row[1])
            return (p, state), action

        return jax.lax.scan(one, carry, (xs, noises))

    single, compiled, stepped, driven = jax.jit(step, donate_argnums=(0, 1)), begun(), begun(), begun()

    def run(steps: int) -> int:
        nonlocal compiled
        begin = time.perf_counter_ns()
        for _ in range(max(1, steps // CHUNK)):
            compiled, out = scan(tuple(compiled), xs, noises)
        out.block_until_ready()
        return time.perf_counter_ns() - begin

    count = 0

    def act(state: list[Any], x: Any, reward: float) -> Any:
        nonlocal count
        count += 1
        state[0], state[1], action = single(*state, x, np.float32(reward), noises[count % CHUNK])
        return np.asarray(action)

    return {
        "JAX, compiled": run,
        "JAX, Python": timed(lambda: act(stepped, xs[count % CHUNK], 0.1)),
        **plant_loop("JAX, loop", d, actions, lambda x, reward, *ends: act(driven, x, reward)),
    }


def plant_loop(name: str, d: int, actions: int, act: Callable[..., Any]) -> dict[str, Run]:
    """A cart-pole stepped from Python, and a learner: act(x, reward, terminated, truncated) is its next action."""
    plant = Plant("cartpole")
    if (d, actions) != (plant.sheet.observation_size, plant.sheet.action_size):
        return {}
    action = act(plant.reset()[0], 0.0, False, False)

    def once() -> None:
        nonlocal action
        x, *rest, _ = plant.step(plant.scale(action))
        action = act(x, *rest)
        if any(rest[1:]):
            plant.reset()

    return {name: timed(once)}


def own_runs(d: int, n: int, hidden: tuple[int, ...], actions: int) -> dict[str, Run]:
    """The package's at one size, with its default normalisers."""
    runs: dict[str, Run] = {}
    for body in ("separate", "shared"):
        agent = rtu.StreamAC(d, actions, units=n, hidden=hidden, body=body)
        bench = _testing.BenchAgent(agent._native_config, isas()[-1])
        runs |= {body: bench.run, f"predict, {body}": bench.predict, f"sweep, {body}": bench.sweep}
    agent = rtu.StreamAC(d, actions, units=n, hidden=hidden, body="separate")
    x = np.random.default_rng(0).normal(size=(CHUNK, d)).astype(np.float32)
    agent.reset(x[0])
    count = 0

    def once() -> None:
        nonlocal count
        count += 1
        agent.step(x[count % CHUNK], 0.1)

    bound = rtu.StreamAC(d, actions, units=n, hidden=hidden, body="separate")
    seen, action = np.zeros(d, np.float32), np.zeros(actions, np.float32)
    bound.bind(seen, action)
    bound.reset_bound()
    driven = rtu.StreamAC(d, actions, units=n, hidden=hidden, body="separate")
    driven.reset(np.zeros(d, np.float32))

    def act(x: Any, *outcome: Any) -> Any:
        action = driven.step(x, *outcome)
        return driven.reset(x) if any(outcome[1:]) else action

    return {
        **runs,
        "step()": timed(once),
        "step_bound()": timed(lambda: bound.step_bound(0.1)),
        **plant_loop("loop", d, actions, act),
    }


def dense_us(*size: Any) -> dict[str, float]:
    """Of a step of each body, the time in the dense layers, with a clock around every kernel."""
    d, n, hidden, actions = size
    found = {}
    for body in ("separate", "shared"):
        agent = rtu.StreamAC(d, actions, units=n, hidden=hidden, body=body)
        parts = _testing.BenchAgent(agent._native_config, isas()[-1]).parts(2000)
        found[body] = round(parts["dense"] / 1e3, 2)
    return found


def hopper(hidden: tuple[int, ...], steps: int = HOPPER_STEPS) -> dict[str, Any]:
    """agent.learn(env) on Hopper: us a step, outside the environment and in the core."""
    with required():
        import gymnasium
    spent = 0

    class Timed(gymnasium.Wrapper):  # type: ignore[misc, name-defined]
        def step(self, action: Any) -> Any:
            nonlocal spent
            begun = time.perf_counter_ns()
            result = self.env.step(action)
            spent += time.perf_counter_ns() - begun
            return result

        def reset(self, **given: Any) -> Any:
            nonlocal spent
            begun = time.perf_counter_ns()
            result = self.env.reset(**given)
            spent += time.perf_counter_ns() - begun
            return result

    env = Timed(gymnasium.make("Hopper-v4"))
    agent = rtu.StreamAC.from_env(env, seed=0, units=HOPPER_UNITS, hidden=hidden)
    agent.learn(env, steps // 10, seed=0, progress=False)
    spent, begun = 0, time.perf_counter_ns()
    agent.learn(env, steps, seed=1, progress=False)
    wall = time.perf_counter_ns() - begun
    core_ns = _testing.BenchAgent(agent._native_config, isas()[-1]).run(steps)
    us = {"us": wall, "learner_us": wall - spent, "core_us": core_ns}
    return {"hidden": hidden, "steps": steps, **{name: round(ns / steps / 1e3, 2) for name, ns in us.items()}}


def measure(rounds: int, with_jax: bool = True, hold: bool = True, with_hopper: bool = True) -> dict[str, Any]:
    """Every size; medians in us and the ratios of GOALS."""
    result: dict[str, Any] = {
        "host": host_facts(hold_one_core() if hold else "not pinned"),
        "versions": versions(),
        "rounds": rounds,
        "sizes": [],
    }
    for d, n, hidden, actions in SIZES:
        runs = own_runs(d, n, hidden, actions) | (jax_runs(d, n, hidden, actions) if with_jax else {})
        samples, busy = interleave(runs, rounds, block_ns=2e6, quanta={"JAX, compiled": CHUNK})
        us = {name: round(times[1] / 1e3, 2) for name, times in summary(samples).items()}
        row: dict[str, Any] = {"inputs": d, "units": n, "hidden": hidden, "actions": actions, "us": us,
                               "others_busy": round(busy, 2), "dense_us": dense_us(d, n, hidden, actions),
                               "ratios": {}}  # fmt: skip
        for (units, name), goal in GOALS.items():
            ours, _, peer = name.partition(" / ")
            if units == n and peer in us:
                row["ratios"][name] = {"ratio": round(us[peer] / us[ours], 2), "goal": goal}
        for body in ("separate", "shared") if n in SWEPT else ():
            ratio = round(us[body] / us[f"sweep, {body}"], 2)
            row["ratios"][f"{body} over its sweep"] = {"ratio": ratio, "goal": OVER_SWEEP}
        result["sizes"].append(row)
    if with_hopper:
        result["hopper"] = [hopper(hidden) for hidden in HOPPER_HIDDEN]
    return result


def text(result: dict[str, Any]) -> str:
    """In Markdown."""
    about = result["host"]
    named = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [f"{about['processor']}, {about['isas'][-1]}, {about['compiler']}, {about['held']};", named]
    for row in result["sizes"]:
        size = f"{row['inputs']} inputs, {row['units']} units, {'x'.join(map(str, row['hidden']))} hidden"
        lines += [f"\n{size}; other cores busy {row['others_busy']:.2f}\n", "| contender | us a step |", "|---|---|"]
        lines += [f"| {name} | {us:.2f} |" for name, us in row["us"].items()]
        lines += [f"| dense layers, {name} | {us:.2f} |" for name, us in row["dense_us"].items()]
        lines += ["", "| ratio | measured | goal |", "|---|---|---|"]
        lines += [f"| {name} | {one['ratio']:.2f} | {one['goal']:g} |" for name, one in row["ratios"].items()]
    if hops := result.get("hopper"):
        lines += [f"\nagent.learn(env) on Hopper, {HOPPER_UNITS} units, one body, {hops[0]['steps']:,} steps\n"]
        lines += [
            "| hidden | us a step | outside the environment | in the core | share outside | goal |",
            "|---" * 6 + "|",
        ]
        lines += [
            f"| {'x'.join(map(str, hop['hidden']))} | {hop['us']:.1f} | {hop['learner_us']:.1f} | "
            f"{hop['core_us']:.1f} | {hop['learner_us'] / hop['us']:.2f} | {HOPPER_SHARE:g} |"
            for hop in hops
        ]
    return "\n".join(lines)
