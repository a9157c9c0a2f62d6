"""A device and the processes that use it, for the tests of the emergency stop; their roles are in estop_cells.py."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import estop_cells
import pytest
from estop_cells import Person

from rtu_edge.device import holders
from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil import FaultBridge, ProcessTarget

# Each test process has its own users, because registrations are stored in folders by user.
_FIRST = 61_000 + 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
OWNER, OTHER, GROUP = _FIRST + 1, _FIRST + 2, _FIRST + 9
DRIVER = Person(OWNER, (GROUP,))
LIMIT_S = 5.0
SLACK_S = 0.5  # between the deadline and the end of a process on a shared host

# Generous, so that a busy test host does not stop a driver.
_PATIENT = {"--max-steps": 100000, "--ttl-max-ms": 20000, "--silence-ms": 20000}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Forks the roles of the tests from a process that has imported everything."""
    if os.geteuid() != 0:
        pytest.fail("two users are needed: run these tests as root")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["estop_cells"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the server imports from
        yield context


class Stage:
    """A device and the processes that use it.

    Attributes:
        link: the name of the port that they use.
        config: a configuration with this port.
    """

    def __init__(self, server: Any, exclusive: bool = False) -> None:
        self._server = server
        self._exclusive = exclusive
        self._stack = ExitStack()
        # Not in /tmp, which is a different folder for some roles.
        self._folder = Path(tempfile.mkdtemp(prefix="rtu-estop-", dir="/var/tmp"))
        self._folder.chmod(0o755)
        self._stack.callback(shutil.rmtree, self._folder)
        self.link = str(self._folder / "robot")
        self.config = str(self._folder / "robot.toml")
        Path(self.config).write_text(f'[device]\nport = "{self.link}"\n')
        self.lines: list[FaultBridge] = []
        self._processes: list[Any] = []
        self._over = threading.Event()
        self.move()

    def __enter__(self) -> Stage:
        self._kernel = threading.Thread(target=self._as_the_kernel)
        self._kernel.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._kernel.join()
        for process in self._processes:
            process.kill()
            process.join()
        self._stack.close()

    @property
    def line(self) -> FaultBridge:
        """The first board."""
        return self.lines[0]

    def move(self) -> None:
        """Plug in another board: the link points to it from now on."""
        target = self._stack.enter_context(ProcessTarget("cartpole", _PATIENT))
        line = self._stack.enter_context(FaultBridge(target))
        line.wait_for(DeviceState.DISARMED)
        node = os.path.realpath(line.port)
        os.chown(node, OWNER, GROUP)
        os.chmod(node, 0o660)
        self.lines.append(line)
        new = self.link + ".new"
        os.symlink(node, new)
        os.replace(new, self.link)

    def _as_the_kernel(self) -> None:
        """Ends the exclusive mode of a port when it is not open any more, as a serial port's ends."""
        held: set[str] = set()
        while self._exclusive and not self._over.wait(0.02):
            for line in list(self.lines):
                device = holders.device_of(line.port)
                if device is not None and holders.holders(device):
                    held.add(line.port)
                elif line.port in held:
                    held.remove(line.port)
                    line.clear_port()

    def begin(self, function: Callable[..., None], person: Person, *arguments: Any) -> tuple[Any, Connection]:
        ours, theirs = self._server.Pipe()
        process = self._server.Process(target=function, args=(person, theirs, *arguments))
        process.start()
        theirs.close()
        self._processes.append(process)
        return process, ours

    def drive(
        self, what: str, person: Person = DRIVER, keep_s: float = 60.0, *, expect: FaultBridge | None = None
    ) -> int:
        """Starts a driver, of the last board unless another is expected; returns its process id."""
        options = {"exclusive": self._exclusive, "keep_s": keep_s}
        process, pipe = self.begin(estop_cells.drive, person, self.link, what, self.config, options)
        assert pipe.poll(20), "the plant is not driven"
        said = pipe.recv()
        assert said == process.pid, said
        (expect or self.lines[-1]).wait_for(DeviceState.ARMED)
        return int(process.pid)

    def pretend(self, says: bytes, holds: str = "") -> int:
        """An impostor registers as the owner; returns its process id."""
        process, pipe = self.begin(estop_cells.pretend, WHO["stranger"], self.link, self.config, says, holds)
        said = pipe.recv()
        assert said == process.pid, said
        return int(said)

    def ask(self, person: Person, line: bytes) -> bytes:
        """Send a line to the owner's socket; returns the answer, b"" if the socket closes."""
        (path,) = estop_cells.registered(self.link)
        _, pipe = self.begin(estop_cells.ask, person, str(path), line)
        said = pipe.recv()
        assert isinstance(said, bytes), said
        return said

    def estop(self, person: Person, target: str = "") -> tuple[int, str]:
        """Run an emergency stop; returns the exit code and the output. Never longer than the limit."""
        _, pipe = self.begin(estop_cells.command, person, "estop", target or self.link)
        assert pipe.poll(LIMIT_S + 10), "no end"
        code, said, seconds = pipe.recv()
        assert seconds < LIMIT_S + SLACK_S, said
        return code, said

    def forget(self) -> None:
        """Remove the registrations of the drivers."""
        for socket in estop_cells.registered(self.link):
            for path in (socket, socket.with_suffix(".lock")):
                path.unlink()


WHO = {
    "same user": Person(OWNER, (GROUP,)),
    "group": Person(OTHER, (GROUP,)),
    "stranger": Person(OTHER),
    "root": Person(0),
}
