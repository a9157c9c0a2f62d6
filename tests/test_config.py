"""Configuration: valid and invalid values, and the error messages."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtu_edge._base.errors import ConfigError
from rtu_edge.config import Config, canonical, config_hash, load_config, parse_config, write_config

MINIMAL = '[device]\nplant = "cartpole"\n'

COMPLETE = """
[device]
port = "/dev/serial/by-id/usb-maker_board_0123-if00"
baud = 2000000
dtr = "off"

[loop]
clock = "host"
period_us = 5000
ttl_ms = 20

[limits.shoulder]
min = -1.5
max = 1.5
slew_per_s = 3.0

[limits."elbow joint"]
min = 0
max = 2
slew_per_s = inf

[reward]
source = "form"
bias = 1.0
target = [0.5, 0]
quadratic = [-1.0, 0.0]
cosine = [0, 1]
action = [-0.001]

[learner]
units = 48
hidden = [64, 32]
cell = "nonlinear"
activation = "tanh"
trace_decay = { recurrent = 0.99, body = 0.9, head = 0.8 }
actor = { step_size = 0.5, kappa = 3 }
gamma = 1

[run]
steps = 5000
seed = 7
stop_return = 475.0
"""


def problem(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, overrides)
    return str(caught.value)


def test_a_minimal_file_takes_the_defaults() -> None:
    config = parse_config(MINIMAL)
    assert config.device.plant == "cartpole"
    assert config.device.baud == 1_000_000
    assert config.learner.arguments() == {}


def test_every_key_of_a_complete_file_arrives() -> None:
    config = parse_config(COMPLETE)
    assert config.limits["elbow joint"].max == 2.0
    assert math.isinf(config.limits["elbow joint"].slew_per_s)
    assert config.learner.arguments() == {
        "units": 48,
        "hidden": (64, 32),
        "cell": "nonlinear",
        "activation": "tanh",
        "trace_decay": {"recurrent": 0.99, "body": 0.9, "head": 0.8},
        "actor": {"step_size": 0.5, "kappa": 3.0},
        "gamma": 1.0,
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("device.baude=9600", ["device.baude = 9600", 'did you mean "device.baud"?']),
        ("learner.unit=3", ["learner.unit = 3", 'did you mean "learner.units"?']),
        ("learner.seed=3", ["learner.seed = 3", 'did you mean "run.seed"?']),
        ("lerner.units=3", ['did you mean "learner"?']),
        ("run.xyzzy=1", ["run.xyzzy = 1", "known here: name, folder, steps"]),
        (
            "loop.clock=devise",
            ['loop.clock = "devise"', 'one of "device", "host", "lockstep"', 'did you mean "device"?'],
        ),
        ("loop={clock='lockstep', realtime=true}", ["loop.realtime = true: must be false"]),
        ("loop.period_us=-1", ["loop.period_us = -1", "an integer from 0 to 10000000"]),
        ("loop.period_us=2.5", ["loop.period_us = 2.5", "an integer from 0 to 10000000"]),
        ("run.steps=true", ["run.steps = true", "an integer from 1 to 1000000000"]),
        ("loop.realtime=1", ["loop.realtime = 1", "true or false"]),
        ("learner.gamma=1.5", ["learner.gamma = 1.5", "a number from 0 to 1"]),
        ("learner.gamma=nan", ["learner.gamma = nan", "a number from 0 to 1"]),
        ("learner.actor.kappa=0", ["learner.actor.kappa = 0", "above 0, at most 1e+06"]),
        (
            "learner.trace_decay=2",
            ["learner.trace_decay = 2", "a number from 0 to 1 or a table of recurrent, body, head"],
        ),
        ("learner.trace_decay.head=0.5", ["learner.trace_decay.recurrent: missing"]),
        ("learner.hidden=[32, 0]", ["learner.hidden[1] = 0", "an integer from 1 to 65536"]),
        ("learner.cell=liner", ['did you mean "linear"?']),
        ("learner=3", ["learner = 3", "must be a table"]),
        ("learner.epsilon_end=0.1", ["learner.epsilon_end = 0.1", "StreamQ and StreamSARSA and", "makes a StreamAC"]),
        ("learner.beta=0.5", ["learner.beta = 0.5: a parameter of StreamQRC; [learner] makes a StreamAC"]),
        ("learner.kind=stream_q", ['learner.kind = "stream_q": [learner] makes a StreamAC']),
        ("limits.force.min=1", ["limits.force.max: missing", "limits.force.slew_per_s: missing"]),
        ("device.port=/dev/ttyACM0", ["give one of port, plant and bus"]),
        ("device.plant=''", ["give one of port, plant and bus"]),
        ("learner.r_min=1.0", ["learner.r_min = 1.0", "a number from 0 to 0.9999999"]),
        ("learner={r_min=0.9, r_max=0.5}", ["learner.r_min = 0.9", "from 0 to r_max = 0.5"]),
        ("learner.r_max=0.5", ["learner.r_min = 0.7", "from 0 to r_max = 0.5"]),
        ("learner.observation_bound=1", ["learner.observation_bound = 1", "0, or a number from 2 to 1e6"]),
        ("learner.hidden=[1, 1, 1, 1, 1]", ["learner.hidden", "at most 4 layers"]),
        ("learner.units_per_pole=5", ["learner.units_per_pole = 5", "a divisor of units = 32"]),
        ("reward.bias=1.0", ['reward.source = "device"', 'must be "form"']),
        ("run.name=a/b", ['run.name = "a/b"', "without a slash"]),
    ],
)
def test_a_problem_names_path_value_and_what_is_allowed(line: str, words: list[str]) -> None:
    text = problem(MINIMAL, line)
    for word in words:
        assert word in text


def test_limits_out_of_order() -> None:
    assert "limits.f.rest = 0: must be from 1 to 2" in problem(MINIMAL, "limits.f={min=1, max=2, slew_per_s=1}")
    overrides = ("limits.f.min=2", "limits.f.max=1", "limits.f.slew_per_s=1")
    assert "limits.f.min = 2: must be below limits.f.max = 1" in problem(MINIMAL, *overrides)


def test_all_problems_are_reported_at_once() -> None:
    text = problem(MINIMAL, "run.steps=0", "learner.units=0", "loop.ttl_ms=-1")
    assert len(text.splitlines()) == 3


def test_device_is_required() -> None:
    assert problem("").startswith("device: missing; must be a table of port, plant")


def test_overrides_are_toml_or_else_strings() -> None:
    config = parse_config(MINIMAL, ["device.plant=pendulum", "learner.hidden=[8, 8]", 'run.name="x"', "run.seed = 3"])
    assert (config.device.plant, config.run.name, config.run.seed) == ("pendulum", "x", 3)
    assert config.learner.hidden == (8, 8)


@pytest.mark.parametrize("text", ["run.steps", "=3", "run..steps=3", "device.plant.x=3"])
def test_an_override_that_is_none(text: str) -> None:
    assert f"--set {text}:" in problem(MINIMAL, text)


def test_the_source_stands_in_front(tmp_path) -> None:
    path = tmp_path / "robot.toml"
    with pytest.raises(ConfigError, match=r"robot\.toml: cannot read the configuration: No such file"):
        load_config(path)
    path.write_text("[device\n")
    with pytest.raises(ConfigError, match=r"robot\.toml: not valid TOML: .*line 1"):
        load_config(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(path)
    path.write_text(MINIMAL + "bauds = 1\n")
    with pytest.raises(ConfigError, match=r"robot\.toml: device\.bauds = 1"):
        load_config(path)


@pytest.mark.parametrize("text", [MINIMAL, COMPLETE])
def test_the_canonical_form_is_a_fixed_point(text: str, tmp_path) -> None:
    config = parse_config(text)
    assert parse_config(canonical(config)) == config
    assert canonical(parse_config(canonical(config))) == canonical(config)
    digest = write_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config
    assert digest == config_hash(config)
    assert digest in (tmp_path / "config.toml").read_text().splitlines()[0]


def test_the_hash_sees_values_and_not_spelling() -> None:
    spelled = parse_config("run = { seed = 0 }\n[device]\nplant = 'cartpole'\nbaud = 1_000_000\n")
    assert config_hash(spelled) == config_hash(parse_config(MINIMAL))
    assert config_hash(parse_config(MINIMAL, ["run.seed=1"])) != config_hash(parse_config(MINIMAL))


@given(st.text(max_size=40), st.floats(allow_nan=False), st.integers(0, 2**32 - 1))
def test_any_text_survives_the_canonical_form(name: str, slew: float, seed: int) -> None:
    data = MINIMAL + f"[run]\nseed = {seed}\n"
    config = parse_config(data)
    limits = {name: {"min": -1.0, "max": 1.0, "slew_per_s": abs(slew) + 1.0}}
    changed = msgspec.convert({**msgspec.to_builtins(config), "limits": limits}, Config)
    assert parse_config(canonical(changed)) == changed
