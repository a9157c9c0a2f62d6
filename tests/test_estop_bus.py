"""The emergency stop by the port of a servo bus: each row of the table in docs/estop.md, "Servo buses"."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import bus_control
import pytest
from bus_control import served
from click.testing import CliRunner
from toolchain import ROOT

from rtu_edge.cli import cli
from rtu_edge.device.emulated_bus import EmulatedBus

pytestmark = pytest.mark.timing

DOCS = Path(__file__).parent.parent / "docs" / "estop.md"
PATIENT_MS = 20_000
HOLD = "import os, sys, time; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(1, flush=True); time.sleep(60)"


def rows() -> list[tuple[str, str, str]]:
    text = DOCS.read_text(encoding="utf-8").partition("## Servo buses")[2].partition("\n## ")[0]
    lines = [[word.strip() for word in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [(words[0], words[1], words[2]) for words in lines[2:]]


def started(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
    stack.callback(child.wait)
    stack.callback(child.kill)
    assert child.stdout is not None and child.stdout.readline()
    return child


def test_the_table_has_each_kind() -> None:
    found = rows()
    assert {row[1] for row in found} == {"none", "script", "hung script"}
    assert {row[2] for row in found} == {"owner", "ended", "direct", "refused"}


@pytest.mark.hazard("stop-reaches-the-device")
@pytest.mark.parametrize("row", rows(), ids="-".join)
def test_a_row_of_the_table(row: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    holder, driver, result = row
    monkeypatch.setattr(bus_control, "TTL_MS", PATIENT_MS)  # a busy host lets no command expire
    monkeypatch.setenv("BUS_CONTROL_TTL_MS", str(PATIENT_MS))
    with ExitStack() as stack:
        bus = stack.enter_context(EmulatedBus("feetech", servos=3))
        ended = None
        if holder.startswith("server"):
            server = stack.enter_context(served(bus))
            if driver != "none":
                ended = started(stack, str(ROOT / "tests/bus_control.py"), server.port, "feetech", "given")
                assert ended.stdout is not None and ended.stdout.readline()
                assert bus.register(1, "TORQUE") == 1
            if driver == "hung script":
                assert ended is not None
                os.kill(ended.pid, signal.SIGSTOP)
        if "program" in holder:
            ended = started(stack, "-c", HOLD, bus.port)
        done = CliRunner().invoke(cli, ["estop", bus.port])
        if result == "refused":
            assert "did not confirm" in str(done.exception)
            return
        assert done.exit_code == 0, done.exception
        assert server.port in done.output and server.running
        assert ("by the process that owns the port" in done.output) == (result == "owner"), done.output
        assert (ended is not None and f"process {ended.pid} was ended" in done.output) == (result == "ended")
        assert bus.register(1, "TORQUE") == 0  # its safe behaviour is off
        if driver == "script":
            assert ended is not None and ended.wait(10) != 0  # the script has ended by the stop


def test_a_bus_file_with_an_error_elsewhere_still_names_the_port(tmp_path: Path) -> None:
    (tmp_path / "bus.toml").write_text('port = "/dev/ttyUSB7"\nbaud = 500000\nfamily = "none"\njoint = 3\n')
    (tmp_path / "robot.toml").write_text(f'[device]\nbus = "{tmp_path}/bus.toml"\n')
    code = (
        "import sys\nfrom rtu_edge.cli.target import bus_of\nprint(bus_of(sys.argv[1]))\n"
        "assert 'rtu_edge.config.bus_file' not in sys.modules"  # a stop waits for no server of a bus
    )
    given = subprocess.run([sys.executable, "-c", code, f"{tmp_path}/robot.toml"], capture_output=True, text=True)
    assert given.returncode == 0 and given.stdout == "('/dev/ttyUSB7', 500000)\n", given.stderr
