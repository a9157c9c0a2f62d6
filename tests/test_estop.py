"""The emergency stop: each cell of the table in docs/estop.md, trust in registrations, and time limits."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import threading
import time
import tty
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import estop_cells
import pytest
from estop_cells import Person
from estop_stage import DRIVER, OTHER, OWNER, SLACK_S, WHO, Stage, server

from rtu_edge._base.errors import DeviceError
from rtu_edge.device import holders, lock, registry
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Link
from rtu_edge.tools import estop as stops

__all__ = ["server"]

# A device in real time goes safe when its host is starved.
pytestmark = pytest.mark.timing

DOCS = Path(__file__).parent.parent / "docs" / "estop.md"
GONE = ("nothing", "folder", "private", "moved")


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
    """The table in the document."""
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
    """Each combination of role, driver, kind and missing part; at least 24 cells are quick."""
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


# ---------------------------------------------------------------- who is trusted

CONFIRMS = b'{"event":"accepted","pid":1}\n{"event":"estop","confirmed":true}\n'


@pytest.mark.hazard("stop-not-impersonated")
@pytest.mark.parametrize("says", [CONFIRMS, b"", b'{"event":"waiting"}\n' * 50, b"{" * 70_000], ids=len)
@pytest.mark.parametrize("who", ["same user", "root", "group"])
def test_a_stranger_s_socket_of_the_right_name_is_not_believed(server: Any, who: str, says: bytes) -> None:
    with Stage(server) as stage:
        driver = stage.drive("program")
        pretender = stage.pretend(says)
        code, said = stage.estop(WHO[who])
        # The group cannot see the driver: only the impostor's registration is visible.
        assert code == 0 and "stopped directly" in said, said
        assert (f"process {driver} was ended" in said) == (who != "group"), said
        assert stage.line.state.state == DeviceState.ESTOP
        os.kill(pretender, 0)  # a process that holds nothing is not ended


@pytest.mark.hazard("stop-not-impersonated")
@pytest.mark.parametrize("says", [CONFIRMS, b""], ids=["confirms", "silent"])
def test_who_holds_another_device_does_not_speak_for_this_one(server: Any, says: bytes) -> None:
    """A claim by name stops the claimed device too, and never instead of the other."""
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
    return holders.process(pid) is not None


def test_the_folder_of_another_user_keeps_no_owner_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("t")  # a socket's path has at most 107 bytes
    monkeypatch.setattr(registry, "_SHARED", place / "run")
    monkeypatch.setattr(registry, "_TEMPORARY", place)
    (place / "run").mkdir()
    for taken in (place / "run" / str(os.getuid()), place / f"rtu-edge-{os.getuid()}"):
        taken.mkdir()
        taken.chmod(0o777)  # equivalent to another user's: any user may create files there
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        path = Path(lock.socket_path(device.port))
        assert path.parent.parent == place / "run" and path.parent.name.startswith(f"{os.getuid()}-")
        assert stops.estop(device.port) == stops.Estop("owner", None)


def test_an_owner_whose_folders_another_user_has_taken_is_found(server: Any) -> None:
    taken = [registry._SHARED / str(OWNER), registry._TEMPORARY / f"rtu-edge-{OWNER}"]
    for folder in taken:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.chown(folder, OTHER, OTHER)
    try:
        with Stage(server) as stage:
            stage.drive("service")
            code, said = stage.estop(DRIVER, stage.config)
            assert code == 0 and "by the process that owns the port" in said, said
            assert stage.line.state.state == DeviceState.ESTOP
    finally:
        for folder in taken:
            shutil.rmtree(folder)
        for folder in registry._SHARED.glob(f"{OWNER}-*"):
            shutil.rmtree(folder)


# ---------------------------------------------------------------- kept alive


@pytest.mark.hazard("stop-found-after-cleaning")
@pytest.mark.parametrize("removed", ["files", "folder"])
def test_an_owner_registers_again_when_its_place_was_removed(
    removed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "_SHARED", tmp_path / "run")
    monkeypatch.setattr(registry, "_KEEP_S", 0.05)
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        before = Path(lock.socket_path(device.port))
        assert lock.status(device.port)["pid"] == os.getpid()
        if removed == "files":
            before.unlink()
            before.with_suffix(".lock").unlink()
        else:
            shutil.rmtree(before.parent)
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up and not before.exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert lock.status(device.port)["pid"] == os.getpid()
        assert stops.estop(device.port) == stops.Estop("owner", None)
    assert not before.exists() and not before.with_suffix(".lock").exists()


def test_time_stamps_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_SHARED", tmp_path / "run")
    monkeypatch.setattr(registry, "_KEEP_S", 0.02)
    monkeypatch.setattr(registry, "_TOUCH_S", 0.1)
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port):
        path = Path(lock.socket_path(device.port))
        for old in (path, path.with_suffix(".lock"), path.parent):
            os.utime(old, (0, 0))
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up and path.parent.stat().st_mtime == 0:
            time.sleep(0.01)
        for fresh in (path, path.with_suffix(".lock"), path.parent):
            assert time.time() - fresh.stat().st_mtime < 60, fresh
            assert time.time() - fresh.stat().st_atime < 60, fresh


# ---------------------------------------------------------------- failure messages


def test_a_command_in_a_container_says_where_to_run_it(server: Any) -> None:
    with Stage(server, exclusive=True) as stage:
        stage.drive("script")
        code, said = stage.estop(replace(DRIVER, alone=True))
        assert code == 3 and "sudo rtu-edge estop" in said, said
        code, said = stage.estop(Person(0, hidden=True, alone=True))
        assert (code == 3 and "on the host" in said) or stage.line.state.state == DeviceState.ESTOP, said


@pytest.mark.hazard("stop-reaches-the-device")
def test_a_run_is_found_by_a_name_that_is_gone(server: Any) -> None:
    """As udev removes the link of the second board: the name refers to the device that the run opened."""
    with Stage(server) as stage:
        stage.drive("script")
        os.unlink(stage.link)
        code, said = stage.estop(DRIVER)
        assert code == 0 and "by the process that owns the port" in said, said
        assert stage.line.state.state == DeviceState.ESTOP


@pytest.mark.hazard("stop-reaches-the-device")
def test_a_program_that_is_started_again_at_once_is_ended_again(server: Any) -> None:
    with Stage(server) as stage:
        _, pipe = stage.begin(estop_cells.insist, DRIVER, os.path.realpath(stage.link))
        assert pipe.recv() == "holds"
        code, said = stage.estop(DRIVER)
        assert code == 0 and stage.line.state.state == DeviceState.ESTOP, said


@pytest.mark.hazard("stop-reaches-the-device")
def test_many_processes_that_do_not_leave_take_no_longer_than_one(server: Any) -> None:
    with Stage(server) as stage:
        held = [stage.begin(estop_cells.hold, DRIVER, stage.link, os.O_RDWR) for _ in range(8)]
        for process, pipe in held:
            assert pipe.recv() == process.pid
            os.kill(process.pid, signal.SIGSTOP)
        code, said = stage.estop(DRIVER)  # within the limit
        assert code == 0 and stage.line.state.state == DeviceState.ESTOP, said
        assert not any(alive(process.pid) for process, _ in held)


NOT_PORTS = (
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/tty",
    "/dev/console",
    "/dev/ptmx",
    "/dev/tty1",
    "/dev/full",
)


@pytest.fixture
def nobody_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only logs the processes to end: every process of this host holds /dev/null."""

    def end(processes: list[Any], *_: object) -> list[Any]:
        assert not processes, "would be ended"
        return []

    monkeypatch.setattr(stops, "end", end)


@pytest.mark.hazard("stop-ends-only-drivers")
@pytest.mark.parametrize("path", NOT_PORTS)
@pytest.mark.parametrize("how", ["port", "link", "file"])
def test_what_is_no_port_has_no_holders_to_end(nobody_ends: None, tmp_path: Path, path: str, how: str) -> None:
    assert holders.device_of(path) is None
    target, config = path, ""
    if how == "link":
        target = str(tmp_path / "robot")
        os.symlink(path, target)
    elif how == "file":
        config = str(tmp_path / "robot.toml")
    with pytest.raises(DeviceError, match=f"{target}: (is no serial port|no such port), and"):
        stops.estop(target, config=config, timeout_s=1.0)


@pytest.mark.hazard("stop-ends-only-drivers")
@pytest.mark.parametrize("number", [os.makedev(1, 3), os.makedev(5, 0), 0, -1, 2**70, 2**31])
def test_a_claim_to_what_is_no_port_is_none(
    nobody_ends: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """Any user may write one for any port name, and every process holds /dev/null."""
    monkeypatch.setattr(registry, "_SHARED", tmp_path / "run")
    with SimulatedDevice() as device:
        record = {"port": device.port, "path": "/dev/null", "config": "", "device": [number, 0, 5, 4]}
        with lock.PortLock(lock.socket_path("/dev/other"), record), open("/dev/null", "w"):
            assert lock.owners(device.port) == []
            assert stops.estop(device.port) == stops.Estop("direct", None)


def test_serial_ports_are_known_by_the_kernel_s_list_and_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [os.makedev(4, 64), os.makedev(136, 0), os.makedev(143, 255)]
    assert all(map(holders.is_port, known)) and not holders.is_port(os.makedev(4, 63))

    def hidden(*_: object, **__: object) -> Any:
        raise PermissionError

    monkeypatch.setattr(holders, "open", hidden, raising=False)
    assert all(map(holders.is_port, [*known, os.makedev(166, 0), os.makedev(188, 3)]))
    assert not any(holders.is_port(os.makedev(*n)) for n in ((1, 3), (5, 0), (5, 2), (4, 1), (10, 200), (13, 64)))


def test_a_terminal_is_not_a_device(server: Any) -> None:
    child, main = pty.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        time.sleep(0.1)
        with pytest.raises(DeviceError, match=f"is the terminal of process {child} "):
            stops.estop(os.readlink(f"/proc/{child}/fd/0"), timeout_s=1.0)
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


@pytest.mark.hazard("stop-reaches-the-device")
@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_configuration_behind_a_link_that_moved_still_stops_its_run(server: Any, link: str) -> None:
    """As with releases/1 and releases/2 behind `current`: the new file names another board; both stop."""
    with Stage(server) as stage:
        folder = Path(stage.config).parent
        first = stage.config
        board = os.path.realpath(stage.line.port)
        stage.move()
        (folder / "other").mkdir()
        other = folder / "other" / "robot.toml"
        other.write_text(f'[device]\nport = "{os.path.realpath(stage.lines[1].port)}"\n')
        name = folder / "current"
        name.symlink_to(first if link == "file" else folder)
        stage.config = str(name if link == "file" else name / "robot.toml")
        stage.link = board
        stage.drive("service", expect=stage.line)
        name.unlink()
        name.symlink_to(other if link == "file" else other.parent)
        code, said = stage.estop(DRIVER, stage.config)
        assert [line.state.state for line in stage.lines] == [DeviceState.ESTOP] * 2, said
        assert code == 0 and all(os.path.realpath(line.port) in said for line in stage.lines), said


@pytest.mark.parametrize("name", ["robot.conf", "robot", "\u0434" * 80 + ".toml", "r" * 200 + ".cfg"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_configuration_of_any_name_stops_its_run(server: Any, name: str, gone: bool) -> None:
    with Stage(server) as stage:
        folder = Path(stage.config).parent / ("\u0439" * 100) / ("\u0439" * 100) / ("\u0439" * 100) / ("\u0439" * 100)
        folder.mkdir(parents=True)
        stage.config = shutil.copy(stage.config, folder / name)
        stage.drive("service")
        if gone:
            os.unlink(stage.config)
        code, said = stage.estop(DRIVER, str(stage.config))
        assert stage.line.state.state == DeviceState.ESTOP, said
        assert code == 0 and "stopped by the process" in said, said


def test_one_deadline_is_over_everything(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a system call never returns."""

    def never(*_: object) -> list[object]:
        threading.Event().wait()  # with an answer it would end the process with this device number
        return []

    monkeypatch.setattr(lock, "owners", never)
    with SimulatedDevice() as device:
        begin_s = time.monotonic()
        with pytest.raises(DeviceError, match=r"no confirmation within 0\.5 s"):
            stops.estop(device.port, timeout_s=0.5)
        assert time.monotonic() - begin_s < 0.5 + SLACK_S


# ---------------------------------------------------------------- commands and permissions of an owner


@pytest.mark.hazard("socket-obeys-its-user")
@pytest.mark.parametrize("line", [b"status", b"monitor", b"arm 1234", b"estop"], ids=bytes.decode)
def test_who_may_open_the_device_may_stop_it_and_no_more(server: Any, line: bytes) -> None:
    with Stage(server) as stage:
        stage.drive("script")
        for who in ("stranger", "group") if line == b"estop" else ("stranger", "group", "same user"):
            heard = stage.ask(WHO[who], line)
            if who == "stranger":
                assert heard == b"", "dropped"
            elif who == "group" and line != b"estop":
                assert b'"event":"error"' in heard and b"only estop" in heard
            else:
                event = {b"estop": b"accepted", b"arm 1234": b"arm"}.get(line, b"status")
                assert heard.startswith(b'{"event":"' + event + b'"')
            if line == b"estop" and who != "stranger":
                stage.line.wait_for(DeviceState.ESTOP)
            else:
                assert stage.line.state.state == DeviceState.ARMED


def test_clients_that_do_not_read_hold_up_no_emergency_stop(server: Any) -> None:
    """Half-open ones, ones that send garbage, and ones whose status is never read."""
    with Stage(server) as stage:
        stage.drive("script")
        (path,) = estop_cells.registered(stage.link)
        with ExitStack() as clients:
            for sent in (b"", b"monitor\n", b"status\n" * 500, b"\0\xff{" * 20, b"esto") * 3:
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                client.connect(str(path))
                client.send(sent)
            begin_s = time.monotonic()
            assert stops.estop(stage.link) == stops.Estop("owner", None)
            assert time.monotonic() - begin_s < 1.0  # of 5 s; the device takes a period of 20 ms
