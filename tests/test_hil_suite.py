"""The suite file: valid and invalid contents, error messages, and the coverage of the standard suite."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtu_edge._base.errors import ConfigError
from rtu_edge.hil import faults
from rtu_edge.hil.faults import KINDS, Controller, Response
from rtu_edge.hil.suite import load_suite, parse_suite
from rtu_edge.loop import Clock

SMALL = """
[controller]
gain = [[-0.05, 0.05]]

[[fault]]
kind = "drop"
rate = 0.2
"""


def test_the_standard_suite_covers_every_kind_and_every_outcome() -> None:
    suite = load_suite()
    assert len(suite.faults) >= 24
    assert {fault.kind for fault in suite.faults} == set(KINDS)
    expected = {fault.expect for fault in suite.faults}
    assert expected == set(Response)
    for target in ("process", "qemu"):
        assert sum(not fault.only or target in fault.only for fault in suite.faults) >= 24
    # TTL is no multiple of the period: otherwise the jitter of a tick decides whether one more is needed.
    assert suite.config.loop.ttl_ms % 10 != 0


def test_a_small_suite_has_defaults() -> None:
    suite = parse_suite(SMALL)
    (fault,) = suite.faults
    assert isinstance(fault, faults.Drop)
    assert (fault.title, fault.rate, fault.expect) == ("drop", 0.2, Response.RIDES_THROUGH)
    assert suite.controller.kind is Controller.LINEAR and suite.config.device.plant == "servo"


def test_a_fault_from_a_file_is_the_one_made_in_python() -> None:
    text = SMALL + 'name = "one in five"\ndirection = "to_host"\nexpect = "goes_safe"\n'
    made = faults.Drop(name="one in five", direction=faults.Direction.TO_HOST, rate=0.2, expect=Response.GOES_SAFE)
    assert parse_suite(text).faults == (made,)


def test_overrides_and_names() -> None:
    suite = parse_suite(SMALL, ["loop.ttl_ms=40", "seed=9"])
    assert (suite.config.loop.ttl_ms, suite.seed) == (40, 9)
    assert suite.chosen(["drop"]) == suite.faults
    with pytest.raises(ConfigError, match='no fault is called "dorp"'):
        suite.chosen(["dorp"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "not valid TOML"),
        (SMALL + '[device]\nport = "/dev/ttyACM0"', 'device.port = "/dev/ttyACM0": must be left out'),
        (SMALL + "[loop]\nttl = 3", 'loop.ttl = 3: unknown key; did you mean "loop.ttl_ms"?'),
        (SMALL.replace("drop", "sensor") + 'how = "nam"', 'fault[0].how = "nam": must be one of "nan", "stuck"'),
        ("", "fault: must be one [[fault]] table or more"),
        ("fault = 3", "fault: must be one [[fault]] table or more"),
        (SMALL.replace('"drop"', '"dorp"'), 'fault[0].kind = "dorp": must be one of'),
        (SMALL.replace('"drop"', '"dorp"'), 'did you mean "drop"?'),
        (SMALL.replace('kind = "drop"', ""), "fault[0].kind missing: must be one of"),
        (SMALL + "rat = 1.0", 'fault[0].rat = 1.0: unknown key; did you mean "rate"?'),
        (SMALL + 'name = "x"\nbaud = 9600', "fault[0] (x).baud = 9600: unknown key"),
        (SMALL.replace("0.2", "1.5"), "fault[0].rate = 1.5: must be a number from 0 to 1"),
        (SMALL + 'expect = "survives"', 'fault[0].expect = "survives": must be one of "rides_through"'),
        (SMALL + '[[fault]]\nkind = "drop"', 'fault "drop": must be unique; two faults have this name'),
        (
            SMALL.replace("gain", "gian"),
            'controller.gian = [[-0.05, 0.05]]: unknown key; did you mean "controller.gain"?',
        ),
        (SMALL.replace("gain = [[-0.05, 0.05]]", ""), "controller: gain or bias is missing"),
        (SMALL.replace("0.05]]", "0.05], [1.0]]"), "controller.gain: must have rows of one length"),
        (SMALL.replace("gain", "bias = [0.0, 0.0]\ngain"), "controller.bias: 2 numbers; must be 1"),
        (SMALL.replace("drop", "schema").replace("rate = 0.2", ""), 'expect = "rides_through": must be "refuses"'),
        (
            SMALL + 'settings = ["run.step=2"]',
            "fault[0] (drop).settings: run.step = 2: unknown key; did you mean \"run.steps\"?",
        ),
        (
            SMALL.replace("drop", "host_kill").replace("rate = 0.2", 'controller = "linear"'),
            'fault[0] (host_kill).controller = "linear": must be "learner"',
        ),
        (
            SMALL.replace("drop", "host_kill").replace("rate = 0.2", 'clock = "lockstep"'),
            'fault[0] (host_kill).clock = "lockstep": must be "device"',
        ),
        (SMALL + 'clock = "host"', 'fault[0] (drop).clock = "host": must be "device" or "lockstep"'),
        (SMALL + '[loop]\nclock = "host"', 'loop.clock = "host": must be "device" or "lockstep"'),
    ],
)  # fmt: skip
def test_what_is_said_when_something_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_suite(text, source="suite.toml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("suite.toml: ")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_suite(SMALL.replace("0.2", "-1.0") + '[[fault]]\nkind = "flop"\n[loop]\nttl_ms = -3\n')
    assert len(caught.value.problems) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the suite: No such file"):
        load_suite(tmp_path / "none.toml")


def test_the_host_gets_the_suites_configuration() -> None:
    suite = load_suite()
    config = suite.run_config("/dev/null", "/tmp", Clock.LOCKSTEP)
    assert config.loop.clock.value == "lockstep" and config.loop.ttl_ms == suite.config.loop.ttl_ms
    assert (config.device.port, config.device.plant) == ("/dev/null", "")
    assert config.limits == suite.config.limits and config.learner == suite.config.learner


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_says_what_it_is(kind: str) -> None:
    cls = KINDS[kind]
    assert cls.__doc__ and cls.kind == kind
    assert cls.acts_on in ("line", "device", "host")
    assert msgspec.to_builtins(cls())["name"] == ""
