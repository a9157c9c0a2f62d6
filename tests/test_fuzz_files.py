"""Damaged files of a run: readers return correct data or raise the documented error.

One block per reader.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from rtu_edge._base.errors import CheckpointError, ConfigError
from rtu_edge.learn import checkpoint
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.record import RunFolder, blackbox
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.reader import Log, read_log
from rtu_edge.run import replay

fuzz = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """Cut, bits flipped, a stretch overwritten, taken out or doubled; the beginning, where sizes are, as often as the
    rest.
    """
    bad = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(bad), 400)) | st.integers(0, len(bad)))
        how = draw(st.sampled_from(["cut", "flip", "overwrite", "remove", "double"]))
        length = draw(st.integers(1, 16))
        if how == "cut":
            del bad[at:]
        elif how == "flip" and at < len(bad):
            bad[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "overwrite":
            bad[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif how == "remove":
            del bad[at : at + length]
        elif how == "double":
            bad[at:at] = bad[at : at + length]
    return bytes(bad)


def names_it(error: Exception, path: Path) -> None:
    assert str(path) in str(error), error


@contextlib.contextmanager
def file_of(data: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        yield path


# ---------------------------------------------------------------- the log


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Log]:
    with RunFolder(tmp_path_factory.mktemp("log")) as folder:
        logged.run(folder, logged.config_of("log.mcap=true"), steps=300)
        path = folder.file(RunFolder.LOG)
        return path.read_bytes(), read_log(path)


def check_log(data: bytes, whole: Log) -> None:
    """Refused, or the records of the whole log, each in order and none invented; a replay agrees."""
    with file_of(data) as path:
        try:
            log = read_log(path)
        except ValueError as error:
            names_it(error, path)
            return
        assert log.head == whole.head
        known = {record.tobytes() for record in whole.records}
        assert all(record.tobytes() in known for record in log.records)
        assert log.end in (None, whole.end)
        assert log.lost == []
        if not log.cut:
            assert log.records.tobytes() == whole.records.tobytes()
            assert log.episodes.tobytes() == whole.episodes.tobytes()
        try:
            found = replay.verify(log, until=20)
        except ConfigError as error:
            names_it(error, path)
            return
        assert found.difference is None


def test_the_log_that_is_damaged_below_is_whole(recorded: tuple[bytes, Log]) -> None:
    data, whole = recorded
    assert len(whole.records) >= 300 and not whole.cut and whole.end is not None and whole.start is not None
    check_log(data, whole)


@fuzz
@given(st.data())
def test_a_log_that_is_damaged_anywhere(recorded: tuple[bytes, Log], data: st.DataObject) -> None:
    check_log(data.draw(damaged(recorded[0])), recorded[1])


def test_a_log_with_any_one_bit_flipped_near_its_parts(recorded: tuple[bytes, Log]) -> None:
    """Each byte of the first part and the last: headers, the head, lengths, the index."""
    data, whole = recorded
    for at in [*range(0, len(data), max(1, len(data) // 400)), *range(60), *range(len(data) - 60, len(data))]:
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        check_log(bytes(bad), whole)


@fuzz
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"\x89MCAP0\r\n" + data))
def test_any_bytes_are_no_log(data: bytes) -> None:
    with file_of(data) as path, pytest.raises(ValueError, match="not a log of rtu_edge"):
        read_log(path)


# ---------------------------------------------------------------- the black box


@pytest.fixture(scope="module")
def box(recorded: tuple[bytes, Log], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    log = recorded[1]
    path = tmp_path_factory.mktemp("box") / "box.rtubox"
    with BlackBox(path, log.head, 40, shared=None) as opened:
        for record in log.records[:60]:
            opened.core.write(int(record["sequence"]), record.tobytes())
    return path.read_bytes(), log.records[20:60]


@fuzz
@given(st.data())
def test_a_box_that_is_damaged_anywhere(box: tuple[bytes, Any], data: st.DataObject) -> None:
    whole, records = box
    with file_of(data.draw(damaged(whole))) as path:
        try:
            found = blackbox.read(path)
        except ValueError as error:
            names_it(error, path)
            return
        known = {record.tobytes() for record in records}
        assert all(record.tobytes() in known for record in found.records)
        assert (np.diff(found.records["sequence"].astype(np.int64)) > 0).all()
        before = path.read_bytes()
        assert blackbox.settle(path) == 0 and path.read_bytes() == before


def with_text(data: bytes, text: bytes) -> bytes:
    """The black box with another text and a valid checksum."""
    head = data[:40] + struct.pack("<II", len(text), 0) + data[48:64] + text
    sealed = head[:44] + struct.pack("<I", zlib.crc32(head)) + head[48:]
    (first,) = struct.unpack_from("<I", data, 12)
    return sealed + data[len(sealed) :] if len(sealed) <= first else sealed


@fuzz
@given(st.data())
@example(None)
def test_a_box_of_any_text(box: tuple[bytes, Any], data: st.DataObject | None) -> None:
    """As written by another version or program; no file named in a text is removed."""
    text = json.loads(box[0][64 : 64 + struct.unpack_from("<I", box[0], 40)[0]])
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, "precious")
        other.write_bytes(b"not a tail")
        if data is None:
            changed = json.dumps({**text, "tail": str(other)}).encode()
        elif data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(text["head"])) | st.text(max_size=8))
            changed = json.dumps({"tail": str(other), "head": {**text["head"], key: data.draw(json_values)}}).encode()
        else:
            changed = data.draw(json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
        path = Path(folder, "box")
        path.write_bytes(with_text(box[0], changed))
        for read in (blackbox.read, blackbox.settle):
            try:
                read(path)
            except ValueError as error:
                names_it(error, path)
        assert other.read_bytes() == b"not a tail"


@fuzz
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"RTUBBOX\0" + data))
def test_any_bytes_are_no_box(data: bytes) -> None:
    with file_of(data) as path:
        for read in (blackbox.read, blackbox.settle):
            with pytest.raises(ValueError, match="black box"):
                read(path)


# ---------------------------------------------------------------- slots of checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ...]:
    """Distinguishable checkpoints."""
    path = tmp_path_factory.mktemp("saved") / "a.rtu"
    found = []
    for seed in range(5):
        rtu.StreamAC(1, 1, units=1, hidden=1, seed=seed).save(path)
        found.append(path.read_bytes())
    return tuple(found)


NAMES = ["checkpoint.rtu", *(f"checkpoint.{number}.rtu" for number in (1, 2, 3, 9, 10))]
FOREIGN = [
    "checkpoint.0.rtu",
    "checkpoint.007.rtu",
    "checkpoint.09.rtu",
    "checkpoint.-1.rtu",
    "checkpoint.٣.rtu",
    "checkpoint.x.rtu",
    "checkpoint.damaged-1.rtu",
    "checkpoint.1.rtu.bak",
    ".checkpoint.1.rtu",
    "notes.txt",
]


def contents(folder: Path) -> Counter[bytes]:
    return Counter(path.read_bytes() for path in folder.iterdir())


@st.composite
def folders(draw: Any, saved: tuple[bytes, ...]) -> dict[str, bytes]:
    whole = st.sampled_from(saved)
    any_state = whole | whole.flatmap(damaged) | st.binary(max_size=80)
    slots = draw(st.dictionaries(st.sampled_from(NAMES), any_state, max_size=5))
    return {**slots, **draw(st.dictionaries(st.sampled_from(FOREIGN), any_state, max_size=4))}


def is_whole(data: bytes) -> bool:
    try:
        checkpoint.read_text(data)
    except CheckpointError:
        return False
    return True


def of_another_version(data: bytes) -> bool:
    try:
        checkpoint.read_text(data)
    except checkpoint.DamagedError:
        return False
    except CheckpointError:
        return True
    return False


@fuzz
@given(st.data())
def test_a_folder_of_anything_gives_its_newest_whole_checkpoint(saved: tuple[bytes, ...], data: st.DataObject) -> None:
    files = data.draw(folders(saved))
    order = [name for name in [NAMES[0], *reversed(NAMES[1:])] if name in files]
    readable = next((name for name in order if is_whole(files[name]) or of_another_version(files[name])), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        slots = Slots(folder, keep=data.draw(st.integers(2, 4)))
        before = contents(folder)
        try:
            found = slots.newest()
        except CheckpointError as error:
            names_it(error, folder)
            assert readable is None or of_another_version(files[readable])
        else:
            assert found.path.name == readable and found.data == files[readable]
            assert len(found.notes) == order.index(readable)
        with contextlib.suppress(CheckpointError):
            slots.set_aside()
        assert contents(folder) == before
        foreign = {file: (folder / file).read_bytes() for file in FOREIGN if (folder / file).exists()}
        slots.save(saved[0])
        assert slots.newest().data == saved[0] and slots.newest().path == slots.current
        assert {file: (folder / file).read_bytes() for file in foreign} == foreign
