"""A control step of StreamAC and the same step in JAX, interleaved in one run on one core; needs jax.

    python -m benchmarks.evidence speed

compiled     steps one after the other without Python in between: the package's core, and one lax.scan of JAX
Python       one call a step: agent.step(), step_bound() with bound arrays, and a compiled step of JAX whose action
             Python reads before the next observation
sweep        reads, changes and writes each number of the agent once

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
from rtu_edge import _testing

SIZES = ((17, 192, (128, 128), 6), (2, 32, (32,), 1))  # inputs, units, hidden, actions
CHUNK = 100  # steps of a scan
# Goals: the package's time over the peer's.
GOALS = {
    (192, "separate / JAX, compiled"): 5.5,
    (192, "shared / JAX, compiled"): 7.5,
    (192, "step() / JAX, Python"): 40.0,
    (32, "step() / JAX, Python"): 60.0,
    (32, "step_bound() / JAX, Python"): 200.0,
}

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

    single, compiled, stepped = jax.jit(step, donate_argnums=(0, 1)), begun(), begun()

    def run(steps: int) -> int:
        nonlocal compiled
        begin = time.perf_counter_ns()
        for _ in range(max(1, steps // CHUNK)):
            compiled, out = scan(tuple(compiled), xs, noises)
        out.block_until_ready()
        return time.perf_counter_ns() - begin

    count = 0

    def once() -> None:
        nonlocal count
        count += 1
        stepped[0], stepped[1], action = single(*stepped, xs[count % CHUNK], np.float32(0.1), noises[count % CHUNK])
        np.asarray(action)

    return {"JAX, compiled": run, "JAX, Python": timed(once)}


def own_runs(d: int, n: int, hidden: tuple[int, ...], actions: int) -> dict[str, Run]:
    """The package's at one size, with its default normalisers."""
    runs: dict[str, Run] = {}
    for body in ("separate", "shared"):
        agent = rtu.StreamAC(d, actions, units=n, hidden=hidden, body=body)
        bench = _testing.BenchAgent(agent._native_config, isas()[-1])
        runs |= {body: bench.run, f"sweep, {body}": bench.sweep}
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
    return {**runs, "step()": timed(once), "step_bound()": timed(lambda: bound.step_bound(0.1))}


def measure(rounds: int, with_jax: bool = True, hold: bool = True) -> dict[str, Any]:
    """Every size; medians in us and the ratios of GOALS."""
    result: dict[str, Any] = {
        "host": host_facts(hold_one_core() if hold else "not pinned"),
        "rounds": rounds,
        "sizes": [],
    }
    for d, n, hidden, actions in SIZES:
        runs = own_runs(d, n, hidden, actions) | (jax_runs(d, n, hidden, actions) if with_jax else {})
        samples, busy = interleave(runs, rounds, block_ns=2e6, quanta={"JAX, compiled": CHUNK})
        us = {name: round(times[1] / 1e3, 2) for name, times in summary(samples).items()}
        row: dict[str, Any] = {"inputs": d, "units": n, "hidden": hidden, "actions": actions, "us": us,
                               "others_busy": round(busy, 2), "ratios": {}}  # fmt: skip
        for (units, name), goal in GOALS.items():
            ours, _, peer = name.partition(" / ")
            if units == n and peer in us:
                row["ratios"][name] = {"ratio": round(us[peer] / us[ours], 2), "goal": goal}
        for body in ("separate", "shared"):
            row["ratios"][f"{body} over its sweep"] = {"ratio": round(us[body] / us[f"sweep, {body}"], 2), "goal": 1.3}
        result["sizes"].append(row)
    return result


def text(result: dict[str, Any]) -> str:
    """In Markdown."""
    lines = []
    for row in result["sizes"]:
        size = f"{row['inputs']} inputs, {row['units']} units, {'x'.join(map(str, row['hidden']))} hidden"
        lines += [f"\n{size}; other cores busy {row['others_busy']:.2f}\n", "| contender | us a step |", "|---|---|"]
        lines += [f"| {name} | {us:.2f} |" for name, us in row["us"].items()]
        lines += ["", "| ratio | measured | goal |", "|---|---|---|"]
        lines += [f"| {name} | {one['ratio']:.2f} | {one['goal']:g} |" for name, one in row["ratios"].items()]
    return "\n".join(lines)
