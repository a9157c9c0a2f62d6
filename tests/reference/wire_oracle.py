"""A second implementation of TickLink from docs/protocol.md in plain Python: struct, bit by bit, no C."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

HEADER = struct.Struct("<BBHI")
LAYOUT = {  # fixed part of each payload, as struct formats; x marks reserved bytes
    0x01: "<BBHIIIHBBBBHI",
    0x02: "<Q",
    0x03: "<QQQ",
    0x04: "<B",
    0x05: "<BBBxffff24s12s",
    0x10: "<IIHBB",
    0x11: "<I",
    0x12: "<",
    0x13: "<",
    0x14: "<BBH",
    0x15: "<IHxxI",
    0x20: "<HHHHBBBBf",
    0x21: "<BBHI",
    0x30: "<HBBI",
    0x31: "<B",
    0x7F: "<",
}
SAFE = ("none", "hold", "damp", "ramp", "off")


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def cobs_encode(data: bytes) -> bytes:
    """Cut data and a phantom zero at each zero and after 254 others; put each piece's length before it."""
    out = bytearray()
    pieces = (data + b"\0").split(b"\0")[:-1]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        while len(piece) > 254 or (len(piece) == 254 and not last):
            out += b"\xff" + piece[:254]
            piece = piece[254:]
        if len(piece) == 254:
            out += b"\xff" + piece
        else:
            out += bytes([len(piece) + 1]) + piece
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """None when data is not an encoding."""
    if not data or 0 in data:
        return None
    out = bytearray()
    while data:
        code, data = data[0], data[1:]
        if code - 1 > len(data):
            return None
        out += data[: code - 1]
        data = data[code - 1 :]
        if code < 255 and data:
            out.append(0)
    return bytes(out)


def encode(kind: int, flags: int, seq: int, t_us: int, payload: bytes) -> bytes:
    raw = HEADER.pack(kind, flags, seq, t_us) + payload
    return cobs_encode(raw + struct.pack("<I", crc32(raw))) + b"\0"


def decode(stuffed: bytes) -> tuple[int, int, int, int, bytes] | str:
    """Return (type, flags, seq, t_us, payload), or "overlong", "garbled", "crc"."""
    if len(stuffed) > 251:
        return "overlong"
    raw = cobs_decode(stuffed)
    if raw is None or len(raw) < 12:
        return "garbled"
    if struct.unpack("<I", raw[-4:])[0] != crc32(raw[:-4]):
        return "crc"
    return (*HEADER.unpack(raw[:8]), raw[8:-4])


def frames(stream: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """All valid frames of a stream."""
    found = [decode(piece) for piece in stream.split(b"\0")[:-1] if piece]
    return [frame for frame in found if not isinstance(frame, str)]


def payload(kind: int, *fixed: object, values: tuple[float, ...] = (), text: bytes = b"") -> bytes:
    return struct.pack(LAYOUT[kind], *fixed) + struct.pack(f"<{len(values)}f", *values) + text


def row_fields(role: int, limits: Iterable[Sequence[float]]) -> bytes:
    """What follows the 56 bytes of a ROW from version 2 on; a limit as kind, actuator, sense, low, high, slope."""
    found = bytes([1, 1, role]) if role else b""
    for kind, actuator, sense, *numbers in limits:
        found += bytes([2, 16]) + struct.pack("<BBbxfff", kind, actuator, sense, *numbers)
    return found


def bits(value: float) -> str:
    return f"{struct.unpack('<I', struct.pack('<f', value))[0]:08x}"


def schema_text(period_us: int, rows: list[dict[str, object]]) -> str:
    actuators = sum(bool(row["actuator"]) for row in rows)
    text = f"rtu-link schema 1 period_us {period_us} observations {len(rows) - actuators} actuators {actuators}\n"
    for row in rows:
        kind = "actuator" if row["actuator"] else "observation"
        text += f"{kind} {row['name']} {row['unit']} {bits(row['min'])} {bits(row['max'])}"  # type: ignore[arg-type]
        if row["actuator"]:
            safe = SAFE[row["safe"]]  # type: ignore[index]
            text += f" slew {bits(row['slew'])} safe {safe} {bits(row['safe_value'])}"  # type: ignore[arg-type]
        text += f" role {row['role']}" if row.get("role") else ""
        for kind, actuator, sense, low, high, slope in row.get("limits", ()):  # type: ignore[attr-defined]
            text += f" limit {kind} {actuator} {sense} {bits(low)} {bits(high)} {bits(slope)}"
        text += "\n"
    return text


def newer_session(session: int, last: int) -> bool:
    """docs/protocol_device.md, Session: 1 to 2^31 - 1 ahead of the last one on the circle of 32 bits, and not 0."""
    ahead = (session - last) % 2**32
    return session != 0 and 0 < ahead < 2**31


def float32(value: float) -> float:
    """Rounded to binary32; infinite beyond its range."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def limit_valid(kind: int, actuator: int, sense: int, low: float, high: float, slope: float) -> bool:
    """docs/protocol.md, Limits: 1 direction, 2 fault, 3 derate; 255 is every actuator."""
    if not low < high or (math.isinf(low) and math.isinf(high)):
        return False
    if kind == 1:
        return actuator != 255 and abs(sense) == 1 and slope == 0
    if kind == 2:
        return actuator == 255 and sense == 0 and slope == 0
    return kind == 3 and sense == 0 and math.isfinite(slope) and slope > 0


def row_valid(row: dict[str, object]) -> bool:
    """docs/protocol.md, ROW: valid contents. Numbers are binary32 ones."""
    name, unit = str(row["name"]), str(row["unit"])
    low, high = float(row["min"]), float(row["max"])  # type: ignore[arg-type]
    slew, safe_value = float(row["slew"]), float(row["safe_value"])  # type: ignore[arg-type]
    if any(
        not text or len(text) > size or not all("!" <= c <= "~" for c in text)
        for text, size in ((name, 24), (unit, 12))
    ):
        return False
    if not low < high:
        return False
    role, limits = int(row.get("role", 0)), list(row.get("limits", ()))  # type: ignore[call-overload]
    if not row["actuator"]:
        brake = role != 6 or ((low, high) == (0.0, 1.0) and not limits)
        return row["safe"] == 0 and 0 <= role <= 6 and brake and all(limit_valid(*each) for each in limits)
    if role or limits:
        return False
    if row["safe"] not in (1, 2, 3, 4) or math.isinf(low) or math.isinf(high):
        return False
    if math.isnan(slew) or slew <= 0 or math.isnan(safe_value) or not low <= safe_value <= high:
        return False
    mantissa, exponent = math.frexp(max(-low, high))  # of the larger end: from 0.5 to 1, and a power of two
    spacing = math.ldexp(1.0, max(exponent - 24 - (mantissa == 0.5), -149))
    return row["safe"] != 3 or (math.isfinite(slew) and slew >= spacing)
