"""The same learning step in numpy, JAX and torch; and a GRU with truncated backpropagation.

All learn a linear RTU of n units on d inputs by exact RTRL and SGD for a given cotangent of the state, one step at a
time, in float32, and return the state to the host before the next step starts. A peer that cannot be imported is
left out. Formulas: docs/math.md, 1 and 2.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np

from benchmarks.measure import Run, timed

RATE = 1e-6
TBPTT = 32


def _start(d: int, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Poles, weights, input and cotangent, identical for all peers."""
    rng = np.random.default_rng(0)
    r = np.sqrt(rng.uniform(0.01, 0.99, n))
    start = {
        "nu": np.log(-np.log(r)),
        "theta": np.log(rng.uniform(0.01, 6.28, n)),
        "W1": rng.normal(0, d**-0.5, (n, d)),
        "W2": rng.normal(0, d**-0.5, (n, d)),
        "x": rng.uniform(-1, 1, d),
        "e1": rng.uniform(0, 0.01, n),
        "e2": -rng.uniform(0, 0.01, n),
    }
    return {name: value.astype(np.float32) for name, value in start.items()}


def _coefficients(m: Any, p: Any) -> tuple[Any, ...]:
    nu, theta = m.exp(p["nu"]), m.exp(p["theta"])
    r, root = m.exp(-nu), m.sqrt(-m.expm1(-2 * nu))
    return nu, theta, r * m.cos(theta), r * m.sin(theta), root + 1e-8, nu * r * r / root


def _pole_traces(c: Any, h: Any, u: Any, pole: Any) -> tuple[Any, ...]:
    """N1, N2, T1, T2 one step on."""
    nu, theta, g, phi, _, dgam = c
    N1, N2, T1, T2 = pole
    turned1, turned2 = g * h[0] - phi * h[1], g * h[1] + phi * h[0]
    return (
        g * N1 - phi * N2 - nu * turned1 + dgam * u[0],
        g * N2 + phi * N1 - nu * turned2 + dgam * u[1],
        g * T1 - phi * T2 - theta * turned2,
        g * T2 + phi * T1 + theta * turned1,
    )


def numpy_in_place(d: int, n: int) -> Run:
    """One complex trace for both weights, every array of n x d written in place."""
    p = _start(d, n)
    x, e1, e2 = p["x"], p["e1"], p["e2"]
    s1, s2 = RATE * e1[:, None], RATE * e2[:, None]
    A1, A2, next1, spare = (np.zeros((n, d), np.float32) for _ in range(4))
    h = np.zeros((2, n), np.float32)
    pole: Any = np.zeros((4, n), np.float32)

    def step() -> None:
        nonlocal A1, next1, h, pole
        c = _coefficients(np, p)
        _, _, g, phi, gam, _ = c
        u = np.stack((p["W1"] @ x, p["W2"] @ x))
        pole = _pole_traces(c, h, u, pole)
        h = np.stack((g * h[0] - phi * h[1] + gam * u[0], g * h[1] + phi * h[0] + gam * u[1]))
        np.multiply(A1, g[:, None], out=next1)
        np.multiply(A2, phi[:, None], out=spare)
        np.subtract(next1, spare, out=next1)
        np.multiply(gam[:, None], x, out=spare)
        np.add(next1, spare, out=next1)
        np.multiply(A1, phi[:, None], out=spare)
        np.multiply(A2, g[:, None], out=A2)
        np.add(A2, spare, out=A2)
        A1, next1 = next1, A1
        for W, trace, scale in (("W1", A1, s1), ("W1", A2, s2), ("W2", A1, s2), ("W2", A2, -s1)):
            np.multiply(trace, scale, out=spare)
            np.add(p[W], spare, out=p[W])
        N1, N2, T1, T2 = pole
        p["nu"] += RATE * (e1 * N1 + e2 * N2)
        p["theta"] += RATE * (e1 * T1 + e2 * T2)

    return timed(step)


def jax_published(d: int, n: int) -> Run:
    """The form in which such layers are published: four traces in the carry, a gradient rule that reads them, one
    jit.
    """
    import jax
    import jax.numpy as jnp

    p = {name: jnp.asarray(value) for name, value in _start(d, n).items()}
    x, e = p.pop("x"), jnp.concatenate((p.pop("e1"), p.pop("e2")))

    def advance(params: Any, carry: Any, x: Any) -> Any:
        h, pole, (A1, A2, B1, B2) = carry
        c = _coefficients(jnp, params)
        _, _, g, phi, gam, _ = c
        u = (params["W1"] @ x, params["W2"] @ x)
        G, P, inflow = g[:, None], phi[:, None], gam[:, None] * x[None, :]
        weights = (G * A1 - P * A2 + inflow, G * A2 + P * A1, G * B1 - P * B2, G * B2 + P * B1 + inflow)
        k = (g * h[0] - phi * h[1] + gam * u[0], g * h[1] + phi * h[0] + gam * u[1])
        return k, _pole_traces(c, h, u, pole), weights

    @jax.custom_vjp
    def layer(params: Any, carry: Any, x: Any) -> Any:
        carry = advance(params, carry, x)
        return carry, jnp.concatenate(carry[0])

    def layer_forward(params: Any, carry: Any, x: Any) -> Any:
        carry, y = layer(params, carry, x)
        return (carry, y), (carry, x)

    def layer_backward(kept: Any, cotangent: Any) -> Any:
        carry, x = kept
        _, (N1, N2, T1, T2), (A1, A2, B1, B2) = carry
        e1, e2 = jnp.split(cotangent[1], 2)
        grads = {
            "nu": e1 * N1 + e2 * N2,
            "theta": e1 * T1 + e2 * T2,
            "W1": e1[:, None] * A1 + e2[:, None] * A2,
            "W2": e1[:, None] * B1 + e2[:, None] * B2,
        }
        return grads, jax.tree_util.tree_map(jnp.zeros_like, carry), jnp.zeros_like(x)

    layer.defvjp(layer_forward, layer_backward)

    @jax.jit
    def step(params: Any, carry: Any, x: Any) -> Any:
        def loss(params: Any) -> Any:
            new, y = layer(params, carry, x)
            return jnp.dot(e, y), (new, y)

        grads, (carry_after, y) = jax.grad(loss, has_aux=True)(params)
        return jax.tree_util.tree_map(lambda w, grad: w + RATE * grad, params, grads), carry_after, y

    zeros = jnp.zeros((n, d)), jnp.zeros(n)
    carry: Any = ((zeros[1],) * 2, (zeros[1],) * 4, (zeros[0],) * 4)

    def once() -> None:
        nonlocal p, carry
        p, carry, y = step(p, carry, x)
        y.block_until_ready()

    return timed(once)


def jax_best(d: int, n: int, jits: int) -> Run:
    """The fastest form known to us: half the traces, one buffer for all of them, memory donated; in one
    jit or in two.
    """
    import jax
    import jax.numpy as jnp

    start = {name: jnp.asarray(value) for name, value in _start(d, n).items()}
    x, e1, e2 = start.pop("x"), start.pop("e1"), start.pop("e2")

    def forward(params: Any, h: Any, x: Any) -> Any:
        c = _coefficients(jnp, params)
        _, _, g, phi, gam, _ = c
        u = jnp.stack((params["W1"] @ x, params["W2"] @ x))
        return jnp.stack((g * h[0] - phi * h[1] + gam * u[0], g * h[1] + phi * h[0] + gam * u[1])), u, c

    def learn(params: Any, traces: Any, h: Any, u: Any, c: Any, x: Any, e1: Any, e2: Any) -> Any:
        pole, A1, A2 = traces
        _, _, g, phi, gam, _ = c
        N1, N2, T1, T2 = pole = jnp.stack(_pole_traces(c, h, u, pole))
        G, P = g[:, None], phi[:, None]
        A1, A2 = G * A1 - P * A2 + gam[:, None] * x[None, :], G * A2 + P * A1
        s1, s2 = RATE * e1[:, None], RATE * e2[:, None]
        params = {
            "nu": params["nu"] + RATE * (e1 * N1 + e2 * N2),
            "theta": params["theta"] + RATE * (e1 * T1 + e2 * T2),
            "W1": params["W1"] + (s1 * A1 + s2 * A2),
            "W2": params["W2"] + (s2 * A1 - s1 * A2),
        }
        return params, (pole, A1, A2)

    params: Any = {name: start[name] for name in ("nu", "theta", "W1", "W2")}
    h: Any = jnp.zeros((2, n))
    traces: Any = (jnp.zeros((4, n)), jnp.zeros((n, d)), jnp.zeros((n, d)))

    if jits == 1:

        def both(params: Any, traces: Any, h: Any, x: Any, e1: Any, e2: Any) -> Any:
            k, u, c = forward(params, h, x)
            return *learn(params, traces, h, u, c, x, e1, e2), k

        step = jax.jit(both, donate_argnums=(0, 1, 2))

        def once() -> None:
            nonlocal params, traces, h
            params, traces, h = step(params, traces, h, x, e1, e2)
            h.block_until_ready()

        return timed(once)

    first, second = jax.jit(forward), jax.jit(learn, donate_argnums=(0, 1))

    def twice() -> None:
        nonlocal params, traces, h
        k, u, c = first(params, h, x)
        k.block_until_ready()
        params, traces = second(params, traces, h, u, c, x, e1, e2)
        h = k

    return timed(twice)


def torch_eager(d: int, n: int) -> Run:
    """Half the traces, operations in place, no autograd."""
    import torch

    torch.set_num_threads(1)
    p = {name: torch.from_numpy(value) for name, value in _start(d, n).items()}
    x, e1, e2 = p["x"], p["e1"], p["e2"]
    s1, s2 = RATE * e1[:, None], RATE * e2[:, None]
    A1, A2, next1 = (torch.zeros((n, d)) for _ in range(3))
    h: Any = (torch.zeros(n), torch.zeros(n))
    pole: Any = tuple(torch.zeros(n) for _ in range(4))

    @torch.no_grad()
    def step() -> None:
        nonlocal A1, next1, h, pole
        c = _coefficients(torch, p)
        _, _, g, phi, gam, _ = c
        u = (torch.mv(p["W1"], x), torch.mv(p["W2"], x))
        pole = _pole_traces(c, h, u, pole)
        h = (g * h[0] - phi * h[1] + gam * u[0], g * h[1] + phi * h[0] + gam * u[1])
        G, P = g[:, None], phi[:, None]
        torch.mul(A1, G, out=next1)
        next1.addcmul_(A2, P, value=-1).addr_(gam, x)
        A2.mul_(G).addcmul_(A1, P)
        A1, next1 = next1, A1
        p["W1"].addcmul_(A1, s1).addcmul_(A2, s2)
        p["W2"].addcmul_(A1, s2).addcmul_(A2, s1, value=-1)
        N1, N2, T1, T2 = pole
        p["nu"].add_(e1 * N1 + e2 * N2, alpha=RATE)
        p["theta"].add_(e1 * T1 + e2 * T2, alpha=RATE)

    return timed(step)


class Gru:
    """A GRU cell of n units, SGD through the last 32 steps, every 32 steps; `worst_ns` lists the steps that learn."""

    def __init__(self, d: int, n: int) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._cell = torch.nn.GRUCell(d, n)
        self._optimizer = torch.optim.SGD(self._cell.parameters(), lr=RATE)
        start = _start(d, n)
        self._x = torch.from_numpy(start["x"])[None, :]
        self._e = torch.from_numpy(start["e1"])
        self._h = torch.zeros((1, n))
        self.worst_ns: list[int] = []

    def run(self, steps: int) -> int:
        start = time.perf_counter_ns()
        for t in range(0, steps, TBPTT):
            loss: Any = 0
            for _ in range(min(TBPTT, steps - t)):
                before = time.perf_counter_ns()
                self._h = self._cell(self._x, self._h)
                loss = loss + (self._h[0] * self._e).sum()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._h = self._h.detach()
            self.worst_ns.append(time.perf_counter_ns() - before)
        return time.perf_counter_ns() - start


def importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def version(name: str) -> str:
    from importlib.metadata import version as of

    return of(name)
