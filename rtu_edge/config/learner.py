"""`[learner]` of a configuration, built from the table of parameters (rtu_edge/learn/parameters.py)."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.strict import Section, quoted
from rtu_edge.learn import horizon, parameters
from rtu_edge.learn.parameters import AC, Parameter
from rtu_edge.learn.ranges import (
    ByChoice,
    Choice,
    Follows,
    Integer,
    Kind,
    Number,
    PerGroup,
    Switch,
    Widths,
    number_text,
)

__all__ = ["Actions", "Learner", "build", "problems"]

_N_ACTIONS = parameters.find(AC, "n_actions").kind
assert isinstance(_N_ACTIONS, Integer)


class Actions(str, enum.Enum):
    """Continuous actions, or evenly spaced levels between the limits of one actuator."""

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"


_STREAM_AC = "[learner] makes a StreamAC; make another learner in Python (docs/math_action_values.md)"


def _elsewhere() -> dict[str, str]:
    """The keys that name another learner or one of its parameters, and why they are refused."""
    classes = {parameters.Q: "StreamQ", parameters.SARSA: "StreamSARSA", parameters.QRC: "StreamQRC"}
    own = {row.name.rpartition(".")[2] for row in parameters.of(AC)}
    owners: dict[str, list[str]] = {}
    for learner, name in classes.items():
        for key in {row.name for row in parameters.of(learner)} - own:
            owners.setdefault(key, []).append(name)
    refused = {key: f"a parameter of {' and '.join(names)}; {_STREAM_AC}" for key, names in owners.items()}
    return {**dict.fromkeys(("class", "kind", "learner", "type"), _STREAM_AC), **refused}


class LearnerTable(Section, frozen=True):
    """`[learner]`: arguments of StreamAC.

    Args:
        actions: Continuous actions, or evenly spaced levels of one actuator
        levels: Number of levels of a discrete action
        horizon_s: Time in s after which a command no longer matters for the reward; sets discount, traces, exploration,
            poles and warm-up where their keys are not given (StreamAC.for_horizon)
    """

    elsewhere: ClassVar[Mapping[str, str]] = _elsewhere()

    actions: Actions = Actions.CONTINUOUS
    levels: Annotated[int, msgspec.Meta(ge=_N_ACTIONS.low, le=_N_ACTIONS.high)] = 2
    horizon_s: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] | None = None

    def arguments(self, period_s: float | None = None) -> dict[str, Any]:
        """Keyword arguments for StreamAC from the file (without the width of the action and the seed).

        Args:
            period_s: the device's period, for what follows from horizon_s; None: without those.

        Raises:
            ConfigError: horizon_s is not 2 to 10 000 periods.
        """
        plain: dict[str, Any] = _given(msgspec.to_builtins(self))
        for key in ("actions", "levels", "horizon_s"):
            plain.pop(key, None)
        for key in ("hidden", "encoder"):
            if isinstance(plain.get(key), list):
                plain[key] = tuple(plain[key])
        if self.horizon_s is not None and period_s is not None:
            return horizon.actor_critic("learner.horizon_s", self.horizon_s, period_s, plain)
        return plain


def _given(table: dict[str, Any]) -> dict[str, Any]:
    """A table and its subtables without None values."""
    return {k: _given(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}


def problems(learner: LearnerTable) -> Iterator[str]:
    """Checks across keys: StreamAC's own check of the given keys."""
    try:
        parameters.check(AC, learner.arguments(), partial=True)
    except ConfigError as error:
        yield f"learner.{error}"


def build() -> type[LearnerTable]:
    """The struct of `[learner]`: the keys of LearnerTable, and one for each row of the table that has `toml`.

    Every key may be left out. Its msgspec.Meta has the help, and in `extra` the allowed values and the class's default.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    tables: dict[str, list[tuple[str, Any, Any]]] = {}
    for row in parameters.of(AC):
        if not row.toml:
            continue
        table, _, key = row.name.rpartition(".")
        if table:
            tables.setdefault(table, []).append((key, _described(row), None))
            fields[table] = (table, None, None)
        else:
            fields[row.name] = (key, _described(row), None)
    for table, keys in tables.items():
        doc = {"__doc__": f"`[learner.{table}]`: optimizer of the {table}."}
        struct = msgspec.defstruct(table.title(), keys, bases=(Section,), namespace=doc, frozen=True, module=__name__)
        fields[table] = (table, struct | None, None)
    made: Any = msgspec.defstruct(
        "Learner",
        fields.values(),
        bases=(LearnerTable,),
        namespace={"__doc__": LearnerTable.__doc__},
        frozen=True,
        module=__name__,
    )
    learner: type[LearnerTable] = made
    return learner


def _described(row: Parameter) -> Any:
    unit = f" {row.unit}" if row.unit else ""
    default = row.defaults[AC]
    extra = {"allowed": row.kind.allowed + unit, "default": _shown(default), "value": _value(default)}
    return Annotated[_type(row.name, row.kind) | None, msgspec.Meta(description=row.help, extra=extra)]


def _value(default: Any) -> str:
    """The class's default as TOML."""
    if isinstance(default, ByChoice):
        default = default.values[parameters.find(AC, default.name).defaults[AC]]
    if isinstance(default, Follows):
        default = default.otherwise
    return quoted(list(default) if isinstance(default, tuple) else default)


def _shown(default: Any) -> str:
    """The class's default for documents."""
    if isinstance(default, ByChoice):
        values: dict[str, list[str]] = {}
        for choice, value in default.values.items():
            values.setdefault(number_text(value), []).append(f"`{choice}`")
        return ", ".join(f"{value} ({', '.join(names)})" for value, names in values.items())
    if isinstance(default, Follows):
        return f"`{default.name}`, or {number_text(default.otherwise)}"
    if isinstance(default, str):
        return f"`{default}`"
    return _value(default) if isinstance(default, (bool, tuple)) else number_text(default)


def _type(name: str, kind: Kind) -> Any:
    if isinstance(kind, Integer):
        return Annotated[int, msgspec.Meta(ge=kind.low, le=kind.high)]
    if isinstance(kind, Number):
        low = 0.0 if kind.zero else kind.low
        bounds = msgspec.Meta(gt=low, le=kind.high) if kind.open_low else msgspec.Meta(ge=low, le=kind.high)
        return Annotated[float, bounds]
    if isinstance(kind, Choice):
        return enum.Enum(name.title(), {choice.upper(): choice for choice in kind.choices}, type=str, module=__name__)
    if isinstance(kind, Switch):
        return bool
    each = _type(name, kind.each)
    if isinstance(kind, Widths):
        return each | types.GenericAlias(tuple, (each, ...))
    assert isinstance(kind, PerGroup)
    keys = [(key, each) for key in kind.keys]
    return each | msgspec.defstruct(name.title(), keys, bases=(Section,), frozen=True, module=__name__)


if TYPE_CHECKING:
    Learner = LearnerTable
else:
    Learner = build()
