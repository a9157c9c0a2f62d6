"""`rtu-edge bench`: measurements, results, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import rtu_edge.cli
from rtu_edge import _testing
from rtu_edge._base.errors import CheckFailed
from rtu_edge.bench import latency, soak
from rtu_edge.bench.system import system
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Loop, LoopConfig, RecordFlag, StopReason


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out + err


def made_up(steps: int) -> np.ndarray:
    names = [f"{part}_ns" for part in ("lateness", "receive", "predict", "limit", "send", "update")]
    kinds = [
        ("step", "u8"),
        ("t_ns", "i8"),
        ("flags", "u4"),
        ("command_age_us", "u4"),
        *((name, "i8") for name in names),
    ]
    records = np.zeros(steps, dtype=kinds)
    records["step"] = np.arange(steps)
    records["t_ns"] = 5_000_000_000 + np.arange(steps) * 2_000_000
    records["flags"] = RecordFlag.ACTED
    records["command_age_us"] = 2000
    for name in names:
        records[name] = 1000
    return records


def test_parts_and_reactions_are_those_of_the_records() -> None:
    records = made_up(1000)
    records["lateness_ns"][700] = 900_000
    records["flags"][5] = 0  # no command left
    records["command_age_us"][7] = 0xFFFFFFFF  # none known
    parts = latency.parts_of(records)
    assert parts.keys() == latency.PARTS.keys()
    assert {name: len(values) for name, values in parts.items()} == dict.fromkeys(parts, 999) | {"command age": 998}
    assert parts["lateness"].max() == 900.0
    times, total = latency.reaction_us(records)
    assert total.max() == 904.0
    assert times[np.argmax(total)] == pytest.approx(1.4)
    assert (np.delete(total, np.argmax(total)) == 5.0).all()


@pytest.mark.timing
@pytest.mark.alone
def test_the_loop_is_measured_and_saved(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, said = run(
        capfd, "bench", "loop", "--seconds", "1.5", "--hz", "200", "--load", "1", "--out", str(tmp_path),
        "--set", "learner.units=8",
    )  # fmt: skip
    assert code == 0, said
    found = json.loads((tmp_path / "latency.json").read_text())
    assert found["settings"]["hz"] == 200 and found["settings"]["load"] == 1 and found["reason"] == "seconds"
    assert 100 < found["steps"] <= 300
    for name, numbers in found["parts"].items():
        assert 0 <= numbers["p50"] <= numbers["p99"] <= numbers["p99.9"] <= numbers["max"], name
        assert sum(found["histograms"][name]) == numbers["count"] <= found["steps"]
        assert len(found["histograms"][name]) == len(found["edges_us"]) - 1
    # The age contains the time to the device's next tick.
    assert found["parts"]["command age"]["p50"] > 1000
    worst = [step["total_us"] for step in found["worst"]]
    assert len(worst) == 10 and worst == sorted(worst, reverse=True)
    for word in ("kernel", "governor", "load", "isolated_cpus", "limit_memlock", "usb_latency_timer_ms"):
        assert found["system"][word]
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    for word in ("lateness", "p99.9", "the worst", "updates dropped", "latency.png"):
        assert word in said


def test_what_cannot_be_measured_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    code, said = run(capfd, "bench", "loop", "--set", "loop.clock=lockstep", "--no-realtime")
    assert code == 2 and "lockstep" in said
    code, said = run(capfd, "bench", "loop", "--port", "/dev/nowhere", "--hz", "100")
    assert code == 2 and "--hz" in said
    code, said = run(capfd, "bench", "loop", "--port", "/dev/nowhere")
    assert code == 3 and "/dev/nowhere" in said


def test_a_device_that_goes_away_ends_with_3(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Measurements until then are kept."""
    with SimulatedDevice(plant="cartpole") as device:
        threading.Timer(1.5, os.kill, (device.pid, signal.SIGKILL)).start()
        options = ("--port", device.port, "--seconds", "30", "--no-realtime", "--out", str(tmp_path))
        code, said = run(capfd, "bench", "loop", *options)
    assert code == 3 and "link_lost" in said, said
    assert json.loads((tmp_path / "latency.json").read_text())["reason"] == "link_lost"


def test_the_burden_ends_with_the_process_that_made_it() -> None:
    """Also when the child is killed."""
    code = (
        "import os, signal, time\n"
        "from rtu_edge.bench.latency import burden\n"
        "time.sleep = lambda seconds: None\n"  # killed before the child has imported anything
        "with burden(1):\n"
        "    print(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    child = Path("/proc") / done.stdout.strip()
    assert child.name.isdigit(), done.stderr
    give_up = time.monotonic() + 20.0
    while child.is_dir() and (child / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < give_up, "it computes on"
        time.sleep(0.05)


def test_facts_of_this_machine() -> None:
    facts = system()
    assert all(isinstance(value, str) and value for value in facts.values()), facts


def test_a_short_soak_passes_and_leaves_a_page(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Three minutes of virtual time; ten hours are `rtu-edge bench soak`."""
    code, said = run(capfd, "bench", "soak", "--hours", "0.05", "--out", str(tmp_path))
    assert code == 0, said
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["steps"] == 9000 and found["unexplained"] == 0 and found["faults"]["restarts"] > 0
    assert "passed" in (tmp_path / "soak.txt").read_text()
    assert "<li>" in (tmp_path / "soak.html").read_text()


def test_faults_of_a_link_are_ridden_through_and_counted() -> None:
    """Each kind of fault hits one frame in fifty: the run ends by its steps, and sent the same bytes as
    without faults.
    """
    hashes = []
    for rate in (0.0, 0.02):
        with SimulatedDevice(boot_id=3) as device, open_port(device.port) as port, soak.FaultyLink(port, rate) as link:
            link.handshake()
            policy = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]]).policy()
            result = Loop(link, policy, LoopConfig(steps=2000, retry_ms=2.0, retries=1000, session=1, seed=1)).run()
            assert result.reason is StopReason.STEPS
            hashes.append(result.sent_hash)
            counts = link.faults
    assert hashes[0] == hashes[1]
    assert min(counts.values()) > 5, counts
    assert result.counters["retries"] > 50 and result.counters["crc_errors"] > 5


def test_what_a_soak_does_not_forgive(tmp_path: Path) -> None:
    for wrong in ({"unexplained": 1}, {"growth": 100 << 20}, {"finite": False}):
        done = soak.Soak(1.0, **wrong)
        with pytest.raises(CheckFailed):
            soak.save(done, tmp_path)
        assert "FAILED" in (tmp_path / "soak.txt").read_text()
    soak.save(soak.Soak(1.0), tmp_path)
