"""rtu-edge bus: against emulated servos."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from rtu_edge._base.errors import ConfigError
from rtu_edge.cli import cli
from rtu_edge.config.bus_file import load_bus_file, write_bus_file
from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.servo_bus import ServoBus

pytestmark = pytest.mark.timing

PATIENT = ("--latency-ms", "200")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bus", *arguments])


@pytest.mark.parametrize("family", ["feetech", "dynamixel", "scs"])
def test_scan(family: str) -> None:
    with EmulatedBus(family, servos=2) as emulated:
        done = invoke("scan", emulated.port, "--family", family, *PATIENT, "--last-id", "3", "--json")
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)["servos"]
        assert [servo["id"] for servo in found] == [1, 2]
        assert found[0]["status"] == "ok" and found[0]["voltage_v"] == pytest.approx(12.0) and not found[0]["torque"]
        emulated.servos[1].id = 1
        done = invoke("scan", emulated.port, "--family", family, "--last-id", "2")
        assert "garbled" in done.output
        for servo in range(2):
            emulated.servos[servo].dead = 1
        done = invoke("scan", emulated.port, "--family", family, "--last-id", "2", "--latency-ms", "1")
        assert done.exit_code == 1 and "no servo answers" in str(done.exception)


@pytest.mark.parametrize("family", ["feetech", "dynamixel", "scs"])
def test_set_id(family: str) -> None:
    with EmulatedBus(family, servos=2) as emulated:
        done = invoke("set-id", emulated.port, "2", "7", "--family", family, *PATIENT)
        assert done.exit_code == 0 and "has id 7" in done.output, done.output
        assert emulated.servos[1].id == 7
        for old, new, message in ((5, 6, "no servo answers"), (7, 1, "a servo has it already"), (1, 1, "has it")):
            done = invoke("set-id", emulated.port, str(old), str(new), "--family", family, *PATIENT)
            assert message in str(done.exception) and emulated.servos[1].id == 7
        emulated.servos[1].id = 1
        done = invoke("set-id", emulated.port, "1", "9", "--family", family, *PATIENT)
        assert "two servos have it" in str(done.exception)


def test_monitor() -> None:
    with EmulatedBus("feetech", servos=2) as emulated:
        emulated.servos[1].dead = 1
        done = invoke("monitor", emulated.port, "1", "2", "--seconds", "0.2", "--json")
        assert done.exit_code == 0, done.output
        one, two = json.loads(done.stdout)["servos"]
        assert one["state"] == "valid" and one["values"][0] == pytest.approx(3.1416, abs=0.01)
        assert two["state"] == "silent" and two["values"] is None and two["age_s"] is None
        done = invoke("monitor", emulated.port, "1", "2", "--seconds", "0.1")
        assert "silent" in done.output and "3.14" in done.output


def calibrated(emulated: EmulatedBus, out: Path) -> None:
    command = [sys.executable, "-m", "rtu_edge.cli", "bus", "calibrate", emulated.port, "pan=1", "lift=2"]
    with subprocess.Popen([*command, "-o", str(out), "--yes"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None and child.stdin is not None
        assert b"Move each joint" in child.stderr.readline()
        for offset in (-0.5, 1.0):  # by hand
            for servo in range(2):
                emulated.servos[servo].position_rad = 3.1415927 + offset
            time.sleep(0.5)
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.wait(20) == 0, child.stderr.read()


def test_calibrate_and_serve(tmp_path: Path) -> None:
    out = tmp_path / "arm.toml"
    with EmulatedBus("feetech", servos=2) as emulated:
        emulated.servos[0].table[40] = 1  # torque
        calibrated(emulated, out)
        assert emulated.register(0, "TORQUE") == 0
        given = load_bus_file(out)
        for table in given.joint.values():
            assert table.max_rad == pytest.approx(0.75, abs=0.01) and table.min_rad == -table.max_rad
            assert table.zero_rad == pytest.approx(3.1415927 + 0.25, abs=0.01)
    done = invoke("serve", str(out), "--emulated", "--seconds", "0.3", "--link", str(tmp_path / "arm"))
    assert done.exit_code == 0 and f"{tmp_path}/arm: 2 joints, 100 Hz" in done.output, done.output
    done = invoke("calibrate", "/dev/null", "pan=1", "-o", str(out))
    assert "exists; give another path" in str(done.exception)


def test_a_joint_that_was_not_moved_is_named(tmp_path: Path) -> None:
    with EmulatedBus("feetech", servos=1) as emulated:
        arguments = ("calibrate", emulated.port, "pan=1", "-o", str(tmp_path / "a.toml"), "--seconds", "0.2", "--yes")
        done = invoke(*arguments)
        assert "pan (servo 1): was not moved by hand" in str(done.exception) and not (tmp_path / "a.toml").exists()
        done = CliRunner().invoke(cli, ["bus", *arguments[:-1]], input="n\n")
        assert "not confirmed" in str(done.exception)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        *(([wrong], f"{wrong}: expected NAME=ID") for wrong in ("pan", "pan=253", "pan=x", "pan=²", "pan=-1", "pan=")),
        (["pan=1", "pan=2"], "pan=2: expected NAME=ID, each name and id once"),
        (["1=1"], '1=1: NAME = "1": a letter, then at most 13 letters'),
        (["a_long_shoulder=1"], '"a_long_shoulder": a letter, then at most 13 letters'),
        ([f"j{id}={id}" for id in range(19)], "19 joints: a bus has at most 18"),
    ],
)
def test_joints_are_checked_before_anything_is_moved(joints: list[str], message: str, tmp_path: Path) -> None:
    done = invoke("calibrate", "/dev/null", *joints, "-o", str(tmp_path / "a.toml"))
    assert message in str(done.exception)


def test_a_file_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "arm.toml"
    path.write_text(FILE)
    given = load_bus_file(path)
    with pytest.raises(ConfigError, match=r"joint.b.id = 1: joint.a has the same id"):
        write_bus_file(replace(given, joint=dict.fromkeys("ab", given.joint["pan"])), tmp_path / "b.toml")
    assert not (tmp_path / "b.toml").exists()


def test_ids_are_given_in_order() -> None:
    done = invoke("scan", "/dev/null", "--first-id", "5", "--last-id", "2")
    assert "--first-id 5: is above --last-id 2" in str(done.exception)
    with EmulatedBus("feetech", servos=1) as emulated, ServoBus(emulated.port) as bus, pytest.raises(ConfigError) as no:
        bus.scan(5, 2)
    assert str(no.value) == "first = 5: is above last, 2"


FILE = """
port = "/dev/ttyUSB0"
family = "feetech"
[joint.pan]
id = 1
min_rad = -1.0
max_rad = 1.0
slew_rad_s = 1.0
safe = "hold"
"""


def tables(ids: Iterable[int]) -> str:
    """Joints j1, j2 ... with the numbers of the one in FILE."""
    numbers = FILE.partition("id = 1\n")[2]
    return "".join(f"[joint.j{id}]\nid = {id}\n{numbers}" for id in ids)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"feetech"', '"ax12"', 'family = "ax12": must be'),
        ("id = 1", "id = 253", "joint.pan.id = 253: must be"),
        ("max_rad = 1.0", "max_rad = -1.0", "joint.pan.max_rad = -1.0: must be above min_rad, -1.0"),
        ("slew_rad_s = 1.0", "", "joint.pan.slew_rad_s: missing"),
        ('safe = "hold"', 'safe = "damp"', 'joint.pan.safe = "damp": must be'),
        ('safe = "hold"', 'safe = "ramp"\nsafe_rad = 2.0', "joint.pan.safe_rad = 2.0: must be within"),
        ('"feetech"', '"feetech"\ngoal = "speed"', "joint.pan.goal_max = 0.0"),
        ('"feetech"', '"feetech"\ngoal = "power"', 'goal = "power": must be'),
        ('safe = "hold"', 'safe = "hold"\nspeed = 1', "joint.pan.speed = 1: unknown key"),
        ('"feetech"', '"feetech"\nobserve = []', "observe = []: must be of position, speed, load, at least one"),
        ('"feetech"', '"feetech"\nobserve = ["speed", "speed"]', "each once"),
        (FILE, 'port = "x"\nfamily = "scs"\n[joint]\n', "joint: 0 joints; must be 1 to 18"),
        ("[joint.pan]", f"{tables(range(2, 20))}[joint.pan]", "joint: 19 joints; must be 1 to 18"),
        ("[joint.pan]", f"{tables([1])}[joint.pan]", "joint.pan.id = 1: joint.j1 has the same id"),
        ("[joint.pan]", '[joint."1"]', 'joint.1.name = "1": a letter'),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "arm.toml"
    path.write_text(FILE)
    assert load_bus_file(path).joints()[0].id == 1
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_bus_file(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


# As LeRobot 0.6 writes it for an SO-101.
LEROBOT = """{
    "pan": {
        "id": 1,
        "drive_mode": 0,
        "homing_offset": -1200,
        "range_min": 1024,
        "range_max": 3072
    },
    "lift": {
        "id": 2,
        "drive_mode": 1,
        "homing_offset": 35,
        "range_min": 2000,
        "range_max": 2200
    }
}
"""


@pytest.mark.parametrize("unit", ["degrees", "range"])
def test_a_calibration_of_lerobot_both_ways(tmp_path: Path, unit: str) -> None:
    file, out, back = tmp_path / "so101.json", tmp_path / "arm.toml", tmp_path / "back.json"
    file.write_text(LEROBOT)
    with EmulatedBus("feetech", servos=2) as emulated:
        arguments = ("from-lerobot", emulated.port, str(file), "--joint-unit", unit, "-o", str(out), *PATIENT)
        done = invoke(*arguments)
        assert "pan (servo 1): homing offset 0 in the servo, -1200 in the file" in str(done.exception)
        for servo, offset in ((0, b"\xb0\x0c"), (1, b"\x23\x00")):  # sign and magnitude, bit 11
            emulated.servos[servo].table[31:33] = offset
        done = invoke(*arguments)
        assert done.exit_code == 0, str(done.exception)
        pan, lift = load_bus_file(out).joints()
        # LeRobot's degrees: 0 in the middle of the range, a turn of 4096 steps.
        assert pan.max_rad == pytest.approx(1.5708, abs=1e-3) and pan.min_rad == -pan.max_rad
        assert pan.zero_rad == pytest.approx(3.1416, abs=1e-3) and not pan.reverse
        assert lift.zero_rad == pytest.approx(2100 * 2 * 3.1415927 / 4096, abs=1e-3)
        assert lift.reverse == (unit == "range")
        text = out.read_text().replace("latency_us = 4000", "latency_us = 200000")
        out.write_text(text)
        done = invoke("to-lerobot", str(out), "-o", str(back))
        assert done.exit_code == 0, str(done.exception)
    wanted = json.loads(LEROBOT)
    wanted["lift"]["drive_mode"] = int(unit == "range")
    assert json.loads(back.read_text()) == wanted


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"drive_mode": 1', '"drive_mode": 2', "lift.drive_mode = 2: must be 0 or 1"),
        ('"range_max": 2200', '"range_max": 2000', "lift.range_max = 2000: must be above range_min, 2000"),
        ('"id": 2', '"id": "two"', "no calibration of LeRobot"),
        ('"id": 2', '"id": 253', "lift.id"),
        ('"lift"', '"a joint"', 'a joint.name = "a joint"'),
    ],
)
def test_a_calibration_that_cannot_be_used(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "so101.json"
    file.write_text(LEROBOT.replace(old, new))
    done = invoke("from-lerobot", "/dev/null", str(file), "--joint-unit", "degrees", "-o", str(tmp_path / "a.toml"))
    assert done.exit_code != 0 and message in str(done.exception)
