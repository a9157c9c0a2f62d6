"""Readers of earlier versions' formats: telemetry.npz, and keys and values with a former representation.

The files are untrusted: sizes are compared with the file's size before anything is unpacked.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rtu_edge._base import old_names
from rtu_edge._base.untrusted import allowance, open_regular

__all__ = ["TELEMETRY", "load_arrays", "with_bounds"]

TELEMETRY = "telemetry.npz"

Array = npt.NDArray[Any]

_ARRAYS = 64
_DIRECTORY_BYTES = 1 << 16  # of the archive
_END = struct.Struct("<4s4H2IH")  # end of an archive: signature, disks, entries, size and offset of the directory
_HEADER_BYTES = 10_000  # of an array's header, as numpy's own bound
_STAGES = ("learning", "realtime", "control")
_EPISODES = tuple(f"{stage}_episodes" for stage in _STAGES)
_STEP = ("episode", "lateness_ns", "predict_ns", "update_ns", "round_trip_ns", "x", "applied")
_EPISODE = ("episode", "total_steps", "total_return")
_PIECE = 1 << 20  # bytes unpacked at a time
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def load_arrays(path: Path, most: int | None = None) -> dict[str, Array]:
    """The arrays by name.

    Args:
        path: a regular file, no link. most: limit in bytes; None: 4 times the file's size and 40 MiB.

    Raises:
        ValueError: damaged, larger than `most`, or not in the format of numpy.savez.
        OSError: it cannot be read.
    """
    with open(open_regular(path, follow=False), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            _check_directory(file, size)
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _check_sizes(members, allowance(size) if most is None else most)
                return {_name(member): _checked(_name(member), _array(archive, member)) for member in members}
        except OSError:
            raise
        except Exception as error:  # errors of numpy, zipfile, zlib and struct
            raise ValueError(f"{path}: damaged: {error}") from error


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _checked(name: str, array: Array) -> Array:
    """An array with the fields that readers need. Raises ValueError."""
    if array.ndim == 0:
        raise ValueError(f"{name}: a single value, not an array")
    wanted = _STEP if name in _STAGES else _EPISODE if name in _EPISODES else ()
    for field in wanted:
        kind = array.dtype[field].base.kind if field in (array.dtype.names or ()) else ""
        if kind not in "iuf" or array.ndim != 1 or not kind:
            raise ValueError(f"{name}: no numbers {field}")
        if (array.dtype[field].ndim == 1) != (field in ("x", "applied")):
            raise ValueError(f"{name}: {field} of another shape")
    return array


def _check_directory(file: BinaryIO, size: int) -> None:
    """Check the archive's signature, and that its directory, which zipfile reads completely, is small. Raises
    ValueError.
    """
    if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
        raise ValueError("not an archive of arrays")
    file.seek(max(0, size - _END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise ValueError("not an archive of arrays")
    _, _, _, _, entries, directory, _, _ = _END.unpack_from(tail, at)
    if entries > _ARRAYS or directory > _DIRECTORY_BYTES:
        raise ValueError(f"{entries:,} arrays; at most {_ARRAYS} are read")
    file.seek(0)


def _check_sizes(members: list[zipfile.ZipInfo], most: int) -> None:
    """Raises ValueError."""
    if len(members) > _ARRAYS or any(
        member.compress_type not in _METHODS or member.flag_bits & 1 for member in members
    ):
        raise ValueError("an archive of another format")
    total = sum(member.file_size for member in members)
    if total > most:
        raise ValueError(
            f"its arrays take {total >> 20:,} MiB; at most {most >> 20:,} MiB are allowed for a file of "
            "its size; --memory allows more, for trusted files"
        )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array; its header must match the size in the archive. Raises ValueError."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{member.filename}: an array of version {version}")
        shape, fortran, dtype = read(stream, max_header_size=_HEADER_BYTES)
        count = math.prod(shape)
        if dtype.hasobject or fortran or dtype.itemsize == 0 or len(shape) > 8:
            raise ValueError(f"{member.filename}: an array of another format")
        if stream.tell() + count * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename}: its size does not fit its shape {shape}")
        if dtype.names is not None:
            dtype.names = tuple(map(old_names.record_field, dtype.names))
        array: Array = np.empty(count, dtype)
        raw = array.view(np.uint8).reshape(-1) if count else np.zeros(0, np.uint8)
        for at in range(0, len(raw), _PIECE):
            piece = stream.read(min(_PIECE, len(raw) - at))
            raw[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            if len(piece) < min(_PIECE, len(raw) - at):
                raise ValueError(f"{member.filename}: cut short")
        stream.read(1)  # reads to the end, which verifies the checksum
        return array.reshape(shape)


def with_bounds(plain: Any) -> Any:
    """The channels of a data sheet in the current form; formerly with minimum and maximum, and null for no bound."""
    if isinstance(plain, dict):
        for row in (*_rows(plain.get("observations")), *_rows(plain.get("actuators"))):
            for key, earlier, bound in (("min", "minimum", -math.inf), ("max", "maximum", math.inf)):
                if earlier in row:
                    value = row.pop(earlier)
                    row.setdefault(key, bound if value is None else value)
    return plain


def _rows(plain: Any) -> list[dict[str, Any]]:
    return [row for row in plain if isinstance(row, dict)] if isinstance(plain, list) else []
