"""The roles of docs/estop.md as processes: users, drivers of a plant, namespaces. Imported by a server that forks them.

A forked child has imported everything already, so another user needs no access to the folder of this installation.
"""

from __future__ import annotations

import contextlib
import ctypes
import encodings.ascii  # the users of these processes may not read this Python's folder
import encodings.latin_1  # noqa: F401
import fcntl
import io
import locale  # noqa: F401  gettext imports it late
import os
import signal
import socket
import sys
import termios
import time
import traceback  # noqa: F401
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import serial

import rtu_edge.cli
import rtu_edge.cli.clear
import rtu_edge.cli.estop
from rtu_edge import _testing
from rtu_edge.config import load_device  # noqa: F401
from rtu_edge.device import lock, ports, registry
from rtu_edge.loop import Clock, Link, Loop, LoopConfig
from rtu_edge.tools import estop  # noqa: F401  before the user changes

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4
_NEW_MOUNTS, _NEW_PIDS = 0x20000, 0x20000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


@dataclass(frozen=True)
class Person:
    """A user of the host.

    Args:
        uid: their number, and that of their group.
        groups: further groups.
        hidden: they have /run and /tmp of their own, as in a container or with PrivateTmp.
        alone: they see no process but their own.
    """

    uid: int
    groups: tuple[int, ...] = ()
    hidden: bool = False
    alone: bool = False


def become(person: Person) -> None:
    """Assume this role for the rest of the process."""
    if person.hidden or person.alone:
        _check(_LIBC.unshare(_NEW_MOUNTS | (_NEW_PIDS if person.alone else 0)))
        _check(_LIBC.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None))
        if person.alone:  # the next child is the first of the namespace
            child = os.fork()
            if child:
                os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            _check(_LIBC.mount(b"proc", b"/proc", b"proc", 0, None))
        for folder in (b"/run", b"/tmp"):
            _check(_LIBC.mount(b"none", folder, b"tmpfs", 0, b"mode=1777" if folder == b"/tmp" else b"mode=755"))
    if person.uid != os.getuid():
        os.setgroups(list(person.groups))
        os.setresgid(person.uid, person.uid, person.uid)
        os.setresuid(person.uid, person.uid, person.uid)
        _check(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))  # as after a login: each may see its own


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def drive(person: Person, pipe: Connection, port: str, what: str, config: str, options: dict[str, Any]) -> None:
    """Drive the plant at a port until it is stopped; reports when driving starts.

    Args:
        what: "script" (the library with defaults), "service" (of a configuration), "program" (one that does not
            know control sockets and locks).
        options: exclusive: no other process can open the port, as with a real tty; keep_s: how often it looks after its
            registration.
    """
    with _silence(pipe):
        become(person)
        registry._KEEP_S = options.get("keep_s", 60.0)
        with contextlib.ExitStack() as stack:
            if what == "program":
                plain = stack.enter_context(serial.Serial(port, 115200))
                link = stack.enter_context(Link(plain))
            else:
                opened = stack.enter_context(ports.open_port(port))
                link = stack.enter_context(Link(opened, config=config if what == "service" else ""))
                if options.get("exclusive"):
                    fcntl.ioctl(opened.fileno(), termios.TIOCEXCL)
            hello = link.handshake()
            policy = _testing.LinearPolicy(hello.observation_size, [0.0])
            settings = LoopConfig(clock=Clock.DEVICE, ttl_ms=20_000, seconds=30, learn=False, explore=False)
            with Loop(link, policy.policy(), settings) as loop:
                loop.start()
                while loop.status().steps < 2 and not loop.wait(0.005):
                    pass
                pipe.send(os.getpid())
                while not loop.wait(0.05):
                    pass
                with contextlib.suppress(OSError):
                    pipe.send(loop.result().reason.value)


def command(person: Person, pipe: Connection, *words: str) -> None:
    """Run `rtu-edge` with these arguments in the role; sends its exit code, output and duration."""
    become(person)
    out = io.StringIO()
    begin_s = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            rtu_edge.cli.main(words)
            code: object = 0
        except SystemExit as leaving:
            code = leaving.code
    pipe.send((code, out.getvalue(), time.monotonic() - begin_s))


def ask(person: Person, pipe: Connection, path: str, line: bytes) -> None:
    """Send a line to a control socket; sends the first answer on."""
    with _silence(pipe):
        become(person)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(path)
            with contextlib.suppress(BrokenPipeError):
                client.sendall(line + b"\n")
            try:
                pipe.send(client.recv(65536))
            except ConnectionResetError:
                pipe.send(b"")


def hold(person: Person, pipe: Connection, port: str, mode: int) -> None:
    """Keep a port open and do nothing with it."""
    with _silence(pipe):
        become(person)
        os.open(port, mode | os.O_NOCTTY)
        pipe.send(os.getpid())
        time.sleep(60)


def insist(person: Person, pipe: Connection, port: str) -> None:
    """Start a program that keeps the port for itself, and the next one at once when it ends, five times."""
    with _silence(pipe):
        become(person)
        for n in range(5):
            child = os.fork()
            if child == 0:
                fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if n == 0:
                    pipe.send("holds")
                time.sleep(60)
            os.waitpid(child, 0)


def pretend(person: Person, pipe: Connection, port: str, config: str, says: bytes, holds: str) -> None:
    """Register as the owner of a port without being it, and give each client the same answer.

    Args:
        says: the answer to each client; empty: none. holds: a device that this process really holds, or "".
    """
    with _silence(pipe):
        become(person)
        record = registry._record(port, port, config)
        if holds:
            held = os.open(holds, os.O_RDWR | os.O_NOCTTY)
            fcntl.flock(held, fcntl.LOCK_EX)
            record = {**registry._record(holds, held, config), "port": port}
        path = lock.socket_path(port)
        with lock.PortLock(path, record), socket.socket(socket.AF_UNIX) as server:
            Path(path).unlink(missing_ok=True)  # of one that was killed
            server.bind(path)
            server.listen(8)
            os.chmod(path, 0o666)
            pipe.send(os.getpid())
            clients = []
            while True:
                clients.append(server.accept()[0])
                with contextlib.suppress(OSError):  # it leaves at once
                    clients[-1].sendall(says)


@contextlib.contextmanager
def _silence(pipe: Connection) -> Iterator[None]:
    """An intended end prints nothing; any other error is reported through the pipe."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stderr = io.StringIO()
    try:
        yield
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def registered(port: str) -> list[Path]:
    """Files of the registered owner of this port."""
    return [Path(record.control) for record in registry.records() if record.port == port]
