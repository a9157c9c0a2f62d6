"""A client with a vendor's library, run as a program of its own: servo_sdk_client.py FAMILY PORT FOLDER [SECONDS].

FOLDER holds the library (pip install --target). Prints one JSON object: what it has read and written, and the cycles
per second of a sync read of 6 servos with a sync write behind it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

# id -> goal, in steps.
GOALS = {1: 1000, 2: 2000, 3: 3000}


def little(*values: int) -> list[int]:
    return [byte for value in values for byte in (value & 255, value >> 8 & 255)]


def libraries(family: str, port: str) -> tuple[Any, Any, Any]:
    if family == "dynamixel":
        import dynamixel_sdk as sdk

        return sdk, sdk.PortHandler(port), sdk.PacketHandler(2.0)
    import scservo_sdk as sdk

    return sdk, sdk.PortHandler(port), sdk.PacketHandler(0 if family == "feetech" else 1)


def readings(sdk: Any, family: str, handler: Any, packets: Any) -> dict[str, Any]:
    """Ping, write, read, sync write, sync read, and the error of a servo with an alarm."""
    found: dict[str, Any] = {"ping": {}, "read": {}, "sync": {}}
    for id in (1, 2, 3, 9):
        model, result, _ = packets.ping(handler, id)
        found["ping"][id] = model if result == sdk.COMM_SUCCESS else None
    dynamixel = family == "dynamixel"
    goal, size = (116, 4) if dynamixel else (42, 2)
    write, read = (
        (packets.write4ByteTxRx, packets.read4ByteTxRx)
        if dynamixel
        else (packets.write2ByteTxRx, packets.read2ByteTxRx)
    )
    for id, value in GOALS.items():
        result, error = write(handler, id, goal, value)
        value, result, error = read(handler, id, goal)
        found["read"][id] = value if result == sdk.COMM_SUCCESS and error == 0 else None
    if family == "scs":
        return found
    sync = sdk.GroupSyncWrite(handler, packets, goal, size)
    for id, value in GOALS.items():
        sync.addParam(id, bytes([value + 5 & 255, value + 5 >> 8, *[0] * (size - 2)]))
    sync.txPacket()
    group = sdk.GroupSyncRead(handler, packets, goal, size)
    for id in GOALS:
        group.addParam(id)
    result = group.txRxPacket()
    for id in GOALS:
        found["sync"][id] = group.getData(id, goal, size) if result == sdk.COMM_SUCCESS else None
    if dynamixel:
        result = group.fastSyncRead()
        found["fast"] = {id: group.getData(id, goal, size) for id in GOALS}
    return found


def rate(sdk: Any, family: str, handler: Any, packets: Any, seconds: float) -> float:
    dynamixel = family == "dynamixel"
    group = sdk.GroupSyncRead(handler, packets, 126 if dynamixel else 56, 10 if dynamixel else 8)
    goal, size = (116, 4) if dynamixel else (42, 6)
    for id in range(1, 7):
        group.addParam(id)
    cycles, end_s = 0, time.monotonic() + seconds
    begin_s = time.monotonic()
    while time.monotonic() < end_s:
        group.txRxPacket()
        sync = sdk.GroupSyncWrite(handler, packets, goal, size)
        for id in range(1, 7):
            sync.addParam(id, bytes([0, 8, *[0] * (size - 2)]))
        sync.txPacket()
        cycles += 1
    return cycles / (time.monotonic() - begin_s)


def main(family: str, port: str, folder: str, seconds: str = "0") -> None:
    sys.path.insert(0, folder)
    sdk, handler, packets = libraries(family, port)
    assert handler.openPort()
    assert handler.setBaudRate(1_000_000)
    found = {"rate": rate(sdk, family, handler, packets, float(seconds))} if float(seconds) else {}
    if not found:
        found = readings(sdk, family, handler, packets)
    print(json.dumps(found))
    handler.closePort()


if __name__ == "__main__":
    main(*sys.argv[1:])
