"""A program in C that serves a device behind a pty: started, asked for its port, ended.

Such a program prints the path of the pty as its first line and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence

from rtu_edge._base.errors import DeviceError

__all__ = ["end", "read_port", "start"]

_ANSWER_S = 10


def start(command: Sequence[str], fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start it in a session of its own: Ctrl-C on the terminal is for the control process alone.

    Args:
        command: program and arguments.
        fds: open files that it takes over.

    Raises:
        DeviceError: it does not start.
    """
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, pass_fds=tuple(fds)
        )
    except OSError as error:
        raise DeviceError(f"{command[0]}: cannot be started: {error.strerror}") from error


def read_port(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Its first line, within 10 s, and ""; or "" and what it complained of, after killing it."""
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(timeout=_ANSWER_S) else b""
    if line:
        return line.decode().strip(), ""
    process.kill()
    return "", process.stderr.read().decode(errors="replace").strip()


def end(
    process: subprocess.Popen[bytes], patience_s: float, hopeless: Callable[[int], bool] = lambda pid: False
) -> None:
    """Ask it to end, wait, kill it, close its pipes.

    Args:
        process: it.
        patience_s: how long it may take to bring its actuators to rest.
        hopeless: of its process id: waiting is in vain.
    """
    process.terminate()
    give_up_s = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < give_up_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=min(2.0, patience_s))
        if hopeless(process.pid):
            break
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
