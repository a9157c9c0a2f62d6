"""The seed corpus of the fuzz targets, made by the codec and the package: python tests/fuzz/seeds.py writes
tests/fuzz/corpus.

tests/test_fuzz.py compares the files with what this makes. Files named found-* are inputs that once caused a failure;
they are kept.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from rtu_edge import StreamAC
from rtu_edge.device import protocol
from rtu_edge.hil.learner import SETTINGS

CORPUS = Path(__file__).resolve().parent / "corpus"

MESSAGES: tuple[protocol.Message, ...] = (
    protocol.Hello(role=1, boot_id=7, period_us=20_000, ttl_max_ms=200, observation_size=2, action_size=1),
    protocol.Ping(1),
    protocol.Pong(1, 2, 3),
    protocol.Describe(0),
    protocol.Channel("force", "N", -10.0, 10.0, 2, True, 4, float("inf"), 0.0),
    protocol.Cmd(0x1234ABCD, 1_000_000, 50, (0.5, -0.25)),
    protocol.Arm(1, lockstep=True),
    protocol.Disarm(),
    protocol.ClearFault(),
    protocol.Ack(protocol.FrameType.ARM, protocol.Status.OK, 1),
    protocol.Reset(1, 2, 3),
    protocol.State(
        7, 1, protocol.Fault(0), 1, protocol.DeviceState.ARMED, protocol.Episode(8), 1.0, (0.0, 1.0, -1.0), (0.5, -0.25)
    ),
    protocol.Event(protocol.EventCode.REFUSED, protocol.Status.STALE, 3, 4),
    protocol.Param(1),
    protocol.Log(6, "ready"),
    protocol.Estop(),
)

# The vectors that docs/protocol.md publishes, in wire format.
VECTORS = (
    "02 01 01 01 01 01 01 01 02 01 02 03 09 ef be ad de f7 17 f3 33 00",
    "02 7f 02 01 01 01 01 01 05 f0 8f 0e db 00",
    "02 10 02 07 04 40 42 0f 05 cd ab 34 12 03 42 0f 02 32 01 02 02 01 01 02 3f 01 07 80 be c8 cb ca c2 00",
    "02 20 02 09 04 c8 55 0f 02 07 02 01 01 01 02 01 02 02 03 03 02 01 03 80 3f 01 01 01 01 01 03 80 3f 01 03 80 bf "
    "01 01 02 3f 01 07 80 be 34 db fb 54 00",
)


def wire_seeds() -> dict[str, bytes]:
    """Even first byte: a stream, in pieces of half of it and one. Odd: one frame without its CRC."""
    found = {"vectors": b"\x0c" + b"".join(bytes.fromhex(vector) for vector in VECTORS)}
    for message in MESSAGES:
        frame = protocol.pack(message, 1, 1000)
        name = type(message).__name__.lower()
        found[f"frame-{name}"] = struct.pack("<BBBHI", 1, frame.type, frame.flags, 1, 1000) + frame.payload
    found["stream"] = b"\xfe" + b"".join(protocol.encode(protocol.pack(message)) for message in MESSAGES)
    return found


def checkpoint_seeds() -> dict[str, bytes]:
    """One of each agent of fuzz_checkpoint.cpp."""
    found = {}
    others: dict[str, dict[str, Any]] = {
        "whole": {},
        "mingru": {"cell": "mingru", "optimizer": "intentional", "encoder": 2},
        "lru": {"cell": "lru", "optimizer": "adaptive_obgd"},
        "elstm": {"cell": "elstm", "optimizer": "adam", "encoder": 2},
    }
    for name, settings in others.items():
        agent = StreamAC(**{**SETTINGS, "units": 2, "hidden": 2, **settings}, seed=1)
        agent.reset([0.5, -0.5])
        agent.step([0.25, 0.5], 1.0)
        with tempfile.TemporaryDirectory() as folder:
            agent.save(Path(folder, "a"))
            found[name] = Path(folder, "a").read_bytes()
    return found


# Steps of a device's script: tests/fuzz/fuzz_device.cpp.
ARM, ARM_LOCKSTEP, RESET, AGAIN, TICK = b"\x04\0\1\0", b"\x04\1\1\0", b"\x05\1\7\1", b"\x08", b"\x0e"
SILENCE = b"\x0d" + struct.pack("<I", 300_000)
ESTOP, CLEAR, DISARM = b"\x06\5", b"\x06\6", b"\x06\4"


def command(*u: int) -> bytes:
    return bytes([0, 0, *(value & 255 for value in u)])


def device_seeds() -> dict[str, bytes]:
    balance = b"".join(command(u) + TICK for u in (3, -3, 90, -90))
    found = {
        "session": TICK + ARM + TICK + RESET + TICK * 2 + balance + DISARM + TICK,
        "lockstep": TICK
        + ARM_LOCKSTEP
        + RESET
        + b"".join(map(command, (1, -1, 5)))
        + AGAIN
        + RESET
        + command(2)
        + ESTOP,
        "silence": TICK + ARM + TICK + balance + SILENCE + TICK + ARM + TICK + balance,
        "estop": TICK + ARM + TICK + balance + ESTOP + command(1) + ARM + CLEAR + ARM + TICK + balance,
        "sensor": TICK + ARM + TICK + balance + b"\x0b\1" + TICK * 2 + ARM + balance,
        "damage": TICK + ARM + TICK + command(1) + b"\x09\4\x40" + AGAIN + TICK + balance,
    }
    # The plant, and how the device is set up: a long reset, a slew limit, a short episode, a clock that wraps.
    heads = {"": b"\0\0", "-slow": b"\3\7", "-short": b"\4\x0c", "-wrap": b"\1\x30"}
    return {name + kind: head + steps for name, steps in found.items() for kind, head in heads.items()}


def learner_ask(op: int, *words: int, data: bytes = b"") -> bytes:
    """One turn of the learner's script: a frame of words or of bytes; each word takes one byte."""
    return bytes([0, op + 16 * len(words), *words]) + (bytes([len(data)]) + data if op == 5 else b"")


def learner_seeds() -> dict[str, bytes]:
    status, run, stop, init, read, write, _, record, drive = range(9)
    nothing = b"\x80"
    arm = protocol.encode(protocol.pack(protocol.Arm(1)))
    start = learner_ask(init, 1) + learner_ask(run, 1)
    return {
        "learn": start + nothing * 8 + learner_ask(status) + learner_ask(stop),
        "download": start + nothing * 3 + learner_ask(stop) + b"".join(learner_ask(read, at, 1) for at in range(6)),
        "upload": learner_ask(write, 3, data=struct.pack("<4f", 1.0, float("nan"), 1e30, -1.0))
        + learner_ask(run, 1) + nothing * 4 + learner_ask(read, 3, 1),
        "drive": nothing + bytes([192 + len(arm)]) + arm + learner_ask(record, 1)
        + bytes([0, 128 + drive + 16 * 2]) + struct.pack("<IHH", 1, 1000, 60) + nothing * 59,
    }  # fmt: skip


def link_seeds() -> dict[str, bytes]:
    # A call; a write that accepts all bytes; then the input (0: the correct answer), each with its own bytes.
    hello = b"\0" + b"\0" + b"\0" + b"\0" + b"\1\1\1" + struct.pack("<I", protocol.schema_hash(0, ROWS)) + b"\1\1"
    rows = b"\1" + b"\0" + b"\0\0\0\0" + b"\0" + b"\0\2\0\0"
    acknowledged = b"\0" + b"\0\0\0\0"
    return {
        "handshake": hello + rows,
        "session": hello + b"\2\1" + acknowledged + b"\6\x14" + b"\3\3\2\0\0" + b"\3" + acknowledged,
        "estop": hello + b"\5\0" + b"\0\0\0\0" + b"\4" + acknowledged,
        "noise": b"\0\0\5\x14" + hello + b"\6\x32\5\x0a" + b"\7\xf3\7\0",
        "unplugged": hello + b"\2\0\0\6\0",
    }


# Published packets: the first 14 of Dynamixel, then Feetech's; a fast answer of two servos; damage in between.
BUS_DYNAMIXEL = (
    "FF FF FD 00 01 03 00 01 19 4E",
    "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D",
    "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
    "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
    "FF FF FD 00 01 0D 00 03 FF FF FD FD AA FF FD FD 00 00 00 00",
)
BUS_FAST = "FF FF FD 00 FE 11 00 55 00 01 11 22 FF FF 00 00 80 02 33 44 55 66 00 00"
BUS_FEETECH = (
    "FF FF 01 02 01 FB",
    "FF FF 01 09 03 2A 00 08 00 00 E8 03 D5",
    "FF FF FE 06 82 38 08 01 02 36",
    "FF FF 01 0A 00 00 08 00 00 00 00 79 1E 55",
)


def bus_seeds() -> dict[str, bytes]:
    def stream(packets: tuple[str, ...], between: str = "") -> bytes:
        return b"".join(bytes.fromhex(between + packet) for packet in packets)

    return {
        "dynamixel": b"\x0f" + stream(BUS_DYNAMIXEL),
        "dynamixel-fast": b"\x2b" + stream((BUS_FAST, *BUS_DYNAMIXEL[:2])),
        "dynamixel-garbage": b"\x15" + stream(BUS_DYNAMIXEL, "FF FF FD 00"),
        "feetech": b"\x0e" + stream(BUS_FEETECH),
        "feetech-garbage": b"\x10" + stream(BUS_FEETECH, "11 FF 00"),
        "number": b"\xff\x01\x13" + struct.pack("<If", 0x8064, -1.5),
    }


ROWS = (protocol.Channel("name", "1", 0.0, 1.0), protocol.Channel("name", "1", 0.0, 1.0, 1, True))

# Inputs without a script: those that caused failures, and files of formats that are only read.
KEPT = ("found-", "format-")

SEEDS = {
    "wire": wire_seeds,
    "checkpoint": checkpoint_seeds,
    "device": device_seeds,
    "learner": learner_seeds,
    "link": link_seeds,
    "bus": bus_seeds,
}


def main() -> None:
    for target, seeds in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith(KEPT):
                old.unlink()
        for name, data in seeds().items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
