"""An agent's policy as one C99 file: `export_c`.

The arithmetic is that of rtu_edge/learn/onnx/write.py, in single precision; the input gains of a recurrent trace unit
are multiplied into its weights in advance.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtu_edge._base import files
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.version import __version__
from rtu_edge.learn.c_text import DENSE, EXP, HEAD, NORM, SIGMOID, TANH
from rtu_edge.learn.onnx.verify import SEED, Evaluation, observations_like
from rtu_edge.learn.onnx.write import CELL_WEIGHTS, GATED, VALUES, check_agent

__all__ = ["export_c"]

Array = NDArray[np.floating[Any]]

TEST_STEPS = 16
READING = 2.0**46  # native/learners/normalizer.h

_ACTIVATIONS = {"relu": "({0} > 0.0f ? {0} : 0.0f)", "tanh": "NAME_tanh({0})", "identity": "{0}"}


class _Source:
    """C under construction. `NAME` stands for the prefix."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.lines: list[str] = []

    def array(self, name: str, values: Any) -> str:
        numbers = [_number(value) for value in np.asarray(values, dtype=np.float32).reshape(-1)]
        rows = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
        self.constants.append(
            f"static const float NAME_{name}[{len(numbers)}] = {{\n    " + ",\n    ".join(rows) + "};\n"
        )
        return f"NAME_{name}"

    def add(self, *lines: str) -> None:
        self.lines += [f"    {line}" for line in lines]

    def loop(self, n: int, *lines: str) -> None:
        if len(lines) == 1:
            self.add(f"for (int i = 0; i < {n}; i++) {lines[0]}")
        else:
            self.add(f"for (int i = 0; i < {n}; i++) {{", *(f"    {line}" for line in lines), "}")


def _number(value: Any) -> str:
    """A float of C that reads back as the same bits."""
    if not np.isfinite(value):
        raise ConfigError(f"agent: a parameter is {value}; a policy with such a number cannot be exported")
    text = np.format_float_scientific(value, unique=True, trim="0")
    return f"{text}f"


def _input(source: _Source, agent: Any) -> int:
    """`x`: what the network sees. Returns its width."""
    config = agent.config
    d = int(config["observation_size"])
    width = int(config["n_actions"] or config["action_size"])
    parts = [("previous_action", width), ("previous_reward", 1)]
    size = d + sum(n for name, n in parts if config.get(name))
    source.add(f"float x[{size}];")
    if config.get("normalize_observation", True):
        mean = np.asarray(agent.normalizer["mean"], dtype=np.float64)
        high = mean.astype(np.float32)
        source.array("mean_high", high)
        source.array("mean_low", mean - high.astype(np.float64))
        source.array("scale", agent.normalizer["scale"])
        bound = float(config.get("observation_bound", 0.0))
        clipped = [f"x[i] = value > {_number(np.float32(bound))} ? {_number(np.float32(bound))}"
                   f" : value < {_number(np.float32(-bound))} ? {_number(np.float32(-bound))} : value;"]  # fmt: skip
        reading = _number(np.float32(READING))
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
        source.add(f"x[{at}] = previous_reward * {_number(np.float32(scale))};")
        if config["scale_reward"] and (bound := float(config["observation_bound"])):
            end = _number(np.float32(bound))
            source.add(f"x[{at}] = x[{at}] > {end} ? {end} : x[{at}] < -{end} ? -{end} : x[{at}];")
    return size


def _layers(source: _Source, x: str, width: int, name: str, parameters: Mapping[str, Array]) -> tuple[str, int]:
    layer = 0
    while f"{name}{layer}.weight" in parameters:
        weight, bias = (np.asarray(parameters[f"{name}{layer}.{part}"]) for part in ("weight", "bias"))
        short, rows = f"{name.rsplit('.')[-1]}{layer}", weight.shape[0]
        w, b = source.array(f"{short}_weight", weight), source.array(f"{short}_bias", bias)
        source.add(
            f"float {short}[{rows}];", f"NAME_dense({rows}, {width}, {w}, {b}, {x}, {short});",
            f"NAME_norm({rows}, {short});",
        )  # fmt: skip
        x, width, layer = short, rows, layer + 1
    return x, width


def _cell(source: _Source, x: str, width: int, body: str, agent: Any) -> tuple[str, int]:
    """One step of the cell (docs/math.md, 1; math_cells.md, 1)."""
    config, kind = agent.config, agent.config.get("cell", "linear")
    if kind == "none":
        return x, width
    cell = {name.split(".cell.")[1]: np.asarray(value, np.float64) for name, value in agent.parameters.items()
            if name.startswith(f"{body}.cell.")}  # fmt: skip
    first, second = CELL_WEIGHTS[kind]
    n = cell[first].shape[0]
    activated = _ACTIVATIONS[config.get("activation", "relu")]
    gains = np.ones(n)
    if kind not in GATED:
        members = n // cell["nu_log"].shape[0]
        nu, theta = (np.repeat(np.exp(cell[name]), members) for name in ("nu_log", "theta_log"))
        source.array("g", np.exp(-nu) * np.cos(theta))
        source.array("phi", np.exp(-nu) * np.sin(theta))
        gains = np.repeat(np.exp(cell["gamma_log"]), members) if kind == "lru" else np.sqrt(-np.expm1(-2 * nu)) + 1e-8
    source.add(f"float u1[{n}], u2[{n}];")
    for u, weight, bias in (
        ("u1", first, {"mingru": "bu", "elstm": "bz"}),
        ("u2", second, {"mingru": "bh", "elstm": "bf"}),
    ):
        w = source.array(f"cell_{weight}", cell[weight] * gains[:, np.newaxis])
        b = source.array(f"cell_{bias[kind]}", cell[bias[kind]]) if kind in bias else "0"
        source.add(f"NAME_dense({n}, {width}, {w}, {b}, {x}, {u});")
    if kind in GATED:
        source.add(f"float y[{n}];")
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
        source.loop(n, *steps, after, f"y[i] = {activated.format('state->h1[i]')};")
        return "y", n
    features = 2 * n + (width if kind == "lru" else 0)
    source.add(f"float y[{features}];")
    inside = activated if kind == "nonlinear" else "{0}"
    outside = "{0}" if kind == "nonlinear" else activated
    source.loop(
        n,
        "const float z1 = NAME_g[i] * state->h1[i] - NAME_phi[i] * state->h2[i] + u1[i];",
        "const float z2 = NAME_g[i] * state->h2[i] + NAME_phi[i] * state->h1[i] + u2[i];",
        f"state->h1[i] = {inside.format('z1')};",
        f"state->h2[i] = {inside.format('z2')};",
        f"y[i] = {outside.format('state->h1[i]')};",
        f"y[{n} + i] = {outside.format('state->h2[i]')};",
    )
    if kind == "lru":
        source.loop(width, f"y[{2 * n} + i] = {x}[i];")
    return "y", features


def _output(source: _Source, x: str, width: int, head: str, agent: Any) -> None:
    discrete = agent.config.get("n_actions") is not None
    weight, bias = (np.asarray(agent.parameters[f"{head}.head.{part}"]) for part in ("weight", "bias"))
    rows = weight.shape[0] if discrete else weight.shape[0] // 2  # the other half are the standard deviations
    w, b = source.array("head_weight", weight[:rows]), source.array("head_bias", bias[:rows])
    out = "preference" if discrete else "action"
    if discrete:
        source.add(f"float preference[{rows}];")
    source.add(f"NAME_dense({rows}, {width}, {w}, {b}, {x}, {out});")
    if discrete:
        source.add("int best = 0;")
        source.loop(rows, "if (preference[i] > preference[best]) best = i;")
        source.add("return best;")
    else:
        source.loop(rows, "action[i] = action[i] > 1.0f ? 1.0f : action[i] < -1.0f ? -1.0f : action[i];")


def _test(agent: Any, width: int) -> tuple[list[str], str]:
    """Observations, what preceded them and the agent's actions; the function that compares."""
    source, config = _Source(), agent.config
    discrete = config.get("n_actions") is not None
    xs, native = observations_like(agent, TEST_STEPS), Evaluation(agent)
    rewards = np.random.default_rng(SEED).standard_normal(TEST_STEPS).astype(np.float32)
    native.begin()
    wanted: list[Any] = []
    rows: list[Array] = []
    for t, x in enumerate(xs):
        given: dict[str, Any] = {}
        if config.get("previous_reward"):
            given["reward"] = float(rewards[t])
        if config.get("previous_action"):
            given["applied"] = wanted[-1] if wanted else (0 if discrete else np.zeros(width, np.float32))
        wanted.append(native.predict(x, **given))
        row = np.zeros(width, np.float32)
        if t and config.get("previous_action"):
            row[:] = np.eye(width)[int(wanted[-2])] if discrete else wanted[-2]
        rows.append(row)
    rewards[0] = 0.0
    d = int(config["observation_size"])
    arguments = [f"NAME_test_observation + t * {d}"]
    source.array("test_observation", xs)
    if config.get("previous_action"):
        source.array("test_previous_action", rows)
        arguments.append(f"NAME_test_previous_action + t * {width}")
    if config.get("previous_reward"):
        source.array("test_previous_reward", rewards)
        arguments.append("NAME_test_previous_reward[t]")
    source.array("test_action", np.asarray(wanted, dtype=np.float64).reshape(TEST_STEPS, -1))
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


def _head(config: Mapping[str, Any], states: Sequence[str], width: int) -> str:
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
        steps=TEST_STEPS,
        measure=measure,
        sizes=f"NAME_OBSERVATIONS = {int(config['observation_size'])}, NAME_ACTIONS = {width}",
        fields="\n".join([f"    float {name}[{units}];" for name in states] or ["    char none; /* no recurrence */"]),
    )


def c_source(agent: Any, name: str = "policy") -> str:
    """The text of the file; arguments and errors as `export_c`."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", str(name)):
        raise ConfigError(
            f"name = {name!r}: expected a letter, then letters, digits and underscores, at most 40 in all"
        )
    check_agent(agent)
    config, kind = agent.config, agent.config.get("cell", "linear")
    head = "q" if agent.kind in VALUES else "actor"
    body = "body" if config.get("body", "separate") == "shared" else head
    discrete = config.get("n_actions") is not None
    width = int(config["n_actions"] if discrete else config["action_size"])
    source = _Source()
    x, at = _layers(source, "x", _input(source, agent), f"{body}.encoder", agent.parameters)
    x, at = _cell(source, x, at, body, agent)
    x, at = _layers(source, x, at, f"{body}.layer", agent.parameters)
    _output(source, x, at, head, agent)
    states = () if kind == "none" else ("h1",) if kind in GATED else ("h1", "h2")
    step = ("" if states else "    (void)state;\n") + "\n".join(source.lines)
    called = {"NAME_norm(": NORM, "NAME_sigmoid(": SIGMOID, "NAME_tanh(": TANH}
    functions = [text for call, text in called.items() if call in step]
    if {SIGMOID, TANH} & set(functions):
        functions.insert(0, EXP)
    units = int(config.get("units", 0))
    clear = [f"for (int i = 0; i < {units}; i++) state->{name}[i] = 0.0f;" for name in states] or ["state->none = 0;"]
    vectors, test = _test(agent, width)
    parts = [
        _head(config, states, width),
        *source.constants,
        DENSE,
        *functions,
        "static inline void NAME_reset(NAME_state *state) {\n    " + "\n    ".join(clear) + "\n}\n",
        f"static inline {'int' if discrete else 'void'} NAME_step({', '.join(_arguments(config))}) {{\n{step}\n}}\n",
        *vectors,
        test,
        "#undef NAME_MULTIPLY_ADD\n#endif\n",
    ]
    return "\n".join(parts).replace("NAME_H", f"rtu_edge_{name}_h").replace("NAME", name)


def export_c(agent: Any, path: str | os.PathLike[str], *, name: str = "policy") -> None:
    """Write an agent's policy as one C99 file with test vectors: predict(observation, deterministic=True).

    Args:
        agent: a StreamAC, StreamQ, StreamSARSA or StreamQRC.
        path: the file, written atomically.
        name: prefix of its names in C.

    Raises:
        ConfigError: the agent has no policy, a parameter is not finite, or name is no name in C.
        OSError: the file cannot be written.

    Source:
        docs/export.md, As one file of C99.
    """
    files.write(path, c_source(agent, name).encode("ascii"))
