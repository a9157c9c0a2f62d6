"""The emergency stop: each cell of the table in docs/estop.md, who is believed, and how long it may take."""

from __future__ import annotations

import multiprocessing
import os
import pty
import shutil
import signal
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import estop_cells
import pytest
from estop_cells import Person

from rtu_edge import _holders, control, runtime
from rtu_edge.device import SimulatedDevice
from rtu_edge.errors import DeviceError
from rtu_edge.hil import FaultBridge, ProcessTarget
from rtu_edge.ports import open_port
from rtu_edge.wire import DeviceState

# A device in real time goes safe when its host is starved: these run alone.
pytestmark = pytest.mark.timing

DOCS = Path(__file__).parent.parent / "docs" / "estop.md"
GONE = ("nothing", "folder", "private", "moved")
OWNER, OTHER, GROUP = 61_001, 61_002, 61_009
DRIVER = Person(OWNER, (GROUP,))
LIMIT_S = 5.0
SLACK_S = 0.5  # between the deadline and the end of a process on a shared machine

# A busy machine that runs these tests stops no driver by itself.
_PATIENT = {"--max-steps": 100000, "--ttl-max-ms": 20000, "--silence-ms": 20000}


@dataclass(frozen=True)
class Cell:
    who: str
    what: str
    kind: str
    gone: str
    result: str
    quick: bool

    def __str__(self) -> str:
        return "-".join((self.who, self.what, self.kind, self.gone)).replace(" ", "-")


def cells() -> list[Cell]:
    """The table as it stands in the document."""
    found = []
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if len(words) == 7 and words[2] in ("pty", "tty"):
            for gone, word in zip(GONE, words[3:], strict=True):
                if word != "-":
                    quick = word.startswith("**")
                    found.append(Cell(words[0], words[1], words[2], gone, word.strip("*"), quick))
    return found


def chosen(config: pytest.Config) -> list[Cell]:
    return [cell for cell in cells() if cell.quick or config.getoption("--all-cells")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", chosen(metafunc.config), ids=str)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Forks the people of the tests from a process that has imported everything."""
    if os.geteuid() != 0:
        pytest.fail("two users are needed: run these tests as root")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["estop_cells"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the server imports from
        yield context


class Stage:
    """A device with people around it.

    Attributes:
        link: the name of the port that people use.
        config: a configuration with this port.
    """

    def __init__(self, server: Any, exclusive: bool = False) -> None:
        self._server = server
        self._exclusive = exclusive
        self._stack = ExitStack()
        # Not in /tmp, which is another folder for some of the people.
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
        """Plug in another board: the link names it from now on."""
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
                device = _holders.device_of(line.port)
                if device is not None and _holders.holders(device):
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

    def drive(self, what: str, person: Person = DRIVER, keep_s: float = 60.0) -> int:
        """Somebody drives; returns the number of the process."""
        options = {"exclusive": self._exclusive, "keep_s": keep_s}
        process, pipe = self.begin(estop_cells.drive, person, self.link, what, self.config, options)
        assert pipe.poll(20), "the machine is not driven"
        said = pipe.recv()
        assert said == process.pid, said
        assert self.lines[-1].wait_for(DeviceState.ARMED)
        return int(process.pid)

    def pretend(self, says: bytes, holds: str = "") -> int:
        """A stranger registers as the owner; returns the number of the process."""
        process, pipe = self.begin(estop_cells.pretend, WHO["stranger"], self.link, self.config, says, holds)
        said = pipe.recv()
        assert said == process.pid, said
        return int(said)

    def estop(self, person: Person, target: str = "") -> tuple[int, str]:
        """Somebody stops; returns the exit code and what was printed. Never longer than the limit."""
        _, pipe = self.begin(estop_cells.command, person, "estop", target or self.link)
        assert pipe.poll(LIMIT_S + 10), "no end"
        code, said, seconds = pipe.recv()
        assert seconds < LIMIT_S + SLACK_S, said
        return code, said

    def forget(self) -> None:
        """Remove what the drivers have registered."""
        for socket in estop_cells.registered(self.link):
            for path in (socket, socket.with_suffix(".lock")):
                path.unlink()


WHO = {
    "same user": Person(OWNER, (GROUP,)),
    "group": Person(OTHER, (GROUP,)),
    "stranger": Person(OTHER),
    "root": Person(0),
}


@pytest.mark.hazard("stop-reaches-the-device")
def test_a_cell_of_the_table(cell: Cell, server: Any) -> None:
    with Stage(server, exclusive=cell.kind == "tty") as stage:
        driver = 0
        if cell.what != "none":
            person = replace(DRIVER, hidden=cell.gone == "private")
            driver = stage.drive("service" if cell.what == "hung" else cell.what, person)
        if cell.what == "hung":
            os.kill(driver, signal.SIGSTOP)
        if cell.gone == "folder" and cell.what in ("script", "service", "hung"):
            stage.forget()
        if cell.gone == "moved":
            stage.move()
        target = stage.config if cell.what in ("service", "hung") else stage.link
        code, said = stage.estop(WHO[cell.who], target)
        assert (code == 3) == (cell.result == "refused") and code in (0, 3), said
        if code == 0:
            for line in stage.lines if driver else stage.lines[-1:]:
                assert line.state.state == DeviceState.ESTOP, said
            by_owner = cell.result == "owner" and cell.gone != "moved"  # the other board has none
            assert ("by the process that owns the port" in said) == by_owner, said
            assert (f"process {driver} was ended" in said) == (cell.result == "ended"), said
            assert "rtu-edge clear" in said
        else:
            assert "sudo rtu-edge estop " + target in said, said
            if driver and cell.what != "program":
                assert f"process {driver} (" in said and f"of user {OWNER}" in said, said
                assert stage.line.state.state == DeviceState.ARMED or cell.what == "hung"
            if cell.gone == "moved" and cell.who == "group":
                assert "stopped and confirmed: " in said and stage.lines[1].state.state == DeviceState.ESTOP


def test_the_table_is_whole() -> None:
    """Each who, what, kind and what is gone; 24 cells or more are quick."""
    found = cells()
    assert sum(cell.quick for cell in found) >= 24
    assert len({str(cell) for cell in found}) == len(found)
    for who in WHO:
        mine = [cell for cell in found if cell.who == who]
        assert {cell.what for cell in mine} == {"script", "service", "hung", "program", "none"}
        assert {cell.gone for cell in mine} == set(GONE) and {cell.kind for cell in mine} == {"pty", "tty"}
        assert {cell.result for cell in mine if cell.quick}, who


def test_a_result_of_the_table_that_is_wrong_is_found(server: Any) -> None:
    cell = Cell("same user", "none", "pty", "nothing", "owner", True)
    with pytest.raises(AssertionError):
        test_a_cell_of_the_table(cell, server)


# ---------------------------------------------------------------- who is believed

CONFIRMS = b'{"event":"accepted","pid":1}\n{"event":"estop","confirmed":true}\n'


@pytest.mark.hazard("stop-not-impersonated")
@pytest.mark.parametrize("says", [CONFIRMS, b"", b'{"event":"waiting"}\n' * 50, b"{" * 70_000], ids=len)
@pytest.mark.parametrize("who", ["same user", "root"])
def test_a_stranger_s_socket_of_the_right_name_is_not_believed(server: Any, who: str, says: bytes) -> None:
    with Stage(server) as stage:
        driver = stage.drive("program")
        pretender = stage.pretend(says)
        code, said = stage.estop(WHO[who])
        assert code == 0 and f"process {driver} was ended" in said, said
        assert stage.line.state.state == DeviceState.ESTOP
        os.kill(pretender, 0)  # a process that holds nothing is not ended


@pytest.mark.hazard("stop-not-impersonated")
@pytest.mark.parametrize("says", [CONFIRMS, b""], ids=["confirms", "silent"])
def test_who_holds_another_device_does_not_speak_for_this_one(server: Any, says: bytes) -> None:
    """A claim by name has the claimed device stopped too, and never in place of the other."""
    main, other = pty.openpty()
    try:
        tty.setraw(other)
        os.chown(os.ttyname(other), OTHER, OTHER)
        with Stage(server) as stage:
            stage.drive("script")
            pretender = stage.pretend(says, os.ttyname(other))
            code, said = stage.estop(DRIVER)
            assert stage.line.state.state == DeviceState.ESTOP, said
            assert code == (0 if says else 3), said
            if not says:
                assert f"stopped and confirmed: {os.path.realpath(stage.link)}" in said, said
                assert f"process {pretender} (" in said and f"of user {OTHER}" in said, said
    finally:
        os.close(main)
        os.close(other)


@pytest.mark.hazard("stop-not-impersonated")
@pytest.mark.parametrize("mode", [os.O_RDONLY, os.O_RDWR], ids=["reads", "writes"])
def test_a_confirmation_counts_only_if_each_writer_has_given_it(server: Any, mode: int) -> None:
    with Stage(server) as stage:
        stage.drive("script")
        _, pipe = stage.begin(estop_cells.hold, DRIVER, stage.link, mode)
        second = pipe.recv()
        code, said = stage.estop(Person(0))
        assert code == 0 and stage.line.state.state == DeviceState.ESTOP, said
        assert ("by the process that owns the port" in said) == (mode == os.O_RDONLY), said
        assert alive(second) == (mode == os.O_RDONLY)


def alive(pid: int) -> bool:
    return _holders.process(pid) is not None


def test_the_folder_of_another_user_keeps_no_owner_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(estop_cells._places, "_SHARED", tmp_path / "run")
    monkeypatch.setattr(estop_cells._places, "_TEMPORARY", tmp_path)
    (tmp_path / "run").mkdir()
    for taken in (tmp_path / "run" / str(os.getuid()), tmp_path / f"rtu-edge-{os.getuid()}"):
        taken.mkdir()
        taken.chmod(0o777)  # as good as another user's: anybody may put files there
    with SimulatedDevice() as device, open_port(device.port) as port, runtime.Link(port) as link:
        link.handshake()
        path = Path(control.socket_path(device.port))
        assert path.parent.parent == tmp_path / "run" and path.parent.name.startswith(f"{os.getuid()}-")
        assert control.estop(device.port) == control.Estop("owner", None)


# ---------------------------------------------------------------- kept alive


@pytest.mark.hazard("stop-found-after-cleaning")
@pytest.mark.parametrize("removed", ["files", "folder"])
def test_an_owner_registers_again_when_its_place_was_removed(
    removed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(estop_cells._places, "_SHARED", tmp_path / "run")
    monkeypatch.setattr(estop_cells._places, "_KEEP_S", 0.05)
    with SimulatedDevice() as device, open_port(device.port) as port, runtime.Link(port) as link:
        link.handshake()
        before = Path(control.socket_path(device.port))
        assert control.status(device.port)["pid"] == os.getpid()
        if removed == "files":
            before.unlink()
            before.with_suffix(".lock").unlink()
        else:
            shutil.rmtree(before.parent)
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up and not before.exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert control.status(device.port)["pid"] == os.getpid()
        assert control.estop(device.port) == control.Estop("owner", None)
    assert not before.exists() and not before.with_suffix(".lock").exists()


def test_time_stamps_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(estop_cells._places, "_SHARED", tmp_path / "run")
    monkeypatch.setattr(estop_cells._places, "_KEEP_S", 0.02)
    monkeypatch.setattr(estop_cells._places, "_TOUCH_S", 0.1)
    with SimulatedDevice() as device, open_port(device.port) as port, runtime.Link(port):
        path = Path(control.socket_path(device.port))
        for old in (path, path.with_suffix(".lock"), path.parent):
            os.utime(old, (0, 0))
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up and path.parent.stat().st_mtime == 0:
            time.sleep(0.01)
        for fresh in (path, path.with_suffix(".lock"), path.parent):
            assert time.time() - fresh.stat().st_mtime < 60, fresh
            assert time.time() - fresh.stat().st_atime < 60, fresh


# ---------------------------------------------------------------- what it says where it fails


def test_a_command_in_a_container_says_where_to_run_it(server: Any) -> None:
    with Stage(server, exclusive=True) as stage:
        stage.drive("script")
        code, said = stage.estop(replace(DRIVER, alone=True))
        assert code == 3 and "sudo rtu-edge estop" in said, said
        code, said = stage.estop(Person(0, hidden=True, alone=True))
        assert (code == 3 and "on the host" in said) or stage.line.state.state == DeviceState.ESTOP, said


def test_a_terminal_is_not_a_device(server: Any) -> None:
    child, main = pty.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        time.sleep(0.1)
        with pytest.raises(DeviceError, match=f"is the terminal of process {child} "):
            control.estop(os.readlink(f"/proc/{child}/fd/0"), timeout_s=1.0)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(main)


@pytest.mark.parametrize("target", ["/dev/nowhere", "/etc/hostname", "/nowhere/robot.toml"])
def test_a_target_that_is_none(target: str, server: Any) -> None:
    with Stage(server) as stage:
        begin_s = time.monotonic()
        code, said = stage.estop(Person(0), target)
        assert code in (2, 3) and target in said and time.monotonic() - begin_s < 2, said


def test_a_file_that_is_broken_or_gone_still_stops_its_run(server: Any) -> None:
    for text in ("[device\n", '[device]\nport = "/dev/another"\n', None):
        with Stage(server) as stage:
            stage.drive("service")
            if text is None:
                os.unlink(stage.config)
            else:
                Path(stage.config).write_text(text)
            code, said = stage.estop(DRIVER, stage.config)
            assert stage.line.state.state == DeviceState.ESTOP
            assert code == 0 and "stopped by the process" in said, said


def test_one_deadline_is_over_everything(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over a question to the kernel that is never answered."""
    from rtu_edge import _estop

    def never(*_: object) -> list[object]:
        time.sleep(30)
        return []

    monkeypatch.setattr(_estop.control, "owners", never)
    with SimulatedDevice() as device:
        begin_s = time.monotonic()
        with pytest.raises(DeviceError, match=r"no confirmation within 0\.5 s"):
            control.estop(device.port, timeout_s=0.5)
        assert time.monotonic() - begin_s < 0.5 + SLACK_S
