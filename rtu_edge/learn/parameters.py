"""The parameters of learners and cells: one table of name, type and range, unit, defaults and help.

The classes check their arguments with check(). `[learner]` of a configuration is built from the table, and so is the
commented first configuration file. `make tables` generates text from it: the signatures and docstrings of
the classes, the rows of docs/configuration.md, the C interface's fields, defaults and ranges. Tests compare them.

A new parameter needs one row here, `make tables`, and the code in native/ that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge._base.validation import check_keys
from rtu_edge.learn.ranges import (
    REQUIRED,
    ByChoice,
    Choice,
    Dtype,
    Follows,
    Integer,
    Kind,
    Number,
    PerGroup,
    PerHead,
    Switch,
    Widths,
    number_text,
)

__all__ = [
    "POSITIONAL",
    "TABLE",
    "Parameter",
    "check",
    "find",
    "of",
]


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: the argument; "actor.kappa" is the key kappa of the mapping actor.
        kind: type and range.
        unit: "" for a plain number.
        defaults: for each learner that has the parameter: a plain value, None, REQUIRED, ByChoice or Follows.
        help: a phrase, without range and default.
        toml: StreamAC's is a key of `[learner]`; False where the device, `[run]` or another key gives the value.
        c: StreamAC's is a field of rtu_agent_config that `make tables` writes.
    """

    name: str
    kind: Kind
    unit: str
    defaults: Mapping[str, Any]
    help: str
    toml: bool = field(default=True, kw_only=True)
    c: bool = field(default=True, kw_only=True)


AC, TD, BANK, REGRESSOR, CELL = "stream_ac", "td_predictor", "td_bank", "online_regressor", "cell"
Q, SARSA, QRC = "stream_q", "stream_sarsa", "stream_qrc"

_UNIT = Number(0.0, 1.0)
_RULE = Choice(("obgd", "sgd", "adam"))
_STREAM_RULE = Choice(("obgd", "sgd", "adam", "adaptive_obgd", "intentional"))
_STEP_SIZE = Number(0.0, 1e6)
_KAPPA = Number(0.0, 1e6, open_low=True)
_BY_RULE = ByChoice("optimizer", {"obgd": 1.0, "sgd": 1e-3, "adam": 1e-3})
_BY_STREAM_RULE = ByChoice("optimizer", {**_BY_RULE.values, "adaptive_obgd": 1.0, "intentional": 0.5})
_BY_VALUE_RULE = ByChoice("optimizer", {**_BY_STREAM_RULE.values, "intentional": 0.25})
_BY_ACTOR_RULE = ByChoice("optimizer", {**_BY_STREAM_RULE.values, "intentional": 0.01})
_BY_CRITIC_RULE = ByChoice("optimizer", {**_BY_STREAM_RULE.values, "intentional": 0.2})
_GROUPS = ("recurrent", "body", "head")
_POLES = "of a pole, or of a gate at input 0, at initialisation"


def _traced(value: Any) -> dict[str, Any]:
    return {Q: value, SARSA: value}


def _values(value: Any) -> dict[str, Any]:
    return {**_traced(value), QRC: value}


def _acting(value: Any) -> dict[str, Any]:
    return {AC: value, **_values(value)}


def _encoding(value: Any) -> dict[str, Any]:
    return {key: value for key in _learners(value) if key != QRC}


def _learners(value: Any) -> dict[str, Any]:
    return {**_acting(value), TD: value, BANK: value, REGRESSOR: value}


_ = Parameter
# fmt: off
TABLE: tuple[Parameter, ...] = (
    _("observation_size", Integer(1, 1024), "", _acting(REQUIRED),
      "Width d of the observation; in the device's units, normalised inside; over a serial link, observations and "
      "actuators are at most 55 together", toml=False),
    _("action_size", Integer(1, 32), "", {AC: None},
      "Number of continuous actions; each in [-1, 1] of its actuator's range; or give n_actions", toml=False),
    _("n_actions", Integer(2, 64), "", {AC: None},
      "Number of discrete actions; or give action_size", toml=False),
    _("n_actions", Integer(2, 64), "", _values(REQUIRED), "Number of discrete actions"),
    _("observation_size", Integer(1, 65536), "", {TD: REQUIRED, BANK: REQUIRED, REGRESSOR: REQUIRED, CELL: REQUIRED},
      "Width d of the input"),
    _("gammas", PerHead(_UNIT, 4096), "", {BANK: REQUIRED},
      "Discount factor per step of each head; as many heads as numbers"),
    _("n_outputs", Integer(1, 4096), "", {REGRESSOR: 1}, "Width of the target"),
    _("n_units", Integer(1, 65536), "", {CELL: REQUIRED}, "Recurrent units n"),
    _("units", Integer(1, 65536), "", {**_acting(32), TD: 64, BANK: 32, REGRESSOR: 32},
      "Recurrent units n of each network"),
    _("hidden", Widths(Integer(1, 65536), 4), "", {**_acting((32,)), TD: (), BANK: (), REGRESSOR: ()},
      "Layers after the recurrent cell"),
    _("encoder", Widths(Integer(1, 65536), 4), "", _encoding(()),
      "Layers before the recurrent cell; they learn by the gradient of one step through it (docs/math_credit.md)"),
    _("cell", Choice(("linear", "nonlinear", "mingru", "lru", "elstm", "none")), "", _learners("linear"),
      "Recurrent cell; `linear`, `nonlinear`: recurrent trace units; `none`: memoryless baseline (docs/math_cells.md)"),
    _("credit", Choice(("rtrl", "tbptt1", "frozen")), "", _learners("rtrl"),
      "How the recurrent cell learns; `rtrl`: by exact gradients; `tbptt1`: by the gradient of one step; `frozen`: not "
      "at all"),
    _("activation", Choice(("relu", "tanh", "identity")), "",
      {**_acting("tanh"), TD: "relu", BANK: "tanh", REGRESSOR: "relu", CELL: "relu"},
      "Activation function of the recurrent cell"),
    _("units_per_pole", Integer(1, 4096), "", {**_learners(1), CELL: 1},
      "Units that share one pole and its traces; a divisor of the number of units; 1 for `nonlinear`, `mingru` and "
      "`elstm`"),
    _("body", Choice(("separate", "shared")), "", {AC: "shared"},
      "Network of actor and critic; `shared`: one network for both with summed updates (docs/math.md, 4)"),
    _("gamma", _UNIT, "", {AC: 0.98, TD: 0.95, **_values(0.99)}, "Discount factor per step"),
    _("trace_decay", PerGroup(_UNIT, _GROUPS), "", {AC: 0.95, TD: 0.95, **_values(0.8)},
      "Decay lambda of the eligibility traces per step"),
    _("trace_decay", PerHead(_UNIT, 4096), "", {BANK: 0.9},
      "Decay lambda of the eligibility traces of each head per step; one number is for all; that of the body is 0"),
    _("optimizer", _STREAM_RULE, "", {AC: "obgd", TD: "obgd", **_traced("intentional")},
      "Optimizer; `obgd`: overshooting-bounded gradient descent; `adaptive_obgd`: the same on normalised "
      "eligibilities; `intentional`: each step removes the share step_size of the error (docs/math_optimizers.md)"),
    _("preconditioner", Choice(("gradient", "trace", "larger")), "", {AC: "larger", TD: "larger", **_traced("larger")},
      "What the second moment of `intentional` is taken of; `gradient`: as published; `trace`: the eligibilities; "
      "`larger`: the larger of both at one scale"),
    _("optimizer", _RULE, "", {BANK: "adam", REGRESSOR: "adam"},
      "Optimizer; `obgd`: overshooting-bounded gradient descent"),
    _("step_size", _STEP_SIZE, "", {TD: _BY_STREAM_RULE, **_traced(_BY_VALUE_RULE)},
      "Step size; 0 freezes the weights"),
    _("optimizer", Choice(("sgd",)), "", {QRC: "sgd"},
      "Optimizer; the corrected gradient takes plain steps (docs/math_action_values.md)"),
    _("step_size", _STEP_SIZE, "", {QRC: 1e-4}, "Step size of the action values; 0 freezes their weights"),
    _("h_step_size", _STEP_SIZE, "", {QRC: 1e-5},
      "Step size of the network h, which predicts the error; 0: no correction"),
    _("beta", Number(0.0, 1e3), "", {QRC: 1.0}, "Decay of h's weights towards 0, in units of h_step_size"),
    _("step_size", _STEP_SIZE, "", {BANK: _BY_RULE, REGRESSOR: _BY_RULE}, "Step size; 0 freezes the weights"),
    _("beta2", Number(0.9, 0.99999), "", {TD: 0.999, BANK: 0.999},
      "Decay of the optimizer's second moments per step, as with `adam`; its memory 1 / (1 - beta2) "
      "should be many times the time between events (docs/prediction.md)"),
    _("head", Choice(("td", "true_online", "swift")), "", {TD: "td"},
      "Rule of the last layer's weights; `td`: that of the optimizer; `true_online`: true-online TD(lambda); `swift`: "
      "SwiftTD, a step size for each weight that is learned (docs/math_online.md)"),
    _("head_step_size", Number(1e-10, 1.0), "", {TD: 0.01},
      "Step size of the last layer's weights under `true_online`, and at first under `swift`"),
    _("head_bound", Number(0.0, 1.0, open_low=True), "",
      {TD: ByChoice("head", {"td": 1.0, "true_online": 1.0, "swift": 0.1})},
      "Largest share of an error that one step of `true_online` or `swift` removes"),
    _("meta_step_size", Number(0.0, 1.0), "", {TD: 1e-3},
      "Step size of the logarithms of the step sizes under `swift`; 0 keeps them"),
    _("step_size_decay", Number(0.0, 1.0, open_low=True), "", {TD: 0.999},
      "Factor of a step size under `swift` at each step beyond head_bound, to the power of the squared feature"),
    _("kappa", _KAPPA, "", {TD: 2.0, BANK: 2.0, REGRESSOR: 2.0, **_traced(2.0)},
      "Factor kappa of the step bound of `obgd`; larger values take smaller steps"),
    _("actor.step_size", _STEP_SIZE, "", {AC: _BY_ACTOR_RULE}, "Step size of the actor; 0 freezes its weights"),
    _("actor.kappa", _KAPPA, "", {AC: 3.0},
      "Factor kappa of the step bound of `obgd`; larger values take smaller steps"),
    _("critic.step_size", _STEP_SIZE, "", {AC: _BY_CRITIC_RULE}, "Step size of the critic; 0 freezes its weights"),
    _("critic.kappa", _KAPPA, "", {AC: 2.0},
      "Factor kappa of the step bound of `obgd`; larger values take smaller steps"),
    _("critic.trace_decay", PerGroup(_UNIT, _GROUPS), "", {AC: Follows("trace_decay", 0.8)},
      "Decay lambda of the critic's eligibility traces per step"),
    _("actor_warmup", Integer(0, 2**31 - 1), "steps", {AC: 2000},
      "Steps in which the actor's step size rises from 0 to its value, while the critic and the statistics settle"),
    _("entropy", Number(0.0, 1e3), "", {AC: 0.01}, "Entropy coefficient tau"),
    _("epsilon_start", _UNIT, "", _values(1.0), "Share epsilon of random actions at first"),
    _("epsilon_end", _UNIT, "", _values(0.01), "Share epsilon of random actions after epsilon_steps"),
    _("epsilon_steps", Integer(0, 2**31 - 1), "updates", _values(50_000),
      "Updates in which epsilon goes linearly from epsilon_start to epsilon_end"),
    _("cut", Choice(("watkins", "late")), "", {Q: "watkins", QRC: "watkins"},
      "When an action that is not greedy cuts the eligibility traces; `watkins`: before its own gradient enters; "
      "`late`: one step later, as in the published code"),
    _("r_min", Number(0.0, 0.9999999), "", {AC: 0.7, **_values(0.7), TD: 0.9, BANK: 0.9, REGRESSOR: 0.5, CELL: 0.0},
      f"Smallest retention {_POLES}; at most r_max"),
    _("r_max", Number(0.0, 1.0, open_low=True), "", {**_learners(1.0), CELL: 1.0},
      f"Largest retention {_POLES}"),
    _("max_phase", Number(0.0, 1000.0, open_low=True), "rad per step",
      {AC: 6.28, **_values(6.28), TD: 0.6, BANK: 0.6, REGRESSOR: 0.6, CELL: 6.28},
      "Largest phase of a pole at initialisation"),
    _("sparsity", _UNIT, "", _learners(0.9),
      "Share of zero weights in dense layers at initialisation; each row keeps one weight"),
    _("sigma_floor", Number(0.0, 1e3), "", {AC: 0.1}, "Offset added to the standard deviation of continuous actions"),
    _("exploration_correlation", Number(0.0, 0.99), "", {AC: 0.6},
      "Correlation rho of the exploration noise of successive steps; continuous actions (docs/math_learners.md, 4)"),
    _("normalize_observation", Switch(), "", {**_acting(True), TD: False, BANK: True, REGRESSOR: False},
      "Normalise each channel by its running mean and variance; a channel that has not moved gives 0"),
    _("observation_bound", Number(2.0, 1e6, zero=True), "standard deviations", _learners(10.0),
      "Clip normalised observations and the readings in their statistics; 0 disables clipping"),
    _("scale_cumulant", Switch(), "", {TD: False, BANK: True},
      "Learn cumulants in units of the running root mean square of their discounted sum"),
    _("scale_reward", Switch(), "", _acting(True), "Divide rewards by the running standard deviation of the return"),
    _("recompute", Switch(), "", _acting(False),
      "Recompute value and gradient of the previous state with the new weights, as in the published code"),
    _("previous_action", Switch(), "", _acting(False),
      "Add the previous action, as applied, to the inputs; discrete actions one-hot (docs/math_learners.md, 4)"),
    _("previous_reward", Switch(), "", _acting(False),
      "Add the previous reward, scaled as the learner scales it, to the inputs"),
    _("dt_s", Number(0.0, 1e3, open_low=True), "s", _acting(None),
      "Nominal period; kept in checkpoints and exports; None if unknown", toml=False, c=False),
    _("dtype", Dtype(), "", {**_learners("float32"), CELL: "float32"},
      "Number format; `float32` for work; `float64` for verification (scalar code)", c=False),
    _("seed", Integer(0, 2**64 - 1), "", {**_learners(0), CELL: 0}, "Random seed", toml=False, c=False),
)
# fmt: on

# Arguments that may be given by position, in this order; all others by keyword only.
POSITIONAL: dict[str, tuple[str, ...]] = {
    AC: ("observation_size", "action_size", "n_actions", "units", "hidden", "seed"),
    Q: ("observation_size", "n_actions", "units", "hidden", "seed"),
    SARSA: ("observation_size", "n_actions", "units", "hidden", "seed"),
    QRC: ("observation_size", "n_actions", "units", "hidden", "seed"),
    TD: ("observation_size", "units", "gamma", "trace_decay", "seed"),
    BANK: ("observation_size", "gammas", "units", "trace_decay", "seed"),
    REGRESSOR: ("observation_size", "n_outputs", "units", "hidden", "optimizer", "step_size", "seed"),
    CELL: ("observation_size", "n_units", "activation", "dtype", "seed"),
}


def of(learner: str) -> list[Parameter]:
    """The rows of one learner, in the order of the table."""
    return [row for row in TABLE if learner in row.defaults]


def find(learner: str, name: str) -> Parameter:
    """One row; KeyError where the learner has no such parameter."""
    for row in of(learner):
        if row.name == name:
            return row
    raise KeyError(f"{learner}.{name}")


def check(learner: str, given: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """Every parameter of a learner as a plain value, with the default where none is given.

    Args:
        learner: "stream_ac", "stream_q", "stream_sarsa", "stream_qrc", "td_predictor", "td_bank", "online_regressor" or
            "cell".
        given: arguments by name; names that the table does not have are ignored. None selects the default if that is
            None, follows from another parameter, or is followed.
        partial: required parameters may be missing, and are then missing in the result.

    Returns:
        Values by name, in the order of the table: what a checkpoint holds.

    Raises:
        ConfigError: a value of another type, out of its range, or in conflict with another; the message names it.
    """
    values: dict[str, Any] = {}
    for row, holder, source, key in _places(learner, given, values):
        default = row.defaults[learner]
        if key not in source:
            if default is REQUIRED:
                if partial:
                    continue
                raise ConfigError(f"{row.name}: missing; expected {row.kind.allowed}")
            value = default
        else:
            value = source[key]
        if value is None and row.name in followed(learner):
            value = default
        if isinstance(default, ByChoice) and (value is None or value is default):
            value = default.values[values[default.name]]
        if isinstance(default, Follows) and (value is None or value is default):
            value = default.otherwise if given.get(default.name) is None else values[default.name]
        holder[key] = None if value is None and default is None else row.kind.check(row.name, value)
    _check_poles(values, values.get("cell", given.get("cell")))
    return values


def followed(learner: str) -> set[str]:
    """The parameters that another one's default follows: not given, they are None in the class's signature."""
    return {row.defaults[learner].name for row in of(learner) if isinstance(row.defaults[learner], Follows)}


def told(learner: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for a short description: required ones, the seed, and those that differ from the default."""
    required = {row.name: values[row.name] for row in of(learner) if row.defaults[learner] is REQUIRED}
    default = check(learner, {**required, **{key: values[key] for key in ("optimizer", "head") if key in values}})
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in required or name in ("units", "hidden", "seed") or value != default.get(name, value)
    }


def _places(
    learner: str, given: Mapping[str, Any], values: dict[str, Any]
) -> Iterator[tuple[Parameter, dict[str, Any], Mapping[str, Any], str]]:
    """Each row with its table of values, the given table, and its key there."""
    rows = of(learner)
    tables: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, _, key = row.name.rpartition(".")
        if not name:
            yield row, values, given, key
            continue
        if name not in tables:
            keys = [other.name.partition(".")[2] for other in rows if other.name.startswith(name + ".")]
            tables[name] = check_keys(name, given.get(name) or {}, keys)
            values[name] = {}
        yield row, values[name], tables[name], key


def _check_poles(values: Mapping[str, Any], cell: object) -> None:
    """Checks across the parameters of the recurrent cell."""
    units = values.get("units", values.get("n_units"))
    shared, low, high = values["units_per_pole"], values["r_min"], values["r_max"]
    if low > high:
        raise ConfigError(f"r_min = {low!r}: expected a number from 0 to r_max = {number_text(high)}")
    if units is not None and units % shared != 0:
        raise ConfigError(f"units_per_pole = {shared}: expected a divisor of units = {units}")
    if cell in ("nonlinear", "mingru", "elstm") and shared != 1:
        name = {"nonlinear": "the nonlinear RTU", "mingru": "minGRU", "elstm": "eLSTM"}[str(cell)]
        raise ConfigError(f"units_per_pole = {shared}: expected 1 for {name}, whose units share no traces")
