"""Results of runs on disk: one JSON file a run, replaced atomically, so that a killed study resumes."""

from __future__ import annotations

import fcntl
import itertools
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import host_facts
from benchmarks.peer_programs.measured import versions
from rtu_edge._base import files

FOLDER = Path("build/evidence")  # of runs; tables are read from benchmarks/results
_AWAY = "remove it to run it again, or give another --folder"


def read(path: Path, *entries: str) -> dict[str, Any] | None:
    """A result; None if there is none.

    Raises:
        ClickException: the file has no such entries.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: not JSON: {error}; {_AWAY}") from error
    if missing := [name for name in entries if not isinstance(found, dict) or name not in found]:
        raise click.ClickException(f"{path}: no result of this study: it has no {', '.join(missing)}; {_AWAY}")
    return found


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Around a run that writes more than once.

    Raises:
        ClickException: another process is at work on it, or its folder cannot be written to.
    """
    name = f"{path}.lock"
    with ExitStack() as kept:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(kept.enter_context(open(name, "a", encoding="utf-8")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"{path}: another process is at work on this run; give another --folder"
            raise click.ClickException(text) from None
        except OSError as error:
            raise click.ClickException(f"{name}: {error.strerror}; give another --folder") from error
        yield


def write(path: Path, result: Any) -> None:
    """Replace a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, (json.dumps(result, indent=1) + "\n").encode())


def keep(path: Path, **result: Any) -> None:
    """A table's numbers with host and versions, for benchmarks/results."""
    write(path, {"host": host_facts("not pinned"), "versions": versions()} | result)


def _end_with_parent() -> None:
    """A study that was killed leaves no process that would hold its runs."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(tasks: Sequence[Any], work: Callable[[Any], Any], jobs: int) -> Iterator[Any]:
    """The results of `work` in the order in which they end, from `jobs` processes. After an error no run begins."""
    if jobs == 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    left = iter(tasks)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(tasks)), spawn, initializer=_end_with_parent) as pool:
        running = {pool.submit(work, one) for one in itertools.islice(left, jobs)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for run in ended:
                try:
                    result = run.result()
                except BrokenProcessPool as error:
                    text = "a process was killed; the same command continues, --jobs 1 takes the least memory"
                    raise click.ClickException(text) from error
                yield result
                running |= {pool.submit(work, one) for one in itertools.islice(left, 1)}
