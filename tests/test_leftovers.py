"""Files of a killed run in the memory file system: the next start merges them into the black box and
removes only them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
from click.testing import CliRunner

import rtu_edge.cli
from rtu_edge.record import RunFolder, blackbox, leftovers
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.head import Head

# A process that records and is killed: opens a given black box, writes a number of records, waits.
WRITER = """
import sys, time
from pathlib import Path
import logged, numpy as np
from rtu_edge.record.blackbox import BlackBox
log, _ = logged.by_hand(logged.config_of(), 10)
box = BlackBox(sys.argv[1], log.head, 100, shared=Path(sys.argv[2]))
for number in range(int(sys.argv[3])):
    record = np.zeros(1, log.head.dtype)
    record["sequence"] = number
    box.core.write(number, record.tobytes())
print(box.tail, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def head() -> Head:
    log, _ = logged.by_hand(logged.config_of(), 10)
    return log.head


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


def writer(box: Path, shared: Path, records: int = 40) -> tuple[subprocess.Popen[str], Path]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(box), str(shared), str(records)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def only_in_tail(box: Path) -> None:
    """Removes what the writer's thread had flushed to the disk."""
    first = int.from_bytes(box.read_bytes()[12:16], "little")
    with box.open("r+b") as file:
        file.seek(first)
        file.write(bytes(box.stat().st_size - first))


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.hazard("evidence-lost-in-memory")
@pytest.mark.parametrize("seen", [True, False])
def test_a_killed_runs_tail_goes_into_its_box_and_a_living_ones_stays(
    seen: bool, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its lock alone where the processes of others cannot be seen, as in a container."""
    if not seen:
        monkeypatch.setattr(leftovers, "_mapped", lambda tail: False)
    living, its_tail = writer(tmp_path / "living.rtubox", shared)
    try:
        process, tail = writer(tmp_path / "dead.rtubox", shared)
        assert leftovers.clear(shared) == 0 and tail.exists(), "both live"
        killed(process)
        box = tmp_path / "dead.rtubox"
        only_in_tail(box)
        assert leftovers.clear(shared) == 1
        assert not tail.exists() and its_tail.exists()
        found = blackbox.read(box)
        assert len(found.records) == 40 and found.from_tail == 0
    finally:
        killed(living)
    assert leftovers.clear(shared) == 1 and list(shared.iterdir()) == []


def test_a_tail_whose_box_is_gone_or_another_goes(tmp_path: Path, shared: Path, head: Head) -> None:
    for kept in (False, True):
        process, _ = writer(tmp_path / "box.rtubox", shared)
        killed(process)
        (tmp_path / "box.rtubox").unlink()
        if kept:
            BlackBox(tmp_path / "box.rtubox", head, 10, shared=None).close()
        before = (tmp_path / "box.rtubox").read_bytes() if kept else b""
        assert leftovers.clear(shared) == 1 and list(shared.iterdir()) == []
        assert not kept or (tmp_path / "box.rtubox").read_bytes() == before


def test_a_box_that_cannot_be_written_keeps_its_tail(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, tail = writer(tmp_path / "box.rtubox", shared)
    killed(process)

    def full(path: Path, shared: Path, over: bool) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(blackbox, "settle", full)
        assert leftovers.clear(shared) == 0 and tail.exists()
    assert leftovers.clear(shared) == 1


def test_a_box_on_a_file_system_without_locks(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS without a lock daemon: the tail's own lock shows that its run has ended."""
    process, tail = writer(tmp_path / "box.rtubox", shared)
    killed(process)
    only_in_tail(tmp_path / "box.rtubox")
    real = fcntl.flock

    def flock(handle: Any, operation: int) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        if os.readlink(f"/proc/self/fd/{number}").endswith(".rtubox"):
            raise OSError(errno.ENOLCK, "No locks available")
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert blackbox.settle(tmp_path / "box.rtubox", shared) == 0 and tail.exists(), (
        "it is unknown whether its run is alive"
    )
    assert leftovers.clear(shared) == 1 and not tail.exists()
    assert len(blackbox.read(tmp_path / "box.rtubox").records) == 40


@pytest.mark.hazard("evidence-lost-in-memory")
def test_only_what_is_ours_is_touched(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, a second name, a FIFO, a folder, another user's file, other names: all unchanged."""
    name = "rtu-edge-{:016x}.tail"
    victim = tmp_path / "victim"
    victim.write_bytes(b"x")
    (shared / name.format(1)).symlink_to(tmp_path / "other")
    (tmp_path / "other").write_bytes(b"x")
    os.link(victim, shared / name.format(2))
    os.mkfifo(shared / name.format(3))
    (shared / name.format(4)).mkdir()
    (shared / "rtu-edge-5.tail").write_bytes(b"x")
    (shared / "psm_12345").write_bytes(b"x")
    before = sorted(path.name for path in shared.iterdir())
    assert leftovers.clear(shared) == 0
    (shared / name.format(6)).write_bytes(b"x")
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert leftovers.clear(shared) == 0
    assert leftovers.clear(shared) == 1, "a regular file of ours that is no tail at all"
    assert sorted(path.name for path in shared.iterdir()) == before and victim.read_bytes() == b"x"
    assert leftovers.clear(tmp_path / "nowhere") == 0


def test_a_box_that_a_tail_names_is_a_file_of_ours(tmp_path: Path, shared: Path) -> None:
    """The tail names a link to a black box: not followed."""
    real = tmp_path / "real.rtubox"
    link = tmp_path / "link.rtubox"
    link.symlink_to(real)
    process, _ = writer(link, shared)
    killed(process)
    before = real.read_bytes()
    assert leftovers.clear(shared) == 1 and real.read_bytes() == before


def test_a_new_tail_is_not_taken_for_a_leftover(tmp_path: Path, shared: Path, head: Head) -> None:
    """Black boxes open while other processes clean up continuously: each keeps its tail."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    script = "from pathlib import Path\nfrom rtu_edge.record import leftovers\n"
    script += f"while True: leftovers.clear(Path({str(shared)!r}))"
    other = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        for number in range(150):
            box = BlackBox(tmp_path / f"{number}.rtubox", head, 4, shared=shared)
            assert box.tail is not None and box.tail.exists()
            box.close()
    finally:
        killed_pid = other.pid
        os.kill(killed_pid, signal.SIGKILL)
        other.wait()
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("how", ["run", "blackbox"])
def test_the_next_start_clears(how: str, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, tail = writer(tmp_path / "dead.rtubox", shared)
    killed(process)
    assert tail.exists()
    monkeypatch.setattr(blackbox, "SHARED_MEMORY", shared)
    monkeypatch.setattr(leftovers.clear, "__defaults__", (shared,))
    folder = RunFolder.create(tmp_path, "run")
    if how == "run":
        logged.run(folder, logged.config_of("run.steps=20", "log.mcap=false"))
    else:
        other = tmp_path / "other.rtubox"
        log, _ = logged.by_hand(logged.config_of(), 10)
        BlackBox(other, log.head, 10, shared=None).close()
        assert CliRunner().invoke(rtu_edge.cli.cli, ["blackbox", str(other)]).exit_code == 0
    assert not tail.exists() and len(blackbox.read(tmp_path / "dead.rtubox").records) == 40
    assert np.array_equal(blackbox.read(tmp_path / "dead.rtubox").records["sequence"], np.arange(40))
