"""Writes tests/golden/versions, once: what a later host may send to a device, and a run in the formats of today.

- `device.jsonl`: subject, bytes of the host, bytes of the device of TickLink 1; a change of an answer breaks the promise
  of docs/protocol_versions.md.
- `device-2.jsonl`: the same of the device of TickLink 2, with limits of its own, and a host of version 3.
- `run/`: the folder of `rtu-edge run --sim` with checkpoint format 4 and records of format 1, written by the package of
  commit 7f5860b; `run.json`: the learner's state at its end, and after the same package has resumed it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "versions"
ISA = "scalar"  # of every x86-64: a replay there is equal to the bit
STEPS, RESUMED = 400, 600
CONFIG = f"""
[device]
plant = "cartpole"
[loop]
clock = "lockstep"
[log]
blackbox_minutes = 0.05
hash_every = 50
[learner]
units = 4
hidden = [4]
[run]
steps = {STEPS}
seed = 3
[fallback]
kind = "pd"
pd = {{ force = {{ p = {{ x = -1.0, theta = -60.0 }}, d = {{ x = -2.0, theta = -10.0 }} }} }}
"""
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
from reference import wire_oracle as oracle  # noqa: E402 (found by the line above)

HELLO_2 = oracle.payload(0x01, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0) + bytes(range(1, 13))
QUESTIONS = (
    ("HELLO of version 2, 12 bytes longer", 0x01, 0, HELLO_2),
    ("a message that version 1 does not have", 0x50, 0, b"later"),
    ("DESCRIBE, longer", 0x04, 0, b"\x00\x01"),
    ("CMD, longer", 0x10, 0, oracle.payload(0x10, 1, 0, 50, 0, 1, values=(0.5,)) + b"\x01\x02\x03\x04"),
    ("ARM, longer", 0x11, 0, oracle.payload(0x11, 1) + b"\x01"),
    ("ARM", 0x11, 0, oracle.payload(0x11, 1)),
    ("DISARM with a payload and flags", 0x12, 0xF0, b"\x01\x02"),
    ("ARM with flags that version 1 does not have", 0x11, 0xF0, oracle.payload(0x11, 2)),
    ("PARAM with an operation that version 1 does not have", 0x30, 0, oracle.payload(0x30, 0, 9, 0, 0)),
    ("LOG of a level that version 1 does not have", 0x31, 0, b"\x09text"),
    ("ESTOP with a payload and flags", 0x7F, 0xF0, b"reason"),
    ("CLEAR_FAULT, longer", 0x13, 0, b"\x01"),
    ("CLEAR_FAULT", 0x13, 0, b""),
    ("HELLO again", 0x01, 0, HELLO_2),
)


HELLO_3 = oracle.payload(0x01, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0) + bytes(range(1, 13))
QUESTIONS_2 = (
    ("HELLO of version 3, 12 bytes longer", 0x01, 0, HELLO_3),
    ("HELLO of version 2", 0x01, 0, HELLO_2[:28]),
    ("HELLO of version 1", 0x01, 0, b"\x01" + HELLO_2[1:28]),
    ("HELLO of no version", 0x01, 0, b"\x00" + HELLO_2[1:28]),
    ("DESCRIBE of version 1", 0x04, 0, b"\x04"),
    ("DESCRIBE of version 2", 0x04, 0, b"\x04\x02"),
    ("DESCRIBE of version 3", 0x04, 0, b"\x04\x03"),
    ("DESCRIBE, longer", 0x04, 0, b"\x04\x02\x00"),
    ("PARAM that replaces an observation by 95", 0x30, 0, oracle.payload(0x30, 0x1004, 1, 1, 0x42BE0000)),
    ("PARAM of an observation that is not there", 0x30, 0, oracle.payload(0x30, 0x1007, 1, 1, 0x42BE0000)),
    ("ARM", 0x11, 0, oracle.payload(0x11, 1)),
    ("ESTOP with a payload and flags", 0x7F, 0xF0, b"reason"),
)


def answers(
    plant: str = "cartpole", questions: tuple[tuple[str, int, int, bytes], ...] = QUESTIONS
) -> Iterator[tuple[str, str, str]]:
    """Subject, bytes of the host, bytes of a plant that has just started."""
    from rtu_edge.device.simulated import InProcessDevice

    now = 5_000_000
    device = InProcessDevice(plant, now_us=now, boot_id=9, seed=1)
    now = max(device.due_us, now)
    device.tick(now)
    for seq, (subject, kind, flags, payload) in enumerate(questions):
        now += 150
        given = oracle.encode(kind, flags, seq, 0, payload)
        yield subject, given.hex(), device.receive(given, now).hex()


def run_folder(recorded: Path) -> dict[str, str]:
    """Write the folder of a run; returns the states."""
    from unittest.mock import patch

    from rtu_edge.cli import _run
    from rtu_edge.record import RunFolder, folder

    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(platform, "release", lambda: "0"))
        stack.enter_context(patch.object(folder, "_processor", lambda: "a processor"))
        before = os.getcwd()
        stack.callback(os.chdir, before)
        os.chdir(place)
        Path("own.toml").write_text(CONFIG)
        assert _run(["run", "own.toml", "--sim"]) == 0
        shutil.copytree("runs/own", recorded, ignore=shutil.ignore_patterns("report.html"))
        assert _run(["run", "--resume", "runs/own", "--set", f"run.steps={RESUMED}"]) == 0
        names = {"end": "runs/own", "resumed": "runs/own-2"}
        return {name: RunFolder(path).load_summary().state_hash for name, path in names.items()}


def main() -> None:
    if os.environ.get("RTU_EDGE_ISA") != ISA:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "RTU_EDGE_ISA": ISA})
    later = RECORDED / "device-2.jsonl"
    if not later.exists():
        later.write_text("".join(json.dumps(line) + "\n" for line in answers("joint", QUESTIONS_2)))
    if (RECORDED / "device.jsonl").exists():
        sys.exit(f"{RECORDED} exists and is never written again")
    RECORDED.mkdir(exist_ok=True)
    lines = "".join(json.dumps(line) + "\n" for line in answers())
    (RECORDED / "device.jsonl").write_text(lines)
    (RECORDED / "run.json").write_text(json.dumps(run_folder(RECORDED / "run")) + "\n")


if __name__ == "__main__":
    main()
