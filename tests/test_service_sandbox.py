"""The service in the sandbox of its own unit: its strictness, and that the service runs and can be stopped in it.

Without systemd: tests/sandbox.py rebuilds the sandbox from the unit.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sandbox
from estop_cells import Person
from estop_stage import GROUP, OWNER, WHO, Stage, server

from rtu_edge.device import lock
from rtu_edge.device.protocol import DeviceState
from rtu_edge.run import service

__all__ = ["server"]

pytestmark = pytest.mark.timing

ROOT = Path(__file__).parent.parent
NAME = f"rtu-edge-test-{os.getpid()}"
EXPOSED_MAX = 2.5  # of 10, as `systemd-analyze security` rates a unit
LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\n"


@pytest.mark.hazard("service-sandbox")
@pytest.mark.parametrize("port", ["/dev/ttyACM0", "socket://board:5000"])
def test_the_unit_is_tight(port: str, tmp_path: Path) -> None:
    path = tmp_path / "arm.service"
    path.write_text(service.parts("/etc/robot.toml", "robot", "arm", port=port, folder="/srv/runs")[0].text)
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    found = re.search(r"Overall exposure level for arm.service: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSED_MAX, done.stdout


def test_homes_are_hidden_unless_the_service_is_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def home(config: str, folder: str = "runs") -> str:
        return sandbox.Unit(service.parts(config, "robot", folder=folder)[0].text).get("ProtectHome")

    for name, value in (("executable", "/opt/venv/bin/python"), ("base_prefix", "/usr")):
        monkeypatch.setattr(sys, name, value)
    assert home("/etc/robot.toml") == "yes"
    assert home("/home/me/robot.toml") == home("/etc/robot.toml", "/home/me/runs") == "read-only"
    monkeypatch.setattr(sys, "base_prefix", "/root/python")
    assert home("/etc/robot.toml") == "read-only"


class Service:
    """`rtu-edge serve` as the unit runs it.

    Args:
        unit, unit_path: the unit, and its file.
        config: the file that it runs.
    """

    def __init__(self, unit: sandbox.Unit, unit_path: Path, config: str) -> None:
        self._address = unit.state + "/notify"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(self._address)
        os.chmod(self._address, 0o666)
        self._manager.settimeout(0.2)
        readable = [sys.base_prefix, str(ROOT), os.path.realpath(sys.prefix)]
        as_service = [
            sys.executable,
            ROOT / "tests" / "sandbox.py",
            unit_path,
            str(OWNER),
            str(GROUP),
            ":".join(readable),
        ]
        self.process = subprocess.Popen(
            [*as_service, sys.executable, "-m", "rtu_edge.cli", "serve", config],
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": self._address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_ready(self) -> None:
        said = ""
        while "READY=1" not in said:
            try:
                said = self._manager.recv(4096).decode()
            except TimeoutError:
                assert self.process.poll() is None, self.process.communicate()[0]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._manager.close()


@pytest.fixture
def running(server: Any, tmp_path: Path) -> Iterator[tuple[Stage, Service]]:
    """A service that is armed."""
    unit_path = tmp_path / f"{NAME}.service"
    unit_path.write_text(service.parts(f"/var/lib/{NAME}/robot.toml", "robot", NAME)[0].text)
    unit = sandbox.Unit(unit_path.read_text())
    with sandbox.folders(unit, OWNER), Stage(server) as stage:
        stage.config = unit.state + "/robot.toml"
        node = os.path.realpath(stage.link)
        Path(stage.config).write_text(f'[device]\nport = "{node}"\n[learner]\nunits = 8\nhidden = [8]\n{LIMITS}')
        serving = Service(unit, unit_path, stage.config)
        try:
            serving.until_ready()
            (owner,) = lock.owners(node)
            assert owner.record.control.startswith(unit.runtime + "/") and owner.pid == serving.process.pid
            lock.arm(node, int(lock.status(node)["arm_token"]))
            stage.line.wait_for(DeviceState.ARMED, timeout_s=20)
            yield stage, serving
        finally:
            serving.close()


@pytest.mark.hazard("service-sandbox")
@pytest.mark.parametrize("who", ["root", "group"])
def test_a_service_in_its_sandbox_is_stopped(who: str, running: tuple[Stage, Service]) -> None:
    stage, serving = running
    code, said = stage.estop(WHO[who], stage.config)
    assert code == 0 and "stopped by the process that owns the port" in said, said
    assert stage.line.state.state == DeviceState.ESTOP
    out = serving.process.communicate(timeout=20)[0]
    assert serving.process.returncode == 4, out


@pytest.mark.hazard("service-sandbox")
def test_the_sandbox_is_one(running: tuple[Stage, Service]) -> None:
    """Denied operations of the service; and that a hanging service is ended."""
    stage, serving = running
    pid = serving.process.pid
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["CapBnd"].strip("0") == status["CapEff"].strip("0") == "" and status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == [str(OWNER)] * 4
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    options = {words[4]: words[5].split(",")[0] for words in mounts}
    assert options["/"] == "ro" and options[f"/run/rtu-edge/{NAME}"] == options[f"/var/lib/{NAME}"] == "rw"
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    os.kill(pid, 19)
    code, said = stage.estop(Person(0), stage.config)
    assert code == 0 and f"process {pid} was ended" in said, said
    assert stage.line.state.state == DeviceState.ESTOP
