"""A suite: a run's configuration, a fixed controller, and faults with their expected outcomes. One
TOML file for all targets.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import msgspec.inspect as mi

from rtu_edge import config as runs
from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import Number, override, parse_toml, problems, quoted, read_text
from rtu_edge.hil.faults import KINDS, Controller, Fault, Response
from rtu_edge.loop import Clock

__all__ = ["STANDARD", "Linear", "Suite", "load_suite", "parse_suite"]

STANDARD = Path(__file__).with_name("standard.toml")


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Linear(_Section, frozen=True):
    """`[controller]`: the fixed controller: action = bias + gain x, clipped to -1..1 of each actuator's range.

    Args:
        kind: default controller: "linear", or "learner" as described by `[learner]`.
        gain: a row for each actuator, a number for each observation.
        bias: a number for each actuator; default: zeros.
    """

    kind: Controller = Controller.LINEAR
    gain: tuple[tuple[Number, ...], ...] = ()
    bias: tuple[Number, ...] = ()

    def widened(self, observation_size: int) -> Linear:
        """The same with a gain of 0 for each further observation."""
        gain = tuple((*row, *(0.0,) * (observation_size - len(row))) for row in self.gain)
        return msgspec.structs.replace(self, gain=gain)


class _Own(_Section, frozen=True):
    """Keys of a suite in addition to a run's configuration and its faults."""

    name: str = "suite"
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] = 0
    controller: Linear = Linear()


class Suite(_Own, frozen=True, kw_only=True):
    """A whole suite.

    Args:
        name: in the report.
        seed: of the faults.
        controller: the fixed one.
        config: the host's; device.plant is the plant of the targets sim, process and qemu.
        faults: in execution order.
    """

    config: runs.Config
    faults: tuple[Fault, ...]

    def chosen(self, names: Sequence[str]) -> tuple[Fault, ...]:
        """The faults of these names or kinds; all if none is given.

        Raises:
            ConfigError: unknown fault.
        """
        known = {fault.title for fault in self.faults} | {fault.kind for fault in self.faults}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(f"no fault is called {', '.join(map(quoted, unknown))}; `rtu-edge hil list` names them")
        return tuple(f for f in self.faults if not names or f.title in names or f.kind in names)

    def run_config(
        self, port: str, folder: str, clock: Clock | None = None, settings: Sequence[str] = ()
    ) -> runs.Config:
        """The configuration of a host on a port, as `rtu-edge run` takes it; `settings` are `a.b=c` each.

        Raises:
            ConfigError: a setting is not allowed.
        """
        replace = msgspec.structs.replace
        config = runs.parse_config(runs.canonical(self.config), settings) if settings else self.config
        loop = config.loop
        return replace(
            config,
            device=replace(config.device, port=port, plant=""),
            loop=loop if clock is None else replace(loop, clock=clock),
            run=replace(config.run, name="host", folder=folder, steps=1_000_000_000, seconds=0.0),
        )


def load_suite(path: str | os.PathLike[str] | None = None, overrides: Sequence[str] = ()) -> Suite:
    """Read a suite.

    Args:
        path: a TOML file; None for the standard suite.
        overrides: `a.b=c` each, as for a run's configuration.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has invalid contents; all problems at once.
    """
    path = STANDARD if path is None else path
    return parse_suite(read_text(path, "suite"), overrides, source=os.fspath(path))


def parse_suite(text: str, overrides: Sequence[str] = (), *, source: str = "") -> Suite:
    """Check a suite given as TOML text; see `load_suite`."""
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"not valid TOML: {error}", source) from error
    for assignment in overrides:
        override(data, assignment)
    tables = data.pop("fault", [])
    own = {key: data.pop(key) for key in _Own.__struct_fields__ if key in data}
    found = list(problems(mi.type_info(_Own), own))
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        found.append("fault: must be one [[fault]] table or more")
        tables = []
    for index, table in enumerate(tables):
        found += _fault_problems(index, table)
    try:
        host = runs.check_config(_with_plant(data))
    except ConfigError as error:
        raise ConfigError([*found, *error.problems], source) from error
    if found:
        raise ConfigError(found, source)
    given = msgspec.convert(own, _Own)
    suite = Suite(
        name=given.name,
        seed=given.seed,
        controller=given.controller,
        config=host,
        faults=tuple(_fault(table) for table in tables),
    )
    found = list(_cross_check(suite))
    if found:
        raise ConfigError(found, source)
    return suite


def _with_plant(data: dict[str, Any]) -> dict[str, Any]:
    """The same, with the servo if no plant is named."""
    device = data.setdefault("device", {})
    if isinstance(device, dict) and not device.get("port"):
        device.setdefault("plant", "servo")
    return data


def _fault(table: Mapping[str, Any]) -> Fault:
    plain = {key: value for key, value in table.items() if key != "kind"}
    return msgspec.convert(plain, KINDS[table["kind"]])


def _fault_problems(index: int, table: dict[str, Any]) -> Iterator[str]:
    """One sentence per problem of a `[[fault]]` table, each with its place."""
    name = table.get("name")
    place = f"fault[{index}]" + (f" ({name})" if isinstance(name, str) else "")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        close = difflib.get_close_matches(str(kind), list(KINDS), n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        given = "missing" if kind is None else f"= {quoted(kind)}"
        yield f"{place}.kind {given}: must be one of {', '.join(sorted(KINDS))}{hint}"
        return
    plain = {key: value for key, value in table.items() if key != "kind"}
    for problem in problems(mi.type_info(KINDS[kind]), plain):
        yield f"{place}.{problem}"


def _cross_check(suite: Suite) -> Iterator[str]:
    """Checks across fields."""
    if suite.config.device.port:
        yield f"device.port = {quoted(suite.config.device.port)}: must be left out; --target names the device"
    if suite.config.loop.clock is Clock.HOST:
        yield 'loop.clock = "host": must be "device" or "lockstep"; the faults act on a device that ticks'
    names = [fault.title for fault in suite.faults]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"fault {quoted(name)}: must be unique; two faults have this name"
    controller = suite.controller
    linear = any((f.controller or controller.kind) is Controller.LINEAR for f in suite.faults)
    if linear and not controller.gain and not controller.bias:
        yield 'controller: gain or bias is missing; controller.kind = "linear" needs one row for each actuator'
    if controller.gain and len({len(row) for row in controller.gain}) != 1:
        yield "controller.gain: must have rows of one length, a number for each observation"
    if controller.gain and controller.bias and len(controller.gain) != len(controller.bias):
        rows = len(controller.gain)
        yield f"controller.bias: {len(controller.bias)} numbers; must be {rows}, as many as controller.gain has rows"
    for index, fault in enumerate(suite.faults):
        where = f"fault[{index}] ({fault.title})"
        try:
            suite.run_config("/dev/null", "", settings=fault.settings)
        except ConfigError as error:
            yield from (f"{where}.settings: {problem}" for problem in error.problems)
        if "host process" in fault.needs and fault.controller is Controller.LINEAR:
            yield f'{where}.controller = "linear": must be "learner"; a host process is `rtu-edge run`'
        if fault.kind == "schema" and fault.expect is not Response.REFUSES:
            yield f'{where}.expect = "{fault.expect.value}": must be "refuses"; the data sheet is checked before arming'
        if fault.clock is Clock.HOST:
            yield f'{where}.clock = "host": must be "device" or "lockstep"; the faults act on a device that ticks'
        if fault.clock is Clock.LOCKSTEP and fault.acts_on == "host":
            yield f'{where}.clock = "lockstep": must be "device"; a stopped host only makes virtual time wait'
