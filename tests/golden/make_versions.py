"""Writes tests/golden/versions, once: what a later host may send to a device, and a run in the formats of today.

- `device.jsonl`: subject, bytes of the host, bytes of the device of TickLink 1; a change of an answer breaks the promise
  of docs/protocol.md, "Versions".
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


def answers() -> Iterator[tuple[str, str, str]]:
    """Subject, bytes of the host, bytes of a cart-pole that has just started."""
    from rtu_edge.device.simulated import InProcessDevice

    now = 5_000_000
    device = InProcessDevice("cartpole", now_us=now, boot_id=9, seed=1)
    now = max(device.due_us, now)
    device.tick(now)
    for seq, (subject, kind, flags, payload) in enumerate(QUESTIONS):
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
    if RECORDED.exists():
        sys.exit(f"{RECORDED} exists and is never written again")
    RECORDED.mkdir()
    lines = "".join(json.dumps(line) + "\n" for line in answers())
    (RECORDED / "device.jsonl").write_text(lines)
    (RECORDED / "run.json").write_text(json.dumps(run_folder(RECORDED / "run")) + "\n")


if __name__ == "__main__":
    main()
