"""Search for settings of a learner with Optuna: each trial is a study with these settings.

The objective is the mean over all runs of the score, each clipped to [-1, 1].
"""

from __future__ import annotations

import math
import os
import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtu_edge._base.errors import CheckFailed, ConfigError
from rtu_edge._base.packages import needed_by
from rtu_edge._base.text_table import TextTable
from rtu_edge.device.holders import status_of
from rtu_edge.learn import parameters
from rtu_edge.learn.ranges import Integer, Widths
from rtu_edge.study.progress import StudyProgress
from rtu_edge.study.registry import Study
from rtu_edge.study.run import Executor, executor, run_tasks
from rtu_edge.study.scores import row_of
from rtu_edge.study.settings import learner_settings
from rtu_edge.study.store import Store
from rtu_edge.study.summary import mean_score, summarise

__all__ = ["Range", "Trial", "draw", "parse_range", "table", "tune"]

_WHOLE = (Integer, Widths)
_RUNS = "runs"  # attribute of a search: the options that its trials have in common
_OWNER = "process"  # attribute of a trial: the host and process that run it


@dataclass(frozen=True)
class Range:
    """The values of one setting.

    Attributes:
        key: of [learner], such as "learner.actor.kappa".
        low, high: of a number. log: its logarithm is searched. integer: whole numbers.
        choices: in place of a range: texts, as after --set.
    """

    key: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    choices: tuple[str, ...] = ()

    def suggest(self, trial: Any) -> str:
        """A value as text, as after --set."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if self.integer:
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log))
        return repr(trial.suggest_float(self.key, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Trial:
    """One finished trial: its number, settings by key, objective, and the summary of its runs."""

    number: int
    settings: dict[str, Any]
    value: float
    summary: dict[str, Any]


def parse_range(text: str) -> Range:
    """A range from the command line.

    >>> parse_range("learner.actor.kappa=1:10:log")
    Range(key='learner.actor.kappa', low=1.0, high=10.0, log=True, integer=False, choices=())
    >>> parse_range("learner.units=16:64").integer, parse_range("learner.body=shared,separate").choices
    (True, ('shared', 'separate'))

    Raises:
        ConfigError: another form.
    """
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not key or not values:
        raise _bad(text)
    if ":" not in values:
        choices = tuple(value.strip() for value in values.split(","))
        if len(choices) < 2 or not all(choices):
            raise _bad(text)
        return Range(key, choices=choices)
    low, high, *rest = values.split(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        raise _bad(text) from None
    if rest not in ([], ["log"]) or not (math.isfinite(ends[0]) and ends[0] < ends[1] < math.inf):
        raise _bad(text)
    if rest and ends[0] <= 0.0:
        raise ConfigError(f"--search {text}: a logarithmic range begins above 0")
    return Range(key, *ends, log=bool(rest), integer=_whole(key))


def _whole(key: str) -> bool:
    try:
        return isinstance(parameters.find(parameters.AC, key.removeprefix("learner.")).kind, _WHOLE)
    except KeyError:
        return False  # refused later, with the keys that there are


def _bad(text: str) -> ConfigError:
    return ConfigError(
        f"--search {text}: expected KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C, such as learner.actor.kappa=1:10:log"
    )


def tune(
    study: Study,
    folder: Path,
    ranges: Sequence[Range],
    trials: int,
    *,
    storage: str = "",
    seeds: int | None = None,
    steps: int | None = None,
    fixed: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    shown: bool = True,
) -> list[Trial]:
    """Runs trials until the search has so many, those of earlier calls included.

    Args:
        study: the plants of each trial.
        folder: of the results of all runs; created.
        ranges: of the settings to search.
        trials: 1 or more, in all.
        storage: a file, or a database URL of SQLAlchemy; "": tune.db in the folder. Several processes may share it.
        seeds, steps, workers, scheduler, shown: as for run_study().
        fixed: `learner.KEY=VALUE` that every trial has.

    Returns:
        The finished trials, the best first.

    Raises:
        ConfigError: a setting out of its range at one end of a range, or searched twice; the storage cannot be opened,
            or its search has other seeds, steps or fixed settings. ModuleNotFoundError: optuna is not installed.
    """
    with needed_by("rtu-edge tune"):
        import optuna
    if not ranges:
        raise ConfigError("--search: expected at least one setting to search")
    keys = [one.key for one in ranges]
    for one in ranges:
        if keys.count(one.key) > 1:
            raise ConfigError(f"--search {one.key}: more than one range")
        ends = one.choices or [str(int(x) if one.integer else x) for x in (one.low, one.high)]
        for end in ends:  # before any work
            learner_settings([*fixed, f"{one.key}={end}"])
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = storage or str(folder / "tune.db")
    search = _open(place, f"rtu_edge {study.name}")
    _same_runs(search, place, {"--seeds": seeds, "--steps": steps, "--set": sorted(fixed)})
    # Another seed after a restart: the same one would suggest the first trials again.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "multivariate" is experimental in Optuna 4
        search.sampler = optuna.samplers.TPESampler(seed=len(search.trials), multivariate=True)
    _fail_the_dead(search)
    with Store(folder) as store, executor(workers, scheduler) as run_on:
        while len(_finished(search)) < trials:
            trial = search.ask()
            trial.set_user_attr(_OWNER, _me())
            given = [*fixed, *(f"{one.key}={one.suggest(trial)}" for one in ranges)]
            try:
                settings = learner_settings(given)
                rows = _rows(study, (seeds, steps, settings), store, run_on, shown, trial.number)
            except (ConfigError, CheckFailed) as error:  # settings that exclude each other
                trial.set_user_attr("error", str(error))
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
                _not_only_failures(search, str(error))
                continue
            except BaseException:
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
                raise
            trial.set_user_attr("summary", summarise(rows))
            search.tell(trial, mean_score(rows))
    return sorted(
        (Trial(t.number, t.params, t.value, t.user_attrs["summary"]) for t in _finished(search)),
        key=lambda trial: (-trial.value, trial.number),
    )


def _rows(
    study: Study, given: tuple[Any, ...], store: Store, run_on: Executor, shown: bool, number: int
) -> list[dict[str, Any]]:
    tasks = study.tasks(*given)
    with StudyProgress(tasks, shown, f"trial {number}  ") as progress:
        results, _ = run_tasks(tasks, [task.key() for task in tasks], store, run_on, progress)
    return [row_of(task, result) for task, result in zip(tasks, results, strict=True)]


def _open(storage: str, name: str) -> Any:
    """The search in a storage, which is created."""
    import optuna
    import sqlalchemy.exc

    try:
        return optuna.create_study(storage=_url(storage), study_name=name, direction="maximize", load_if_exists=True)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        # The first line: the others are SQL and links.
        problem = str(error.__cause__ or error).partition("\n")[0]
        raise ConfigError(f"--storage {storage}: cannot be opened: {problem}") from error


def _same_runs(search: Any, storage: str, given: dict[str, Any]) -> None:
    """Scores of runs with other steps, seeds or settings are not compared with those of earlier trials."""
    kept = search.user_attrs.get(_RUNS)
    if kept is None:
        search.set_user_attr(_RUNS, given)
        return
    for name, value in given.items():
        if kept[name] != value:
            was = f"{name} {kept[name]}" if kept[name] else f"no {name}"
            raise ConfigError(f"{storage}: its trials had {was}; give another folder with --out, or another --storage")


def _url(storage: str) -> str:
    return storage if "://" in storage else f"sqlite:///{Path(storage).resolve()}"


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_of(os.getpid())}


def _start_of(pid: int) -> int:
    """The start time of a process, so that a number used again is not taken for it; 0: there is none."""
    try:
        return int(status_of(pid)[1][19])
    except OSError:
        return 0


def _fail_the_dead(search: Any) -> None:
    """Trials of processes that have ended: the sampler would otherwise avoid their settings permanently."""
    import optuna

    for trial in search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        owner = trial.user_attrs.get(_OWNER)
        gone = owner is None or (owner["host"] == socket.gethostname() and _start_of(owner["pid"]) != owner["start"])
        if gone:
            search.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _finished(search: Any) -> list[Any]:
    import optuna

    return list(search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def _not_only_failures(search: Any, problem: str) -> None:
    """Ends a search in which nothing works."""
    import optuna

    failed = search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.FAIL,))
    if len(failed) >= 20 and not _finished(search):
        raise ConfigError(f"the first {len(failed)} trials failed, the last with: {problem}")


def table(trials: Sequence[Trial], most: int = 10) -> TextTable:
    """The best trials."""
    keys = sorted({key for trial in trials for key in trial.settings})
    shown = TextTable("trial", "mean score", "learned", "locked", *(key.removeprefix("learner.") for key in keys))
    for trial in trials[:most]:
        values = (trial.settings.get(key, "") for key in keys)
        shown.add_row(
            str(trial.number),
            f"{trial.value:.3f}",
            *(
                "-" if (share := trial.summary[name]) is None else f"{100 * share:.3g} %"
                for name in ("learned", "locked")
            ),
            *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values),
        )
    return shown


def draw(study: Study, trials: Sequence[Trial], path: Path) -> None:
    """Objective over trials, and over each setting; PNG or SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed. OSError: the file cannot be written.
    """
    from rtu_edge.report.figures import PALETTE, figure_of, write_picture

    keys = sorted({key for trial in trials for key in trial.settings})
    ordered = sorted(trials, key=lambda trial: trial.number)
    values = [trial.value for trial in ordered]
    with figure_of("tune", 2.6 * (1 + len(keys)) + 1.0, 3.4) as figure:
        figure.suptitle(f"{study.name}: mean score of {len(trials)} trials", x=0.01, ha="left", fontsize=10.5)
        axes = figure.subplots(1, 1 + len(keys), sharey=True, squeeze=False)[0]
        best = [max(values[: at + 1]) for at in range(len(values))]
        axes[0].plot(
            [trial.number for trial in ordered], values, "o", color=PALETTE["agent"], markersize=3.5, alpha=0.6
        )
        axes[0].step([trial.number for trial in ordered], best, where="post", color=PALETTE["ink"], linewidth=1.4)
        axes[0].set_xlabel("trial (line: best so far)")
        axes[0].set_ylabel("mean score")
        for place, key in zip(axes[1:], keys, strict=True):
            given = [trial.settings.get(key) for trial in ordered]
            if all(isinstance(value, float | int) for value in given) and _wide(given):
                place.set_xscale("log")
            place.plot(given, values, "o", color=PALETTE["agent"], markersize=3.5, alpha=0.6)
            place.set_xlabel(key.removeprefix("learner."))
        write_picture(figure, path)


def _wide(values: Sequence[Any]) -> bool:
    return bool(min(values) > 0 and max(values) > 30 * min(values))
