"""Untrusted files for tests: valid checksums, arbitrary contents."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

import rtu_edge as rtu
import rtu_edge.cli
from rtu_edge.learn.checkpoint import encode_config
from rtu_edge.record.parts import MAGIC
from rtu_edge.record.reader import read_log

GOLDEN = Path(__file__).resolve().parent / "golden" / "formats" / "runs" / "sim"
MIB = 1 << 20

LOG, BOX, NPZ, SUMMARY = "log.mcap", "blackbox.rtubox", "telemetry.npz", "summary.json"


def cli(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, out, err


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one-line error of a command."""
    code, _, err = cli(capfd, *arguments)
    lines = err.splitlines()
    assert code == 2, err
    assert len(lines) == 1 and lines[0].startswith("rtu-edge: "), err
    return err


def mcap_parts(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], len(MAGIC)
    while at < len(data) - len(MAGIC):
        opcode, length = struct.unpack_from("<BQ", data, at)
        found.append((opcode, data[at + 9 : at + 9 + length]))
        at += 9 + length
    return found


def mcap_of(parts: list[tuple[int, bytes]]) -> bytes:
    return MAGIC + b"".join(struct.pack("<BQ", opcode, len(body)) + body for opcode, body in parts) + MAGIC


def string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def note(name: str, values: dict[str, str]) -> tuple[int, bytes]:
    sealed = {**values, "crc32": f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"}
    body = b"".join(string(key) + string(value) for key, value in sealed.items())
    return 0x0C, string(name) + struct.pack("<I", len(body)) + body


def packed(data: bytes, *, size: int | None = None, compression: str = "zstd", **how: Any) -> tuple[int, bytes]:
    """A chunk of messages."""
    inside = zstandard.ZstdCompressor(**how).compress(data) if compression == "zstd" else data
    head = struct.pack("<QQQI", 0, 0, len(data) if size is None else size, zlib.crc32(data))
    return 0x06, head + string(compression) + struct.pack("<Q", len(inside)) + inside


def head_of(data: bytes) -> dict[str, Any]:
    head: dict[str, Any] = msgspec.to_builtins(read_log(data_file(data)).head)
    return head


def data_file(data: bytes) -> str:
    """A path object over bytes in memory."""
    handle = os.memfd_create("data")
    os.write(handle, data)
    return f"/proc/self/fd/{handle}"


def with_head(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A log with another head and valid checksums."""
    head = head_of(data)
    change(head)
    return mcap_of(
        [note("rtu_edge", {"head": json.dumps(head)}) if n == 1 else part for n, part in enumerate(mcap_parts(data))]
    )


def with_records(data: bytes, *chunks: tuple[int, bytes]) -> bytes:
    """A log with other chunks."""
    kept = [part for part in mcap_parts(data) if part[0] != 0x06]
    return mcap_of([*kept[:3], *chunks, *kept[3:]])


def box_with(data: bytes, **changes: Any) -> bytes:
    """A black box with another head or tail and valid checksums."""
    (length,) = struct.unpack_from("<I", data, 40)
    text = json.loads(data[64 : 64 + length])
    text["tail"] = changes.pop("tail", text["tail"])
    text["head"] |= changes
    raw = json.dumps(text).encode()
    (first,) = struct.unpack_from("<I", data, 12)
    room = max(first, -(-(64 + len(raw)) // 4096) * 4096)  # whole pages, as written
    head = data[:12] + struct.pack("<I", room) + data[16:40] + struct.pack("<II", len(raw), 0) + data[48:64] + raw
    head = head[:44] + struct.pack("<I", zlib.crc32(head)) + head[48:]
    return head + (data[len(head) : first] if room == first else bytes(room - len(head))) + data[first:]


def resealed(data: bytes, text: bytes | None = None) -> bytes:
    """A checkpoint with another text."""
    (length,) = struct.unpack_from("<I", data, 12)
    text = data[40 : 40 + length] if text is None else text
    body = data[:12] + struct.pack("<I", len(text)) + data[16:40] + text + data[40 + length : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def learner_of(**changes: Any) -> bytes:
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, seed=0)
    return resealed(agent.core.save(encode_config(agent.config)), encode_config({**agent.config, **changes}).encode())


def npz_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def npy(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data
