"""Maps names in files and messages of earlier versions to current ones.

Readers of old files call these functions; nothing else in the package uses old names (tests/test_old_names.py). The
module is in _base because config, learn, record and device all read such files, and imports point down only. A user's
configuration gets no such translation: an old key there is an error that names the new one (renamed_key).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["configuration", "counters", "head", "learner", "record_field", "renamed_key", "status", "summary"]

# Keys of a configuration: tables at the top, then keys inside a table (by its new name).
_TABLES = {"guard": "learner_monitor", "gate": "sensor"}
_KEYS = {
    "supervisor": {"good_steps": "recovery_steps"},
    "learner_monitor": {"survive_steps": "validation_steps"},
    "fault": {"way": "direction"},  # of a fault-injection suite
}
# Fields of a record of a step.
_RECORD = {
    "gate": "command_limiter",
    "gate_ns": "limit_ns",
    "input_gate": "sensor_monitor",
    "input_channel": "sensor_channel",
    "guard": "learner_monitor",
    "learn_ns": "update_ns",
    "executed": "applied",
}
_HEAD = {"gate": "command_limiter", "machine": "host"}
_SUMMARY = {"machine": "host"}
_STATUS = {"guard": "learner_monitor"}
_LEARNER = {"n_inputs": "observation_size"}
_REASONS = {"input": "sensor"}  # why a run ended
_COUNTERS = {
    "replaced": "overridden",
    "learn_failures": "update_failures",
    "snapshots_survived": "snapshots_validated",
}
_COUNTER_GROUPS = (
    (re.compile(r"gate_(non_finite|range|slew|accel|clipped|held)"), "limiter_"),
    (
        re.compile(r"input_(non_finite|dropouts|range|spikes|stuck|held|clamped|fallbacks|stops|rewards)"),
        "sensor_",
    ),
    (
        re.compile(r"guard_(non_finite|weights|td_error|saturated|retention|fallback_rate|failed|normalizer|frozen)"),
        "monitor_",
    ),
)


def renamed_key(key: str) -> str:
    """The current name of an old key of a configuration or suite; "" for any other key."""
    inside = {old: new for keys in _KEYS.values() for old, new in keys.items()}
    return {**_TABLES, **inside}.get(key, "")


def configuration(data: Mapping[str, Any]) -> dict[str, Any]:
    """Parsed TOML of an earlier version, with current keys."""
    found = _renamed(data, _TABLES)
    for table, keys in _KEYS.items():
        if isinstance(found.get(table), dict):
            found[table] = _renamed(found[table], keys)
    return found


def learner(config: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's configuration of an earlier version, with current arguments."""
    return _renamed(config, _LEARNER)


def record_field(name: str) -> str:
    """The current name of a field of a step's record."""
    return _RECORD.get(name, name)


def head(plain: Any) -> Any:
    """The head of a log or of a black box, plain values, with current keys and fields; other values are returned
    unchanged.
    """
    if not isinstance(plain, dict):
        return plain
    found = _renamed(plain, _HEAD)
    if isinstance(found.get("record"), list):
        found["record"] = [
            [record_field(row[0]), *row[1:]] if isinstance(row, list) and row and isinstance(row[0], str) else row
            for row in found["record"]
        ]
    if isinstance(found.get("learner"), dict):
        found["learner"] = learner(found["learner"])
    return found


def counters(found: Mapping[str, Any]) -> dict[str, Any]:
    """Counters of a loop, and steps with a finding by monitor, with current names."""
    return _renamed(found, {name: _counter(name) for name in found})


def summary(plain: Any) -> Any:
    """The summary of a run, plain values, with current keys; other values are returned unchanged."""
    if not isinstance(plain, dict):
        return plain
    found = _renamed(plain, _SUMMARY)
    if isinstance(found.get("learner"), dict):
        found["learner"] = learner(found["learner"])
    if isinstance(found.get("stages"), dict):
        found["stages"] = {
            name: _stage(stage) if isinstance(stage, dict) else stage for name, stage in found["stages"].items()
        }
    return found


def status(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of a port's owner, which may run an earlier version, with current keys."""
    return _stage(_renamed(answer, _STATUS))


def _stage(plain: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(plain)
    if isinstance(found.get("counters"), dict):
        found["counters"] = counters(found["counters"])
    if isinstance(found.get("reason"), str):
        found["reason"] = _REASONS.get(found["reason"], found["reason"])
    return found


def _counter(name: str) -> str:
    for pattern, group in _COUNTER_GROUPS:
        match = pattern.fullmatch(name)
        if match is not None:
            return group + match[1]
    return _COUNTERS.get(name, name)


def _renamed(plain: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Replaces old keys by new ones; an old key next to its new one is kept, so that the reader refuses it."""
    return {key if names.get(key, key) in plain else names.get(key, key): value for key, value in plain.items()}
