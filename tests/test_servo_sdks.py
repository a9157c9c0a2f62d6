"""The vendors' libraries as clients of the emulated buses: each reads and writes what ours does.

They are installed into a folder of their own, .cache/servo_sdks, and run as a program of their own; the package does
not depend on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servo_sdk_client import GOALS
from toolchain import ROOT, locked, run

from rtu_edge.device.emulated_bus import EmulatedBus
from rtu_edge.device.servo_bus import ServoBus

pytestmark = pytest.mark.timing

PINNED = ("dynamixel-sdk==4.1.0", "feetech-servo-sdk==1.0.0", "pyserial==3.5")
CLIENT = ROOT / "tests/servo_sdk_client.py"


def installed() -> Path:
    with locked(ROOT / ".cache/servo_sdks") as folder:
        marker = folder / "pinned"
        if not marker.is_file() or marker.read_text() != "\n".join(PINNED):
            run(sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", folder, *PINNED)
            marker.write_text("\n".join(PINNED))
    return folder


def client(family: str, port: str, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-S", str(CLIENT), family, port, str(installed()), *options],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("family", ["dynamixel", "feetech", "scs"])
def test_a_vendors_library_reads_and_writes_what_ours_does(family: str) -> None:
    folder = installed()
    assert folder.is_dir()
    with EmulatedBus(family, servos=3) as emulated:
        found = client(family, emulated.port)
        with ServoBus(emulated.port, family, latency_us=200_000) as bus:
            model = bus.read_steps(1, "model")
            ours = {str(id): bus.read_steps(id, "goal_position") for id in GOALS}
    assert found["ping"] == {"1": model, "2": model, "3": model, "9": None}
    assert found["read"] == {str(id): goal for id, goal in GOALS.items()}
    later = 0 if family == "scs" else 5
    assert ours == {str(id): goal + later for id, goal in GOALS.items()}
    assert found["sync"] == ({} if family == "scs" else ours)
    assert found.get("fast", ours) == ours


def test_a_vendors_library_reads_what_ours_has_written() -> None:
    with EmulatedBus("feetech", servos=3) as emulated:
        with ServoBus(emulated.port, "feetech", latency_us=200_000) as bus:
            bus.sync_write("goal_position", {1: 0.5, 2: 1.0})
            assert bus.read_steps(1, "goal_position") == 326
        found = client("feetech", emulated.port)
    assert found["read"]["1"] == GOALS[1]
