"""An agent's policy as one C99 file: `export_c`.

The arithmetic is that of rtu_edge/learn/onnx/write.py, in single precision; the input gains of a recurrent trace unit
are multiplied into its weights in advance. With 8-bit weights a matrix is multiplied in integers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rtu_edge._base import files
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_bool
from rtu_edge._base.version import __version__
from rtu_edge.learn.c_policy.fixed import fixed_source
from rtu_edge.learn.c_policy.learner import LEARN_STEPS, learner_source
from rtu_edge.learn.c_policy.parts import Parts, layers_of, recorded
from rtu_edge.learn.c_policy.text import DENSE, DENSE8, EXP, HEAD, LARGEST, LEARN_USE, NORM, PACK, SIGMOID, TANH, TURN
from rtu_edge.learn.c_policy.write import Array, Source, Vector, number
from rtu_edge.learn.onnx.form import WEIGHTS, int8_of
from rtu_edge.learn.onnx.verify import SEED, Evaluation, observations_like
from rtu_edge.learn.onnx.write import CELL_WEIGHTS, GATED, check_agent

__all__ = ["TEST_STEPS", "c_source", "export_c", "rounded"]

TEST_STEPS, ERROR_STEPS = 16, 1000
READING = 2.0**46  # native/learners/normalizer.h

_ACTIVATIONS = {"relu": "({0} > 0.0f ? {0} : 0.0f)", "tanh": "NAME_tanh({0})", "identity": "{0}"}


def _input(source: Source, agent: Any) -> Vector:
    """`x`: what the network sees."""
    config = agent.config
    d = int(config["observation_size"])
    width = int(config["n_actions"] or config["action_size"])
    parts = [("previous_action", width), ("previous_reward", 1)]
    size = d + sum(n for name, n in parts if config.get(name))
    bounded = config.get("normalize_observation", True) and (config["scale_reward"] or not config["previous_reward"])
    most = float(config.get("observation_bound", 0.0)) if bounded else 0.0
    vector = source.vector("x", size, max(most, 1.0) if most else None)
    if config.get("normalize_observation", True):
        mean = np.asarray(agent.normalizer["mean"], dtype=np.float64)
        high = mean.astype(np.float32)
        source.array("mean_high", high)
        source.array("mean_low", mean - high.astype(np.float64))
        source.array("scale", agent.normalizer["scale"])
        bound = float(config.get("observation_bound", 0.0))
        clipped = [f"x[i] = value > {number(np.float32(bound))} ? {number(np.float32(bound))}"
                   f" : value < {number(np.float32(-bound))} ? {number(np.float32(-bound))} : value;"]  # fmt: skip
        reading = number(np.float32(READING))
        source.loop(
            d,
            f"float value = observation[i] > {reading} ? {reading} : observation[i] < -{reading} ? -{reading} :"
            " observation[i];",
            "value = (value - NAME_mean_high[i] - NAME_mean_low[i]) * NAME_scale[i];",
            *(clipped if bound else ["x[i] = value;"]),
        )
    else:
        source.loop(d, "x[i] = observation[i];")
    at = d
    if config.get("previous_action"):
        source.loop(width, f"x[{at} + i] = previous_action[i];")
        at += width
    if config.get("previous_reward"):
        scale = float(agent.reward_scale) if config["scale_reward"] else 1.0
        source.add(f"x[{at}] = previous_reward * {number(np.float32(scale))};")
        if config["scale_reward"] and (bound := float(config["observation_bound"])):
            end = number(np.float32(bound))
            source.add(f"x[{at}] = x[{at}] > {end} ? {end} : x[{at}] < -{end} ? -{end} : x[{at}];")
    return vector


def _layers(source: Source, x: Vector, name: str, parameters: Mapping[str, Array]) -> Vector:
    for layer, (weight, bias) in enumerate(layers_of(name, parameters)):
        short, rows = f"{name.rsplit('.')[-1]}{layer}", weight.shape[0]
        b = source.array(f"{short}_bias", bias)
        y = source.vector(short, rows, float(np.sqrt(rows)))  # LayerNorm: the squares' mean is 1
        source.dense(f"{short}_weight", weight, b, source.pack(x), short)
        source.add(f"NAME_norm({rows}, {short});")
        x = y
    return x


def _cell(source: Source, x: Vector, parts: Parts, config: Mapping[str, Any]) -> Vector:
    """One step of the cell (docs/math.md, 1; math_cells.md, 1)."""
    kind, cell = parts.kind, parts.cell
    if kind == "none":
        return x
    first, second = CELL_WEIGHTS[kind]
    n = cell[first].shape[0]
    g, phi, gains = parts.gains()
    if kind not in GATED:
        source.array("g", g)
        source.array("phi", phi)
    source.add(f"float u1[{n}], u2[{n}];")
    x = source.pack(x)
    for u, weight, bias in (
        ("u1", first, {"mingru": "bu", "elstm": "bz"}),
        ("u2", second, {"mingru": "bh", "elstm": "bf"}),
    ):
        b = source.array(f"cell_{bias[kind]}", cell[bias[kind]]) if kind in bias else "0"
        source.dense(f"cell_{weight}", cell[weight], b, x, u, gains)
    return _gated(source, kind, cell, config) if kind in GATED else _rotated(source, kind, x, n, config)


def _gated(source: Source, kind: str, cell: Mapping[str, Array], config: Mapping[str, Any]) -> Vector:
    n, activation = cell["bu" if kind == "mingru" else "bz"].shape[0], config.get("activation", "relu")
    y = source.vector("y", n, 1.0 if activation == "tanh" or kind == "elstm" else None)
    if kind == "mingru":
        steps: tuple[str, ...] = ("const float kept = NAME_sigmoid(-u1[i]), gate = NAME_sigmoid(u1[i]);",
                 "const float drive = u2[i] < 0.0f ? NAME_sigmoid(u2[i]) : 0.5f + u2[i];")  # fmt: skip
    else:
        source.array("cell_wz", cell["wz"])
        source.array("cell_wf", cell["wf"])
        steps = ("const float drive = NAME_tanh(u1[i] + NAME_cell_wz[i] * state->h1[i]);",
                 "const float v = u2[i] + NAME_cell_wf[i] * state->h1[i];",
                 "const float kept = NAME_sigmoid(v), gate = NAME_sigmoid(-v);")  # fmt: skip
    after = "state->h1[i] = state->h1[i] * kept + gate * drive;"
    source.loop(n, *steps, after, f"y[i] = {_ACTIVATIONS[activation].format('state->h1[i]')};")
    return y


def _rotated(source: Source, kind: str, x: Vector, n: int, config: Mapping[str, Any]) -> Vector:
    activated = _ACTIVATIONS[config.get("activation", "relu")]
    most = 1.0 if config.get("activation", "relu") == "tanh" and kind != "lru" else None
    y = source.vector("y", 2 * n + (x.width if kind == "lru" else 0), most)
    inside = activated if kind == "nonlinear" else "{0}"
    outside = "{0}" if kind == "nonlinear" else activated
    source.loop(
        n,
        *(
            f"const float z{k} = NAME_TURNED{k}(NAME_g[i], NAME_phi[i], state->h1[i], state->h2[i], u{k}[i]);"
            for k in "12"
        ),
        f"state->h1[i] = {inside.format('z1')};",
        f"state->h2[i] = {inside.format('z2')};",
        f"y[i] = {outside.format('state->h1[i]')};",
        f"y[{n} + i] = {outside.format('state->h2[i]')};",
    )
    if kind == "lru":
        source.loop(x.width, f"y[{2 * n} + i] = {x.name}[i];")
    return y


def _output(source: Source, x: Vector, parts: Parts, agent: Any) -> None:
    discrete, (weight, bias) = parts.discrete, parts.head_of(agent)
    rows = parts.width
    b = source.array("head_bias", bias)
    out = "preference" if discrete else "action"
    if discrete:
        source.add(f"float preference[{rows}];")
    source.dense("head_weight", weight, b, source.pack(x), out)
    if discrete:
        source.add("int best = 0;")
        source.loop(rows, "if (preference[i] > preference[best]) best = i;")
        source.add("return best;")
    else:
        source.loop(rows, "action[i] = action[i] > 1.0f ? 1.0f : action[i] < -1.0f ? -1.0f : action[i];")


def _test(agent: Any, width: int) -> tuple[list[str], str]:
    """Observations, what preceded them and the agent's actions; the function that compares."""
    source, config, steps = Source(), agent.config, recorded(agent, TEST_STEPS)
    discrete = config.get("n_actions") is not None
    d = int(config["observation_size"])
    arguments = [f"NAME_test_observation + t * {d}"]
    source.array("test_observation", steps.observations)
    if config.get("previous_action"):
        source.array("test_previous_action", steps.previous_actions)
        arguments.append(f"NAME_test_previous_action + t * {width}")
    if config.get("previous_reward"):
        source.array("test_previous_reward", steps.previous_rewards)
        arguments.append("NAME_test_previous_reward[t]")
    source.array("test_action", steps.actions)
    begin = "    NAME_state state;\n    NAME_reset(&state);\n    float worst = 0.0f;\n"
    if discrete:
        body = (f"    for (int t = 0; t < {TEST_STEPS}; t++)\n"
                f"        if (NAME_step(&state, {', '.join(arguments)}) != (int)NAME_test_action[t])"
                " worst += 1.0f;\n")  # fmt: skip
    else:
        arguments.append("action")
        body = (
            f"    for (int t = 0; t < {TEST_STEPS}; t++) {{\n        float action[{width}];\n"
            f"        NAME_step(&state, {', '.join(arguments)});\n"
            f"        for (int i = 0; i < {width}; i++) {{\n"
            f"            const float off = fabsf(action[i] - NAME_test_action[t * {width} + i]) / 2.0f;\n"
            "            if (!(off <= worst)) worst = off;\n        }\n    }\n"
        )
    return source.constants, f"static inline float NAME_test(void) {{\n{begin}{body}    return worst;\n}}\n"


def _arguments(config: Mapping[str, Any]) -> list[str]:
    """Parameters of NAME_step()."""
    given = ["NAME_state *state", "const float *observation"]
    given += ["const float *previous_action"] if config.get("previous_action") else []
    given += ["float previous_reward"] if config.get("previous_reward") else []
    return given if config.get("n_actions") is not None else [*given, "float *action"]


def rounded(agent: Any) -> Any:
    """A copy of an agent with the numbers that 8-bit weights stand for."""
    copy, parameters = agent.copy(), {}
    for name, value in copy.parameters.items():
        if value.ndim == 2:
            integers, scale = int8_of(np.asarray(value, np.float64).T)
            parameters[name] = (integers * scale.astype(np.float64)).T.astype(value.dtype)
    copy.load_parameters({**copy.parameters, **parameters})
    return copy


def _error(agent: Any) -> str:
    """What 8-bit weights cost, in words."""
    config, policies = agent.config, [Evaluation(agent), Evaluation(rounded(agent))]
    for policy in policies:
        policy.begin()
    rewards, found, last = np.random.default_rng(SEED).standard_normal(ERROR_STEPS), [], None
    for x, reward in zip(observations_like(agent, ERROR_STEPS), rewards.tolist(), strict=True):
        given: dict[str, Any] = {"reward": reward / agent.reward_scale} if config.get("previous_reward") else {}
        if config.get("previous_action"):
            given["applied"] = np.zeros(config["action_size"] or 0, np.float32) if last is None else last
            given["applied"] = 0 if last is None and config["n_actions"] else given["applied"]
        ours, theirs = (policy.predict(x, **given) for policy in policies)
        last = ours
        found.append(float(np.max(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)))))
    if config.get("n_actions") is not None:
        return f"{100.0 * float(np.mean(np.array(found) > 0.0)):.2g} % of the choices differ"
    return f"actions differ by {100.0 * max(found) / 2.0:.2g} % of their range at most"


def _head(config: Mapping[str, Any], states: Sequence[str], width: int, error: str, learns: bool) -> str:
    """The part before the numbers: usage, sizes, state."""
    discrete, period = config.get("n_actions") is not None, config.get("dt_s")
    units = int(config.get("units", 0))
    if discrete:
        result = f"Returns the index of the choice, 0 to {width - 1}."
        measure = "how many choices differ from the agent's"
    else:
        result = "action: in [-1, 1] of the actuator's range, -1 lowest, 1 highest."
        measure = "the largest difference from the agent's actions, in units of their range"
    return HEAD.format(
        version=__version__,
        call=", ".join(part.split()[-1].lstrip("*") for part in _arguments(config)[1:]),
        period="" if period is None else f" Period {float(period):g} s: call it at no other.",
        result=result,
        error=f" Weights of 8 bits:\n * in {ERROR_STEPS} steps {error}." if error else "",
        learn=LEARN_USE.format(steps=LEARN_STEPS, applied="int *" if discrete else "float *") if learns else "",
        string="\n#include <string.h>" if learns else "",
        steps=TEST_STEPS,
        measure=measure,
        sizes=f"NAME_OBSERVATIONS = {int(config['observation_size'])}, NAME_ACTIONS = {width}",
        fields="\n".join([f"    float {name}[{units}];" for name in states] or ["    char none; /* no recurrence */"]),
    )


_FUNCTIONS = {
    "NAME_dense(": DENSE,
    "NAME_dense8(": DENSE8,
    "NAME_largest(": LARGEST,
    "NAME_pack(": PACK,
    "NAME_norm(": NORM,
    "NAME_TURNED1(": TURN,
    "NAME_sigmoid(": SIGMOID,
    "NAME_tanh(": TANH,
}


def _check(agent: Any, name: Any, weights: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise ConfigError(
            f"name = {name!r}: expected a letter, then letters, digits and underscores, at most 40 in all"
        )
    check_agent(agent)
    if weights not in WEIGHTS:
        raise ConfigError(f"weights: {weights!r} is not one of {', '.join(WEIGHTS)}")


def c_source(
    agent: Any, name: str = "policy", weights: str = "float32", learn: bool = False, fixed: bool = False
) -> str:
    """The text of the file; arguments and errors as `export_c`."""
    _check(agent, name, weights)
    if check_bool("fixed", fixed):
        for key, value, wanted in (("weights", weights, "float32"), ("learn", learn, False)):
            if value != wanted:
                raise ConfigError(f"{key} = {value!r}: with fixed, expected {wanted!r}")
        return _named(fixed_source(agent), name)
    learner = learner_source(agent, Source()) if check_bool("learn", learn) else []
    config, parts = agent.config, Parts.of(agent)
    discrete, width, states, body = parts.discrete, parts.width, parts.states, parts.body
    source = Source(weights)
    x = _layers(source, _input(source, agent), f"{body}.encoder", agent.parameters)
    x = _layers(source, _cell(source, x, parts, config), f"{body}.layer", agent.parameters)
    _output(source, x, parts, agent)
    step = ("" if states else "    (void)state;\n") + "\n".join(source.lines)
    functions = [text for call, text in _FUNCTIONS.items() if call in step or (learner and text in (TURN,))]
    if {SIGMOID, TANH} & set(functions):
        functions.insert(0, EXP)
    units = int(config.get("units", 0))
    clear = [f"for (int i = 0; i < {units}; i++) state->{h}[i] = 0.0f;" for h in states] or ["state->none = 0;"]
    vectors, test = _test(agent, width)
    text = [
        _head(config, states, width, "" if weights == "float32" else _error(agent), bool(learner)),
        *source.constants,
        *functions,
        "static inline void NAME_reset(NAME_state *state) {\n    " + "\n    ".join(clear) + "\n}\n",
        f"static inline {'int' if discrete else 'void'} NAME_step({', '.join(_arguments(config))}) {{\n{step}\n}}\n",
        *vectors,
        test,
        *learner,
        "#undef NAME_MULTIPLY_ADD\n#endif\n",
    ]
    return _named("\n".join(text), name)


def _named(text: str, name: str) -> str:
    return text.replace("NAME_H", f"rtu_edge_{name}_h").replace("NAME", name)


def export_c(
    agent: Any,
    path: str | os.PathLike[str],
    *,
    name: str = "policy",
    weights: str = "float32",
    learn: bool = False,
    fixed: bool = False,
) -> None:
    """Write an agent's policy as one C99 file with test vectors: predict(observation, deterministic=True).

    Args:
        agent: a StreamAC, StreamQ, StreamSARSA or StreamQRC.
        path: the file, written atomically.
        name: prefix of its names in C.
        weights: "float32", or "int8": matrices as 8-bit integers with a scale per row, multiplied in integers; the
            file states the error.
        learn: the learner too, as it is now: a StreamAC of a linear or nonlinear cell or of none, with exact RTRL and
            ObGD, in float32, that continues to learn on the target.
        fixed: integers throughout, for processors without a floating-point unit: weights of 16 bits, states and sums
            of 32; the file states the error, at most 1 % of the action's range.

    Raises:
        ConfigError: the agent has no policy, a parameter is not finite, name is no name in C, weights is no form, the
            configuration has no learner in C, or fixed does not hold the agent: inputs without a bound, a pole too
            close to the unit circle, weights too large, or a larger error.
        OSError: the file cannot be written.

    Source:
        docs/export.md, As one file of C99.
    """
    files.write(path, c_source(agent, name, weights, learn, fixed).encode("ascii"))
