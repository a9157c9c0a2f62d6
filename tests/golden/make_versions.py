"""Writes tests/golden/versions/device.jsonl: what a later host may send, and the answers of this version's device.

Each line: subject, bytes of the host, bytes of the device. Written once, with the package of TickLink 1; a change of an
answer breaks the promise of docs/protocol.md, "Versions".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "versions" / "device.jsonl"
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


def main() -> None:
    if RECORDED.exists():
        sys.exit(f"{RECORDED} exists and is never written again")
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text("".join(json.dumps(line) + "\n" for line in answers()))


if __name__ == "__main__":
    main()
