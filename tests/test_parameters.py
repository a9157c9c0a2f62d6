"""One table of the learners' parameters: the classes, `[learner]`, the documents and the C interface agree with it."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import sys
from typing import Any

import msgspec
import pytest
from ranges import allowed, edges, numbers
from toolchain import ROOT

import rtu_edge as rtu
from rtu_edge import _core, config
from rtu_edge.config import learner as learner_table
from rtu_edge.device import plants
from rtu_edge.learn import parameters
from rtu_edge.learn.parameters import AC, BANK, CELL, REGRESSOR, TD, Parameter
from rtu_edge.learn.ranges import REQUIRED, ByChoice, Choice, Integer, Number, Widths
from rtu_edge.loop import LoopConfig
from rtu_edge.run.build import check_learner

sys.path.insert(0, str(ROOT / "tools"))
import tables

CLASSES: dict[str, Any] = {AC: rtu.StreamAC, TD: rtu.TDPredictor, BANK: rtu.TDBank, REGRESSOR: rtu.OnlineRegressor}
CLASSES |= {CELL: rtu.LinearRTU}
MINIMAL = '[device]\nplant = "cartpole"\n'
SIZES = {AC: {"observation_size": 2, "action_size": 1}, TD: {"observation_size": 2}, REGRESSOR: {"observation_size": 2}}
SIZES |= {CELL: {"observation_size": 2, "n_units": 4}, BANK: {"observation_size": 2, "gammas": [0.9, 0.5]}}


def from_toml(*lines: str) -> dict[str, Any]:
    """The configuration of the learner that a file with these values makes."""
    return rtu.StreamAC(2, 1, **config.parse_config(MINIMAL, lines).learner.arguments()).config


@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        (["learner.critic.step_size=0.5"], {"critic": {"step_size": 0.5}}),
        (["learner.actor.step_size=0.5"], {"actor": {"step_size": 0.5}}),
        (["learner.critic={}"], {}),
        (['learner.optimizer="sgd"', "learner.actor.kappa=3"], {"optimizer": "sgd", "actor": {"kappa": 3}}),
        (['learner.optimizer="adam"', "learner.critic.kappa=2"], {"optimizer": "adam", "critic": {"kappa": 2}}),
    ],
)
def test_a_key_in_a_file_changes_no_other_keys_default(lines: list[str], arguments: dict[str, Any]) -> None:
    assert from_toml(*lines) == rtu.StreamAC(2, 1, **arguments).config


def test_the_defaults_that_files_used_to_change() -> None:
    critic = from_toml("learner.critic.step_size=0.5")["critic"]
    assert (critic["step_size"], critic["kappa"]) == (0.5, rtu.StreamAC(2, 1).config["critic"]["kappa"])
    assert from_toml('learner.optimizer="sgd"', "learner.actor.kappa=3")["actor"] == {"step_size": 1e-3, "kappa": 3.0}


def test_the_decay_of_the_critic_is_that_of_both_where_one_is_given() -> None:
    """Files from before it have one decay, for both."""
    both = dict.fromkeys(("recurrent", "body", "head"), 0.7)
    assert from_toml("learner.trace_decay=0.7")["critic"]["trace_decay"] == both
    assert rtu.StreamAC(2, 1, trace_decay=both).config["critic"]["trace_decay"] == both
    own = rtu.StreamAC(2, 1, trace_decay=0.7, critic={"trace_decay": 0.5}).config
    assert (own["trace_decay"], own["critic"]["trace_decay"]) == (both, dict.fromkeys(both, 0.5))


def accepted(make: Any, *arguments: Any, **keywords: Any) -> bool:
    try:
        make(*arguments, **keywords)
    except config.ConfigError:
        return False
    return True


def consistent(row: Parameter, value: float) -> dict[str, Any]:
    """Values that must accompany this one."""
    if row.name == "units_per_pole":
        return {"units": value} if 1 <= value <= 65536 else {}
    return {"r_min": 0.0} if row.name == "r_max" else {}


@pytest.mark.parametrize(("row", "kind"), numbers(AC))
def test_a_file_accepts_what_the_class_accepts(row: Parameter, kind: Integer | Number) -> None:
    for value in edges(kind):
        others = consistent(row, value)
        name, _, key = row.name.partition(".")
        given = {name: {key: value} if key else value, **others}
        assert accepted(parameters.check, AC, {**SIZES[AC], **given}) == allowed(kind, value), value
        if row.toml:
            lines = [f"learner.{k}={toml(v)}" for k, v in {row.name: value, **others}.items()]
            assert accepted(config.parse_config, MINIMAL, lines) == allowed(kind, value), value


def toml(value: float) -> str:
    return repr(value) if math.isfinite(value) else str(value)


@pytest.mark.parametrize("learner", CLASSES)
def test_the_checks_accept_the_defaults_and_refuse_beyond_the_range(learner: str) -> None:
    values = parameters.check(learner, SIZES[learner])
    assert values == parameters.check(learner, {**SIZES[learner], **values})
    for parameter in numbers(learner):
        row, kind = parameter.values
        name, _, key = row.name.partition(".")
        for value in edges(kind):
            given = {**SIZES[learner], name: {key: value} if key else value, **consistent(row, value)}
            if row.name == "units_per_pole" and learner == CELL:
                given = {**SIZES[learner], "n_units": given.pop("units", 4), name: value}
            assert accepted(parameters.check, learner, given) == allowed(kind, value), (row.name, value)


@pytest.mark.parametrize("learner", CLASSES)
def test_the_signature_is_the_tables(learner: str) -> None:
    found = dict(inspect.signature(CLASSES[learner]).parameters)
    rows = {row.name.partition(".")[0]: row for row in parameters.of(learner)}
    assert set(found) == set(rows)
    for name, argument in found.items():
        default = rows[name].defaults[learner]
        if default is REQUIRED:
            assert argument.default is inspect.Parameter.empty
        elif isinstance(default, ByChoice) or rows[name].name != name or name in parameters.followed(learner):
            assert argument.default is None
        else:
            assert argument.default == default
            assert type(argument.default) is type(default)
    positional = [name for name, a in found.items() if a.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert tuple(positional) == parameters.POSITIONAL[learner]


def test_texts_are_what_make_tables_writes() -> None:
    found = tables.differences()
    text = "".join(
        line
        for path, (old, new) in found.items()
        for line in difflib.unified_diff(old.splitlines(True), new.splitlines(True), path, f"{path} by `make tables`")
    )
    assert not found, f"\n{text}"


def test_a_parameter_on_which_a_default_depends_stands_before_it() -> None:
    for learner in CLASSES:
        names = [row.name for row in parameters.of(learner)]
        assert len(set(names)) == len(names)
        for row in parameters.of(learner):
            default = row.defaults[learner]
            if isinstance(default, ByChoice):
                choice = parameters.find(learner, default.name)
                assert names.index(choice.name) < names.index(row.name)
                assert isinstance(choice.kind, Choice)
                assert set(default.values) == set(choice.kind.choices)


def test_a_new_parameter_takes_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by the class's check, signature and docstring, by [learner], and by the C interface's fields and checks."""
    row = Parameter("boldness", Number(0.0, 4.0), "rad", {AC: 0.25}, "Boldness of the policy")
    monkeypatch.setattr(parameters, "TABLE", (*parameters.TABLE, row))
    assert parameters.check(AC, SIZES[AC])["boldness"] == 0.25
    with pytest.raises(config.ConfigError, match=re.escape("boldness = 5: expected a number from 0 to 4")):
        parameters.check(AC, {**SIZES[AC], "boldness": 5})
    assert "        boldness: float = 0.25,\n" in tables.signature(AC)
    assert "        boldness: Boldness of the policy, 0 to 4 rad.\n" in tables.docstring(AC)
    assert "boldness" not in tables.signature(TD)
    assert (
        "  /* Boldness of the policy, 0 to 4 rad; default 0.25 */\n  double boldness;\n"
        in tables.c_interface.c_fields()
    )
    assert "  c.boldness = 0.25;\n" in tables.c_interface.c_defaults()
    assert "  if (!number(c.boldness, 0.0, 4.0)) return false;\n" in tables.c_interface.c_defaults()
    struct = learner_table.build()
    assert msgspec.convert({"boldness": 1}, struct).arguments() == {"boldness": 1.0}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"boldness": 5}, struct)
    # The class itself, with the signature that `make tables` writes.
    body = f"def __init__(\n        self,\n{tables.signature(AC)}    ):\n    return check({AC!r}, locals())"
    scope: dict[str, Any] = {"check": parameters.check}
    exec(f"from __future__ import annotations\n{body}", scope)
    assert scope["__init__"](None, 2, 1, boldness=2)["boldness"] == 2.0


def test_the_core_has_what_the_table_allows() -> None:
    hidden = parameters.find(AC, "hidden").kind
    assert isinstance(hidden, Widths)
    assert hidden.most == _core.max_layers
    for learner, make in CLASSES.items():
        for row in parameters.of(learner):
            if isinstance(row.kind, Choice):
                for choice in row.kind.choices:
                    make(**SIZES[learner], **{row.name: choice})  # the core refuses an unknown choice


def test_a_resumed_learner_keeps_what_the_file_does_not_give() -> None:
    """Also a default that another version had, such as kappa 2 of the critic where the file gives its step size."""
    sheet = plants.sheet("cartpole")
    found = rtu.StreamAC(2, 1, dt_s=0.02, critic={"step_size": 0.5, "kappa": 2.0})
    settings = config.parse_config(MINIMAL, ["learner.critic.step_size=0.5"])
    check_learner(settings, sheet, found, "a.rtu")
    settings = config.parse_config(MINIMAL, ["learner.critic={step_size=0.5, kappa=3}"])
    with pytest.raises(config.ConfigError, match=r"learner\.critic = .*the checkpoint a\.rtu holds"):
        check_learner(settings, sheet, found, "a.rtu")


@pytest.mark.parametrize(
    ("table", "key", "option"),
    [
        (config.Loop, "ttl_ms", "ttl_ms"),
        (config.Loop, "realtime", "realtime"),
        (config.Loop, "cpu", "cpu"),
        (config.Run, "seed", "seed"),
        (config.Run, "seconds", "seconds"),
        (config.Run, "stop_return", "target_return"),
        (config.Run, "stop_episodes", "target_window"),
        (config.Log, "hash_every", "hash_every"),
    ],
)
def test_a_key_of_a_file_has_the_default_of_the_loops_option(table: Any, key: str, option: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(table)}
    assert fields[key].default == getattr(LoopConfig(), option)


def test_the_defaults_in_docs_prediction() -> None:
    """The column "the class's default" of docs/prediction.md."""
    text = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    text = text[text.index("| setting | rule |") :].split("\n\n")[0]
    rows = dict(re.findall(r"^\| ([a-z_]+(?:, [a-z_]+)*) \| .* \| ([^|]+) \|$", text, re.MULTILINE))
    words = {"relu": "relu", "none": (), "ObGD": "obgd", "no": False}
    checked = 0
    for names, values in list(rows.items())[1:]:
        for name, value in zip(names.split(", "), values.split(", "), strict=False):
            default = parameters.find(TD, name).defaults[TD]
            assert default == words[value] if value in words else default == float(value), name
            checked += 1
    assert checked >= 9


# Defaults of the structs in native/, for learners that C++ makes: file -> pattern -> learner, parameter.
NATIVE = {
    "native/learners/stream_ac.h": {
        r"double gamma = ([\d.e-]+)": (AC, "gamma"),
        r"Setting entropy = static_cast<core::Setting>\(([\d.e-]+)": (AC, "entropy"),
        r"bool normalize_observation = (\w+)": (AC, "normalize_observation"),
        r"bool scale_reward = (\w+)": (AC, "scale_reward"),
        r"bool recompute = (\w+)": (AC, "recompute"),
    },
    "native/learners/td_lambda.h": {r"double gamma = ([\d.e-]+)": (TD, "gamma")},
    "native/learners/network.h": {r"double sparsity = ([\d.e-]+)": (AC, "sparsity")},
    "native/learners/normalizer.h": {r"kDefaultObservationBound = ([\d.e-]+)": (AC, "observation_bound")},
    "native/optim/optimizer.h": {r"Setting kappa = ([\d.e-]+)": (TD, "kappa")},
    "native/cells/rtu_layout.h": {
        r"r_min = ([\d.e-]+)": (CELL, "r_min"),
        r"r_max = ([\d.e-]+)": (CELL, "r_max"),
        r"max_phase = ([\d.e-]+)": (CELL, "max_phase"),
    },
}


@pytest.mark.parametrize("path", NATIVE)
def test_defaults_of_native_structs_are_the_tables(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for pattern, (learner, name) in NATIVE[path].items():
        found = re.search(pattern, text)
        assert found, pattern
        default = parameters.find(learner, name).defaults[learner]
        assert found[1] == str(default).lower() if isinstance(default, bool) else float(found[1]) == default, pattern
