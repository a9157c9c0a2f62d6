"""The black box: its contents after a crash, a truncation, or a partial write."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest

import rtu_edge.cli
from rtu_edge import _core, _testing
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Link, Loop, LoopConfig
from rtu_edge.record import RunFolder, blackbox
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.head import Head
from rtu_edge.record.reader import read_log
from rtu_edge.run import replay


@pytest.fixture(scope="module")
def head() -> Head:
    log, _ = logged.by_hand(logged.config_of(), 10)
    return log.head


def records_of(head: Head, count: int) -> Any:
    records = np.zeros(count, head.dtype)
    records["sequence"] = np.arange(count)
    records["t_ns"] = np.arange(count) * 20_000_000
    records["x"] = np.random.default_rng(0).normal(size=(count, 2))
    return records


def filled(path: Path, head: Head, slots: int, records: Any, **options: Any) -> BlackBox:
    box = BlackBox(path, head, slots, **options)
    for record in records:
        box.core.write(int(record["sequence"]), record.tobytes())
    return box


def test_it_holds_the_last_records_in_order(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 250)
    for count in (0, 1, 99, 100, 101, 250):
        path = tmp_path / f"{count}.rtubox"
        filled(path, head, 100, records[:count]).close()
        found = blackbox.read(path)
        assert found.records.tobytes() == records[max(0, count - 100) : count].tobytes()
        assert (found.torn, found.missing, found.from_tail) == (0, 0, 0)
        assert found.head == head


def test_before_it_is_carried_the_tail_has_it(tmp_path: Path, head: Head) -> None:
    """As after a crash: not closed."""
    records = records_of(head, 80)
    path = tmp_path / "box.rtubox"
    box = filled(path, head, 100, records)
    try:
        found = blackbox.read(path)
        assert found.records.tobytes() == records.tobytes() and found.from_tail > 0
        assert box.tail is not None and box.tail.is_file()
        assert blackbox.settle(path) == 0 and box.tail.is_file()  # the writer still runs: not touched
    finally:
        box.close()
    assert not box.tail.is_file()
    assert blackbox.read(path).records.tobytes() == records.tobytes()


def test_a_tail_of_another_box_is_not_believed(tmp_path: Path, head: Head) -> None:
    first, second = tmp_path / "first.rtubox", tmp_path / "second.rtubox"
    one = filled(first, head, 50, records_of(head, 5))
    two = filled(second, head, 50, records_of(head, 9))
    assert one.tail is not None and two.tail is not None
    one.tail.write_bytes(two.tail.read_bytes())
    logged.wait(lambda: len(blackbox.read(first).records) == 5 or one.core.error != 0)
    assert blackbox.read(first).from_tail == 0
    one.close()
    two.close()


def test_whatever_is_torn_is_left_out_and_counted(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 130)
    path = tmp_path / "box.rtubox"
    filled(path, head, 100, records).close()
    data = path.read_bytes()
    first, slot = struct.unpack_from("<II", data, 12)
    whole = {record.tobytes() for record in records}
    rng = random.Random(3)
    for _ in range(60):
        other = bytearray(data)
        hit = rng.sample(range(100), rng.randrange(1, 20))
        for index in hit:
            at = first + index * slot + rng.randrange(12)  # the sequence or the CRC
            if rng.random() < 0.7:
                at = first + index * slot + 16 + rng.randrange(slot - 16)
            other[at] ^= 1 << rng.randrange(8)
        path.write_bytes(other)
        found = blackbox.read(path)
        assert found.torn == len(hit) and len(found.records) == 100 - len(hit)
        assert all(record.tobytes() in whole for record in found.records)
        assert (np.diff(found.records["sequence"].astype(int)) > 0).all()


def test_a_box_cut_at_any_byte_gives_its_whole_slots(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 60)
    path = tmp_path / "box.rtubox"
    filled(path, head, 60, records).close()
    data = path.read_bytes()
    first, slot = struct.unpack_from("<II", data, 12)
    head_ends = 64 + int.from_bytes(data[40:44], "little")
    for cut in [head_ends - 1, head_ends, first - 1, *range(first, first + 3 * slot), *range(0, len(data), 37)]:
        path.write_bytes(data[:cut])
        if cut < head_ends:
            with pytest.raises(ValueError, match=re.escape(str(path))):
                blackbox.read(path)
            continue
        assert blackbox.read(path).records.tobytes() == records[: max(0, cut - first) // slot].tobytes()


@pytest.mark.parametrize("at", [0, 9, 13, 20, 30, 47, 200])
def test_a_damaged_header_is_refused(tmp_path: Path, head: Head, at: int) -> None:
    path = tmp_path / "box.rtubox"
    filled(path, head, 10, records_of(head, 4)).close()
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"not a black box|of version|is damaged"):
        blackbox.read(path)


def test_no_room_is_said_before_arming(tmp_path: Path, head: Head) -> None:
    with pytest.raises(OSError, match=r"box\.rtubox"):
        BlackBox(tmp_path / "box.rtubox", head, 1 << 50)
    with pytest.raises(OSError, match="nowhere"):
        BlackBox(tmp_path / "nowhere" / "box.rtubox", head, 10)


def test_a_closed_box_takes_nothing(tmp_path: Path, head: Head) -> None:
    box = BlackBox(tmp_path / "box", head, 10)
    box.close()
    with pytest.raises(ValueError, match="closed"):
        box.core.write(0, bytes(head.record_bytes))
    with SimulatedDevice() as device, open_port(device.port) as opened, Link(opened) as link:
        link.handshake()
        config = LoopConfig(steps=5, black_box=box)
        loop = Loop(link, _testing.LinearPolicy(2, [0.0]).policy(), config)
        with pytest.raises(ValueError, match="closed"):
            loop.start()


def test_without_shared_memory_it_still_records(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 20)
    path = tmp_path / "box.rtubox"
    box = filled(path, head, 50, records, shared=None)
    assert box.tail is None
    box.close()
    assert blackbox.read(path).records.tobytes() == records.tobytes()


# Run alone: each start of rtu-edge on this host recovers the tails of killed runs.
@pytest.mark.timing
@pytest.mark.alone
@pytest.mark.parametrize("moment", range(3))
def test_a_killed_run_leaves_its_last_steps(tmp_path: Path, moment: int, capfd: pytest.CaptureFixture[str]) -> None:
    """kill -9 in the middle of a run: the black box has everything up to the last record, the log replays to its last
    chunk.
    """
    robot = tmp_path / "robot.toml"
    robot.write_text(
        logged.SMALL + f'[run]\nfolder = "{tmp_path}"\nsteps = 100_000_000\n[log]\nblackbox_minutes = 20\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "rtu_edge.cli", "run", str(robot)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    folder = RunFolder(tmp_path / "robot")
    log, box = folder.file(RunFolder.LOG), folder.file(RunFolder.BLACKBOX)
    try:
        logged.wait(lambda: log.is_file() and log.stat().st_size > 200_000, 60)
        logged.wait(lambda: len(blackbox.read(box).records) > 5000, 60)
        time.sleep(0.1 + 0.237 * moment)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = blackbox.read(box)
    assert found.missing == 0 and found.torn <= 1 and len(found.records) > 5000
    logged_run = read_log(log)
    assert logged_run.cut and logged_run.end is None
    # The log ends at most a chunk and a polling interval earlier; the black box has the last record.
    assert found.records["sequence"][-1] >= logged_run.records["sequence"][-1] > 1000
    replayed = replay.verify(logged_run)
    assert replayed.difference is None and replayed.records == len(logged_run.records)
    assert replayed.hashes >= replayed.records // 100
    same = np.intersect1d(found.records["sequence"], logged_run.records["sequence"])
    assert len(same) > 1000 or len(found.records) == 60_000
    at = int(same[-1]) if len(same) else 0
    if len(same):
        assert found.records[found.records["sequence"] == at].tobytes() == logged_run.records[at : at + 1].tobytes()
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(
            ["blackbox", str(folder.path), "--export", str(tmp_path / "box.mcap"), "--plot", str(tmp_path / "box.png")]
        )
    assert leaving.value.code == 0
    said = capfd.readouterr().out
    assert "0 missing" in said
    # Recovered: only the file has it now, and no tail is left in memory.
    tail = json.loads(box.read_bytes()[64 : 64 + struct.unpack_from("<I", box.read_bytes(), 40)[0]])["tail"]
    assert tail and not Path(tail).exists()
    assert blackbox.read(box).records.tobytes() == found.records.tobytes() and blackbox.read(box).from_tail == 0
    assert ("the run crashed" in said) == (found.from_tail > 0)
    assert read_log(tmp_path / "box.mcap").records.tobytes() == found.records.tobytes()
    assert (tmp_path / "box.png").stat().st_size > 10_000


def test_the_command_refuses_what_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"x" * 100)
    for arguments in ([str(other)], [str(tmp_path)], [str(other), "--export", "x.csv"]):
        with pytest.raises(SystemExit) as leaving:
            rtu_edge.cli.main(["blackbox", *arguments])
        assert leaving.value.code == 2
        assert "Traceback" not in capfd.readouterr().err
    assert _core.black_box_version == 1
