#!/bin/sh
# dynamixel-sdk: some goal positions are sent as invalid packets, and some readings lose a byte, with success.
#
# Package: dynamixel-sdk 4.1.0 (PyPI), with pyserial 3.5. Protocol 2.0 on a pseudo-terminal.
#
# Protocol 2.0 marks the start of a packet by FF FF FD; where a packet's content has these bytes, the sender inserts
# another FD behind them and the receiver removes it ("byte stuffing").
# - Sending: addStuffing() makes a new list when it has to insert, and txPacket() drops it. The packet goes out
#   unstuffed and writeTxOnly() reports COMM_SUCCESS. Goal position -131073 (FF FF FD FF, 32 turns in extended
#   position mode) is such a packet: a servo that follows the protocol has to wait for another packet there.
# - Receiving: removeStuffing() shifts the list that it still reads. After the first removal it takes any FF FD FD for
#   stuffing. A reading of three registers that holds position -131073 and trajectory -131585 (FF FD FD FF) then lacks
#   a byte, and a byte of the checksum fills the gap. The result is COMM_SUCCESS: the checksum was right.
# One sequence in a reading, without a second one like it, is right.
#
# Seen (Python 3.11):
#     goal 2048: result 0
#       protocol ff ff fd 00 01 09 00 03 74 00 00 08 00 00 42 89
#       sent     ff ff fd 00 01 09 00 03 74 00 00 08 00 00 42 89
#     goal -131073: result 0
#       protocol ff ff fd 00 01 0a 00 03 74 00 ff ff fd fd ff 23 e5
#       sent     ff ff fd 00 01 09 00 03 74 00 ff ff fd ff cb 05
#     servo sends (-131073, 0, 2048): result 0, error 0, read (-131073, 0, 2048)
#     servo sends (2048, 0, -131585): result 0, error 0, read (2048, 0, -131585)
#     servo sends (-131073, 0, -131585): result 0, error 0, read (-131073, 0, 822083071)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dynamixel-sdk==4.1.0 pyserial==3.5
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import os
import pty
import struct
import time
import tty

from dynamixel_sdk import COMM_SUCCESS, PacketHandler, PortHandler

SERVO, GOAL_POSITION, PRESENT_POSITION = 1, 116, 132
READ, WRITE, STATUS = 0x02, 0x03, 0x55


def crc16(data: bytes) -> int:
    """CRC-16 of Protocol 2.0: polynomial 0x8005, initial value 0, not reflected."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def packet(content: bytes) -> bytes:
    """A packet as the protocol defines it: content is instruction and parameters."""
    stuffed = content.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    head = b"\xff\xff\xfd\x00" + struct.pack("<BH", SERVO, len(stuffed) + 2)
    return head + stuffed + struct.pack("<H", crc16(head + stuffed))


bus, servo_end = pty.openpty()
tty.setraw(bus)
port = PortHandler(os.ttyname(servo_end))
assert port.openPort() and port.setBaudRate(1_000_000)
sdk = PacketHandler(2.0)


def sent(size: int) -> bytes:
    """What the SDK put on the bus: at least size bytes."""
    data = b""
    while len(data) < size:
        data += os.read(bus, 256)
    return data


def write_goal(goal: int) -> bool:
    """Whether the SDK sends a goal position as the protocol demands."""
    result = sdk.write4ByteTxOnly(port, SERVO, GOAL_POSITION, goal & 0xFFFFFFFF)
    expected = packet(bytes([WRITE]) + struct.pack("<Hi", GOAL_POSITION, goal))
    seen = sent(16)
    print(f"goal {goal}: result {result}")
    print("  protocol", expected.hex(" "))
    print("  sent    ", seen.hex(" "))
    assert result == COMM_SUCCESS, "changed: the SDK refuses the goal"
    return seen == expected


def read_three(values: tuple[int, int, int]) -> bool:
    """Whether the SDK returns position, velocity and position trajectory as the servo sends them."""
    size = 12
    assert sdk.readTx(port, SERVO, PRESENT_POSITION, size) == COMM_SUCCESS
    assert sent(14)[7] == READ
    status = packet(bytes([STATUS, 0]) + struct.pack("<3i", *values))
    os.write(bus, status)
    while port.getBytesAvailable() < len(status):
        time.sleep(0.001)
    data, result, error = sdk.readRx(port, SERVO, size)
    seen = struct.unpack("<3i", bytes(data))
    print(f"servo sends {values}: result {result}, error {error}, read {seen}")
    assert (result, error) == (COMM_SUCCESS, 0), "changed: the SDK reports the reading as failed"
    return seen == values


assert write_goal(2048), "an ordinary goal is sent as expected"
assert not write_goal(-131073), "changed: the SDK stuffs what it sends"
assert read_three((-131073, 0, 2048)), "one sequence is read as expected"
assert read_three((2048, 0, -131585)), "FF FD FD without a sequence before it is read as expected"
assert not read_three((-131073, 0, -131585)), "changed: the SDK reads FF FD FD behind a stuffed sequence"
PYTHON
