"""The control step of StreamAC in JAX, lean: one compiled function, half the traces, no stored gradients.

It learns as StreamAC(body="separate") does with continuous actions, one step after the other: a linear RTU with tanh,
dense layers with LayerNorm, ObGD. Observations and rewards are taken as they are. tests/test_evidence.py has the same
numbers over 100 steps from NumPy in double precision; `python -m benchmarks.evidence speed` from the package.

    letter    meaning                                     shape
    h, pole   state; N1, N2, T1, T2                       (2, n), (4, n)
    A         dh / dW1; that of W2 follows from it        (2, n, d)
    q         cotangents of the last step, by layer       -
    z         eligibilities, as the parameters            -

The module `m` is jax.numpy or numpy: the formulas are written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Array = Any
Tree = dict[str, Any]
LEAK, LAYER_NORM_EPS, GAMMA_EPS = 0.01, 1e-5, 1e-8
MAX_THETA_LOG = 2.5310242469692907  # log(4 pi)


def parameters_of(learner: Any, m: Any, dtype: Any) -> dict[str, Tree]:
    """The weights of a StreamAC with separate bodies, as "actor" and "critic"."""
    found: dict[str, Tree] = {"actor": {}, "critic": {}}
    for name, value in learner.parameters.items():
        role, _, leaf = name.partition(".")
        found[role][leaf] = m.asarray(value, dtype)
    return found


def start(p: Mapping[str, Tree], m: Any, dtype: Any) -> dict[str, Any]:
    """State of both networks before the first observation."""
    state: dict[str, Any] = {"value": m.zeros((), dtype)}
    for role, own in p.items():
        n, d = own["cell.W1"].shape
        state[role] = {
            "h": m.zeros((2, n), dtype),
            "pole": m.zeros((4, n), dtype),
            "A": m.zeros((2, n, d), dtype),
            "z": {name: m.zeros(value.shape, dtype) for name, value in own.items()},
        }
    return state


def _advance(m: Any, p: Tree, s: Tree, x: Array) -> Tree:
    """Cell and layers at x, and the traces with them."""
    nu, theta = m.exp(p["cell.nu_log"]), m.exp(p["cell.theta_log"])
    r, root = m.exp(-nu), m.sqrt(-m.expm1(-2 * nu))
    g, phi, gam, dgam = r * m.cos(theta), r * m.sin(theta), root + GAMMA_EPS, nu * r * r / root
    u1, u2 = p["cell.W1"] @ x, p["cell.W2"] @ x
    (h1, h2), (N1, N2, T1, T2), (A1, A2) = s["h"], s["pole"], s["A"]
    turned1, turned2 = g * h1 - phi * h2, g * h2 + phi * h1
    pole = m.stack((
        g * N1 - phi * N2 - nu * turned1 + dgam * u1,
        g * N2 + phi * N1 - nu * turned2 + dgam * u2,
        g * T1 - phi * T2 - theta * turned2,
        g * T2 + phi * T1 + theta * turned1,
    ))  # fmt: skip
    G, P = g[:, None], phi[:, None]
    A = m.stack((G * A1 - P * A2 + gam[:, None] * x, G * A2 + P * A1))
    h = m.stack((turned1 + gam * u1, turned2 + gam * u2))
    y, inputs, units, scales = m.tanh(h).reshape(-1), [], [], []
    out = y
    for k in range(_depth(p)):
        inputs.append(out)
        a = p[f"layer{k}.weight"] @ out + p[f"layer{k}.bias"]
        centred = a - a.mean()
        scales.append(1 / m.sqrt((centred * centred).mean() + LAYER_NORM_EPS))
        units.append(centred * scales[-1])
        out = m.where(units[-1] > 0, units[-1], LEAK * units[-1])
    head = p["head.weight"] @ out + p["head.bias"]
    return {"h": h, "pole": pole, "A": A, "y": y, "inputs": inputs, "units": units, "scales": scales, "out": out,
            "head": head}  # fmt: skip


def _depth(p: Tree) -> int:
    return sum(name.startswith("layer") and name.endswith(".weight") for name in p)


def _cotangents(m: Any, p: Tree, f: Tree, d_head: Array) -> Tree:
    """Of each layer's sums and of h, for a cotangent of the head: all vectors, linear in it."""
    found = {"head": d_head}
    d_out = p["head.weight"].T @ d_head
    for k in reversed(range(_depth(p))):
        unit = f["units"][k]
        d_norm = d_out * m.where(unit > 0, 1.0, LEAK).astype(unit.dtype)
        found[f"layer{k}"] = f["scales"][k] * (d_norm - d_norm.mean() - unit * (d_norm * unit).mean())
        d_out = p[f"layer{k}.weight"].T @ found[f"layer{k}"]
    found["cell"] = d_out * (1 - f["y"] * f["y"])
    return found


def _learn(m: Any, p: Tree, s: Tree, q: Tree, delta: Array, decay: float, kappa: float) -> tuple[Tree, Tree]:
    """Parameters and eligibilities after the step for delta, from the traces and cotangents of the step before."""
    n = len(p["cell.nu_log"])
    e1, e2 = q["cell"][:n], q["cell"][n:]
    (N1, N2, T1, T2), (A1, A2) = s["pole"], s["A"]
    E1, E2 = e1[:, None], e2[:, None]
    gradient = {
        "cell.nu_log": e1 * N1 + e2 * N2,
        "cell.theta_log": e1 * T1 + e2 * T2,
        "cell.W1": E1 * A1 + E2 * A2,
        "cell.W2": E2 * A1 - E1 * A2,
        "head.weight": q["head"][:, None] * s["out"],
        "head.bias": q["head"],
    }
    for k in range(_depth(p)):
        gradient[f"layer{k}.weight"] = q[f"layer{k}"][:, None] * s["inputs"][k]
        gradient[f"layer{k}.bias"] = q[f"layer{k}"]
    z = {name: decay * old + gradient[name] for name, old in s["z"].items()}
    size = sum(m.abs(value).sum() for value in z.values())
    step = delta / m.maximum(1.0, kappa * m.maximum(m.abs(delta), 1.0) * size)
    moved = {name: value + step * z[name] for name, value in p.items()}
    most = m.maximum(p["cell.theta_log"], MAX_THETA_LOG)
    return {**moved, "cell.theta_log": m.minimum(moved["cell.theta_log"], most)}, z


def make_step(
    m: Any, gamma: float, trace_decay: float, kappas: tuple[float, float], entropy: float
) -> Callable[..., Any]:
    """step(p, state, x, reward, noise, action) -> p, state, action; `first` in place of it for an episode's first
    observation.

    noise: (k,) standard normal; the action is mean + sigma noise. action: replaces it unless None.
    """
    decay = gamma * trace_decay

    def see(p: Any, state: Any, x: Array, noise: Array, action: Any) -> tuple[Any, Any, Array]:
        """Forward pass of both networks, the action, and the cotangents for the step that follows."""
        actor, critic = (_advance(m, p[role], state[role], x) for role in ("actor", "critic"))
        k = len(actor["head"]) // 2
        s = actor["head"][k:]
        sigma = m.log1p(m.exp(-m.abs(s))) + m.maximum(s, 0)
        slope = 1 / (1 + m.exp(-s))
        action = actor["head"][:k] + sigma * noise if action is None else action
        miss = (action - actor["head"][:k]) / sigma
        d_log_pi = m.concatenate((miss / sigma, (miss * miss - 1) / sigma * slope))
        d_entropy = m.concatenate((0 * slope, slope / sigma))
        q = {
            "log_pi": _cotangents(m, p["actor"], actor, d_log_pi),
            "entropy": _cotangents(m, p["actor"], actor, d_entropy),
            "value": _cotangents(m, p["critic"], critic, m.ones_like(critic["head"])),
        }
        return {"actor": actor, "critic": critic}, q, action

    def kept(seen: Any, q: Any, z: Any) -> dict[str, Any]:
        names = ("h", "pole", "A", "inputs", "out")
        return {
            "value": seen["critic"]["head"][0],
            "q": q,
            **{role: {**{name: seen[role][name] for name in names}, "z": z[role]} for role in seen},
        }

    def first(p: Any, state: Any, x: Array, noise: Array, action: Any = None) -> Any:
        seen, q, action = see(p, state, x, noise, action)
        return kept(seen, q, {role: state[role]["z"] for role in seen}), action

    def step(p: Any, state: Any, x: Array, reward: Array, noise: Array, action: Any = None) -> Any:
        seen, q, action = see(p, state, x, noise, action)
        delta = reward + gamma * seen["critic"]["head"][0] - state["value"]
        bonus, old = entropy * m.sign(delta), state["q"]
        actor_q = {name: old["log_pi"][name] + bonus * old["entropy"][name] for name in old["log_pi"]}
        learned = {
            role: _learn(m, p[role], state[role], cotangents, delta, decay, kappa)
            for role, cotangents, kappa in zip(("actor", "critic"), (actor_q, old["value"]), kappas, strict=True)
        }
        state = kept(seen, q, {role: z for role, (_, z) in learned.items()})
        return {role: own for role, (own, _) in learned.items()}, state, action

    step.first = first  # type: ignore[attr-defined]
    return step
