#!/bin/sh
# feetech-servo-sdk: after one late reply each reading is that of the request before, with success.
#
# Package: feetech-servo-sdk 1.0.0 (PyPI), with pyserial 3.5. Bus of one servo on a pseudo-terminal.
#
# Before each request the SDK calls clearPort(), which does not discard received bytes: it waits until the output is
# sent. A reply that arrives after the timeout (34 ms and the time of the bytes) is taken for the reply to the next
# request, whose own reply waits for the one after. Packets carry no sequence number and no register, so identifier,
# length and checksum fit, and each call returns COMM_SUCCESS: a control loop is one period behind for ever, and a load
# that is read after a position is a position. Calling reset_input_buffer() on the port cures it.
#
# Seen (Python 3.11):
#     (register, its value, what the SDK returns)
#     position   2030   read 2030, success
#     position   2040   result -6
#     position   2050   read 2040, success
#     position   2060   read 2050, success
#     ...
#     position   2090   read 2080, success
#     load          7   read 2090, success
#     reset_input_buffer()
#     position   2100   read 2100, success
#     position   2110   read 2110, success
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check feetech-servo-sdk==1.0.0 pyserial==3.5
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import os
import pty
import time
import tty

from scservo_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS, PacketHandler, PortHandler

SERVO, POSITION, LOAD = 1, 56, 60

bus, servo_end = pty.openpty()
tty.setraw(bus)
port = PortHandler(os.ttyname(servo_end))
assert port.openPort()
sdk = PacketHandler(0)
registers = {POSITION: 2000, LOAD: 7}


def reply() -> None:
    """The servo replies to the oldest request for two bytes with their present value."""
    request = b""
    while len(request) < 8:
        request += os.read(bus, 8 - len(request))
    head, identifier, length, instruction, address, size, _checksum = (request[:2], *request[2:])
    assert (head, identifier, length, instruction, size) == (b"\xff\xff", SERVO, 4, 2, 2)
    body = bytes([SERVO, 4, 0, *registers[address].to_bytes(2, "little")])
    before = port.getBytesAvailable()
    os.write(bus, b"\xff\xff" + body + bytes([~sum(body) & 0xFF]))
    while port.getBytesAvailable() < before + 8:
        time.sleep(0.001)


def read(name: str, address: int, late: bool = False) -> int | None:
    """read2ByteTxRx() in its two halves, the servo's reply between them or, if late, after the timeout."""
    assert sdk.read2ByteTx(port, SERVO, address) == COMM_SUCCESS
    if not late:
        reply()
    value, result, error = sdk.read2ByteRx(port, SERVO)
    outcome = f"read {value}, success" if result == COMM_SUCCESS else f"result {result}"
    print(f"{name:9} {registers[address]:5}   {outcome}")
    assert result == (COMM_RX_TIMEOUT if late else COMM_SUCCESS) and error == 0, "changed: another result"
    if late:
        reply()
        return None
    return value


def positions(count: int) -> list[bool]:
    """The joint moves by 10 between readings; whether each reading was the present position."""
    right = []
    for _ in range(count):
        registers[POSITION] += 10
        right.append(read("position", POSITION) == registers[POSITION])
    return right


assert all(positions(3)), "in step before the late reply"
registers[POSITION] += 10
read("position", POSITION, late=True)
assert not any(positions(5)), "changed: a late reply no longer shifts the readings behind it"
assert read("load", LOAD) == registers[POSITION], "changed: a position is no longer taken for a load"
port.ser.reset_input_buffer()
print("reset_input_buffer()")
assert all(positions(2)), "changed: still shifted after the buffer was emptied"
PYTHON
