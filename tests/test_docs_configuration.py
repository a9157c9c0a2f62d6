"""docs/configuration.md, docs/configuration_safety.md and the schema have the same keys and defaults."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from rtu_edge import config

ROOT = Path(__file__).resolve().parent.parent
TEXT = "".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("configuration.md", "configuration_safety.md")
)


def table(name: str) -> type[msgspec.Struct]:
    """The struct below [learner]."""
    made: type[msgspec.Struct] = type(
        getattr(config.parse_config(f"[device]\nplant = 'x'\n[learner.{name}]").learner, name)
    )
    return made


SECTIONS = {
    "device": config.Device,
    "companion.NAME": config.Companion,
    "loop": config.Loop,
    "reconnect": config.Reconnect,
    "limits.NAME": config.LimitsTable,
    "reward": config.Reward,
    "supervisor": config.Supervisor,
    "supervisor.ab": config.Ab,
    "fallback": config.Fallback,
    "fallback.pd.NAME": config.Pd,
    "take_over": config.TakeOverTable,
    "learner_monitor": config.LearnerMonitor,
    "sensor.NAME": config.Sensor,
    "checks": config.Checks,
    "checks.observation.NAME": config.CheckedObservation,
    "checks.actuator.NAME": config.CheckedActuator,
    "start.NAME": config.Start,
    "homing": config.Homing,
    "homing.pd.NAME": config.Pd,
    "learner": config.Learner,
    "learner.actor": table("actor"),
    "learner.critic": table("critic"),
    "log": config.Log,
    "run": config.Run,
    "checkpoint": config.Checkpoint,
}


def documented() -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in TEXT.splitlines():
        if not row.startswith("|"):
            continue
        cells = tuple(cell.strip() for cell in row.strip("|").split("|"))
        section = re.fullmatch(r"\*\*\[(.*)\]\*\*", cells[0])
        if section:
            found[section[1]] = {}
        elif found:
            for key in re.findall(r"`(\w+)`", cells[0]):
                found[list(found)[-1]][key] = cells[1:]
    return found


def test_every_key_is_documented_and_no_other() -> None:
    keys = {name: set(rows) for name, rows in documented().items()}
    below = {tuple(name.removesuffix(".NAME").rsplit(".", 1)) for name in SECTIONS if "." in name}
    assert keys == {
        name: {key for key in struct.__struct_fields__ if (name, key) not in below} for name, struct in SECTIONS.items()
    }


def test_single_defaults_are_the_schema_s() -> None:
    checked = 0
    for name, rows in documented().items():
        fields = {field.name: field.default for field in msgspec.structs.fields(SECTIONS[name])}
        for key, (_, default, _) in rows.items():
            if re.fullmatch(r"`[\w-]+`|-?\d+|true|false", default) and fields[key] not in ("", None):
                assert plain(fields[key]) == default.strip("`"), key
                checked += 1
    assert checked >= 40


def plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def test_the_example_in_the_text_is_what_is_said() -> None:
    said = re.search(r"rtu-edge: robot\.toml: (.*)", TEXT)
    assert said
    with pytest.raises(config.ConfigError) as caught:
        config.parse_config('[device]\nplant = "cartpole"\n', ["learner.unit=64"])
    assert str(caught.value) == said[1]
