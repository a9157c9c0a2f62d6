"""An agent's policy as one C99 file that computes in integers alone, for processors without a floating-point unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import counted
from rtu_edge._base.version import __version__
from rtu_edge.learn.c_policy import fixed_text as text
from rtu_edge.learn.c_policy.fixed_cells import LARGEST_BOUND, cell, inputs
from rtu_edge.learn.c_policy.fixed_steps import Ints, Program
from rtu_edge.learn.c_policy.fixed_text import ACTION_ONE
from rtu_edge.learn.c_policy.parts import Parts, layers_of, recorded
from rtu_edge.learn.c_policy.write import Array
from rtu_edge.learn.onnx.write import CELL_WEIGHTS

__all__ = ["ERROR", "FixedPolicy", "fixed_source"]

TEST_STEPS, ERROR_STEPS = 16, 1000
ERROR = 0.01  # of the action's range, at most

_FUNCTIONS = {
    "NAME_pack(": text.PACK,
    "NAME_dense(": text.DENSE,
    "NAME_turn(": text.TURN,
    "NAME_turn_wide(": text.TURN_WIDE,
    "NAME_tanh(": text.TANH,
    "NAME_sigmoid(": text.SIGMOID,
    "NAME_norm(": text.NORM,
    "NAME_action(": text.ACTION,
}


class FixedPolicy:
    """The integers of an agent's policy: the program in C, and the same steps in Python, to the bit.

    Args:
        agent: as for `export_c`.

    Attributes:
        program: constants and lines of C.
        bits: bits after the point of each observation, then of the previous reward.
    """

    def __init__(self, agent: Any) -> None:
        _check(agent)
        parts, parameters, program = Parts.of(agent), agent.parameters, Program()
        self.parts, self.program = parts, program
        encoder, body = (layers_of(f"{parts.body}.{name}", parameters) for name in ("encoder", "layer"))
        head = parts.head_of(agent)
        after = [weight for weight, _ in (*body, head)]
        x, self.bits = inputs(program, agent)
        below = [weight for weight, _ in encoder[1:]] + [_first(parts) if parts.kind != "none" else after[0]]
        values: Any = x
        for k, (weight, bias) in enumerate(encoder):
            values = program.norm(program.sums(f"encoder{k}", weight, bias, values), below[k])
        values = cell(program, values, parts, agent.config, after[0])
        for k, (weight, bias) in enumerate(body):
            values = program.norm(program.sums(f"layer{k}", weight, bias, values), after[k + 1])
        result = program.sums("head", *head, values)
        if parts.discrete:
            program.choice(result)
        else:
            program.action(result)
        self._units = int(agent.config.get("units", 0))
        self.reset()

    def reset(self) -> None:
        """Start of an episode."""
        self._env: dict[str, Any] = {name: np.zeros(self._units, np.int64) for name in self.parts.states}

    def integers(self, observations: Array, previous_rewards: Array) -> tuple[Ints, Ints]:
        """Observations (steps, d) and previous rewards (steps) in the units of the C."""
        d = observations.shape[1]
        ends = (-(2.0**31) + 1, 2.0**31 - 1)
        xs = np.rint(np.asarray(observations, np.float64) * 2.0 ** np.array(self.bits[:d], np.float64))
        rewards = np.rint(np.asarray(previous_rewards, np.float64) * 2.0 ** (self.bits[d] if self.bits[d:] else 0))
        return np.clip(xs, *ends).astype(np.int64), np.clip(rewards, *ends).astype(np.int64)

    def step(self, observation: Ints, previous_action: Ints, previous_reward: int) -> Ints:
        """The action (k) in 2^-14, or the choice (1)."""
        env = self._env
        env.update(observation=observation, previous_action=previous_action, previous_reward=previous_reward)
        for run in self.program.runs:
            run(env)
        return np.atleast_1d(env["action"])


def _first(parts: Parts) -> Array:
    """What multiplies the inputs of the cell."""
    first, second = (parts.cell[name] for name in CELL_WEIGHTS[parts.kind])
    gains = np.broadcast_to(parts.gains()[2], first.shape[0])[:, np.newaxis]
    return np.vstack([first * gains, second * gains])


def _check(agent: Any) -> None:
    config = agent.config
    if not config.get("normalize_observation", True):
        raise ConfigError("normalize_observation = False: fixed needs the range of the inputs, expected True")
    bound = float(config.get("observation_bound", 0.0))
    if not 0.0 < bound <= LARGEST_BOUND:
        raise ConfigError(f"observation_bound = {bound:g}: fixed needs the range of the inputs, expected above 0 and"
                          f" at most {LARGEST_BOUND:g}")  # fmt: skip
    if config.get("previous_reward") and not config.get("scale_reward", True):
        raise ConfigError("scale_reward = False: with previous_reward fixed needs its range, expected True")
    seen = agent.normalizer
    reward_moved = bool(seen["return_variance"]) if config.get("previous_reward") else True
    for what, moved in (("observation", seen["scale"].any()), ("reward", reward_moved)):
        if not moved:
            raise ConfigError(
                f"agent: no {what} has moved in {counted(seen['count'], 'step')}; fixed needs the range of the inputs:"
                " let it learn first, or load_normalizer() with statistics of a log"
            )


def _arguments(config: Mapping[str, Any], kind: str, small: str) -> list[str]:
    """Parameters of NAME_step() or, with float, of NAME_step_float()."""
    given = ["NAME_state *state", f"const {kind} *observation"]
    given += [f"const {small} *previous_action"] if config.get("previous_action") else []
    given += [f"{kind} previous_reward"] if config.get("previous_reward") else []
    return given if config.get("n_actions") is not None else [*given, f"{small} *action"]


def _float(policy: FixedPolicy, config: Mapping[str, Any]) -> str:
    """NAME_step_float()."""
    width, discrete, bits = policy.parts.width, policy.parts.discrete, policy.bits
    d = int(config["observation_size"])
    ones = ", ".join(f"{2.0**b!r}f" for b in bits[:d])
    body = [f"static const float one[{d}] = {{{ones}}};", f"int32_t x[{d}];"]
    body += [f"for (int i = 0; i < {d}; i++) x[i] = NAME_integer(observation[i], one[i]);"]
    call = ["state", "x"]
    if config.get("previous_action"):
        body += [f"int16_t before[{width}];", f"for (int i = 0; i < {width}; i++)",
                 f"    before[i] = (int16_t)NAME_integer(previous_action[i] > 1.0f ? 1.0f : previous_action[i] < -1.0f"
                 f" ? -1.0f : previous_action[i], {ACTION_ONE}.0f);"]  # fmt: skip
        call.append("before")
    if config.get("previous_reward"):
        call.append(f"NAME_integer(previous_reward, {2.0 ** bits[d]!r}f)")
    if discrete:
        body.append(f"return NAME_step({', '.join(call)});")
    else:
        body += [f"int16_t whole[{width}];", f"NAME_step({', '.join([*call, 'whole'])});",
                 f"for (int i = 0; i < {width}; i++) action[i] = (float)whole[i] * {1.0 / ACTION_ONE!r}f;"]  # fmt: skip
    return text.FLOAT.format(
        actions="" if discrete else " and actions in [-1, 1]",
        result="int" if discrete else "void",
        arguments=", ".join(_arguments(config, "float", "float")),
        body="\n".join(f"    {line}" for line in body),
    )


def _compared(policy: FixedPolicy, agent: Any) -> tuple[str, list[str], str]:
    """The error next to the agent in words; test vectors; the function that compares."""
    discrete, width, config = policy.parts.discrete, policy.parts.width, agent.config
    steps = recorded(agent, ERROR_STEPS)
    xs, rewards = policy.integers(steps.observations, steps.previous_rewards)
    before = np.rint(steps.previous_actions.astype(np.float64) * ACTION_ONE).astype(np.int64)
    policy.reset()
    found = np.array([policy.step(xs[t], before[t], int(rewards[t])) for t in range(ERROR_STEPS)])
    if discrete:
        words = f"{100.0 * np.mean(found != steps.actions):.2g} % of the choices differ"
    else:
        off = np.abs(found / ACTION_ONE - steps.actions) / 2.0
        worst = float(off.max())
        if not worst <= ERROR:
            raise ConfigError(f"agent: with fixed, actions differ by {100.0 * worst:.2g} % of their range; at most"
                              f" {100.0 * ERROR:g} % is exported")  # fmt: skip
        words = f"actions differ by at most {100.0 * worst:.2g} % of\n * their range, rms {100.0 * _rms(off):.1g} %"
    vectors, d = Program(), xs.shape[1]
    vectors.ints("int32_t", "test_observation", xs[:TEST_STEPS])
    lines, call = [f"int32_t x[{d}];", f"for (int i = 0; i < {d}; i++) x[i] = NAME_AT32(NAME_test_observation + t * {d}"
                   " + i);"], ["&state", "x"]  # fmt: skip
    if config.get("previous_action"):
        vectors.ints("int16_t", "test_previous_action", before[:TEST_STEPS])
        lines += [f"int16_t before[{width}];", f"for (int i = 0; i < {width}; i++)"
                  f" before[i] = NAME_AT16(NAME_test_previous_action + t * {width} + i);"]  # fmt: skip
        call.append("before")
    if config.get("previous_reward"):
        vectors.ints("int32_t", "test_previous_reward", rewards[:TEST_STEPS])
        call.append("NAME_AT32(NAME_test_previous_reward + t)")
    vectors.ints("int16_t", "test_action", found[:TEST_STEPS])
    if discrete:
        lines.append(f"wrong += NAME_step({', '.join(call)}) != NAME_AT16(NAME_test_action + t);")
    else:
        lines += [f"int16_t action[{width}];", f"NAME_step({', '.join([*call, 'action'])});", f"for (int i = 0; i <"
                  f" {width}; i++) wrong += action[i] != NAME_AT16(NAME_test_action + t * {width} + i);"]  # fmt: skip
    body = "\n".join(f"        {line}" for line in lines)
    function = ("static inline int NAME_test(void) {\n    NAME_state state;\n    int wrong = 0;\n"
                f"    NAME_reset(&state);\n    for (int t = 0; t < {TEST_STEPS}; t++) {{\n{body}\n    }}\n"
                "    return wrong;\n}\n")  # fmt: skip
    return words, vectors.constants, function


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _head(policy: FixedPolicy, config: Mapping[str, Any], error: str) -> str:
    parts, period, d = policy.parts, config.get("dt_s"), int(config["observation_size"])
    call = ", ".join(part.split()[-1].lstrip("*") for part in _arguments(config, "int32_t", "int16_t")[1:])
    result = (f"Returns the index of the choice, 0 to {parts.width - 1}." if parts.discrete else
              f"action: of the actuator's range, -{ACTION_ONE} lowest, {ACTION_ONE} highest.")  # fmt: skip
    more = (
        [
            f"previous_action: as action, -{ACTION_ONE} to {ACTION_ONE}"
            if not parts.discrete
            else f"previous_action: {ACTION_ONE} at the choice, 0 elsewhere"
        ]
        if config.get("previous_action")
        else []
    )
    more += ["previous_reward: an integer of 2^-NAME_REWARD_BITS"] if config.get("previous_reward") else []
    sizes = {"OBSERVATIONS": d, "ACTIONS": parts.width, "ONE": ACTION_ONE}
    sizes |= {f"BITS_{i}": bits for i, bits in enumerate(policy.bits[:d])}
    sizes |= {"REWARD_BITS": policy.bits[d]} if policy.bits[d:] else {}
    rows = [f"NAME_{key} = {value}" for key, value in sizes.items()]
    fields = [f"    int32_t h[{len(parts.states) * int(config['units'])}];"] if parts.states else []
    return text.HEAD.format(
        version=__version__,
        call=call,
        period="" if period is None else f" Period\n * {float(period):g} s: call it at no other.",
        result="; ".join([result.rstrip("."), *more]) + "." if more else result,
        error=error,
        steps=ERROR_STEPS,
        tests=TEST_STEPS,
        sizes=",\n       ".join(", ".join(rows[i : i + 5]) for i in range(0, len(rows), 5)),
        fields="\n".join(fields or ["    char none; /* no recurrence */"]),
    )


def fixed_source(agent: Any) -> str:
    """The text of the file; NAME is its prefix. Errors as `export_c`."""
    policy, config = FixedPolicy(agent), agent.config
    words, vectors, test = _compared(policy, agent)
    program, states, discrete = policy.program, policy.parts.states, policy.parts.discrete
    size = len(states) * int(config["units"])
    clear = [f"for (int i = 0; i < {size}; i++) state->h[i] = 0;"] if states else []
    step = ("" if states else "    (void)state;\n") + "\n".join(program.lines)
    used = step + "\n".join(program.constants)
    functions = [source for call, source in _FUNCTIONS.items() if call in used or (call == "NAME_tanh(" and
                 "NAME_sigmoid(" in used)]  # fmt: skip
    arguments = ", ".join(_arguments(config, "int32_t", "int16_t"))
    return "\n".join([
        _head(policy, config, words), text.SHIFTS, text.PAIR, *program.constants, *functions,
        "static inline void NAME_reset(NAME_state *state) {\n    " + (clear or ["state->none = 0;"])[0] + "\n}\n",
        f"static inline {'int' if discrete else 'void'} NAME_step({arguments}) {{\n{step}\n}}\n",
        _float(policy, config), *vectors, test, "#endif\n",
    ])  # fmt: skip
