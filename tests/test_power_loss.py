"""Power failure at any time: the old or the new checkpoint is read, never a mixture, never none (method:
power_loss.py).
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from power_loss import Operation, Recorder, after_power_loss
from toolchain import ROOT, preload, run

import rtu_edge as rtu
from rtu_edge._base.errors import CheckpointError
from rtu_edge._base.files import Disk, replaced, write
from rtu_edge.learn import checkpoint
from rtu_edge.learn.checkpoint.slots import Slots


def made(seed: int) -> bytes:
    """Some eighteen sectors."""
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, body="separate", seed=seed)
    data: bytes = agent.core.save(checkpoint.encode_config(agent.config, {"steps": seed}))
    assert len(data) > 18 * 512
    return data


DATA = [made(seed) for seed in range(5)]


class Unsynced(Disk):
    """For thousands of generated states."""

    def sync(self, handle: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


class NoLinks(Recorder):
    def link(self, path: Path, other: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")


class ForgetsTheFile(Recorder):
    def sync(self, handle: int) -> None:
        pass


class ForgetsTheFolder(Recorder):
    def sync_folder(self, path: Path) -> None:
        pass


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read(folder: Path) -> bytes | None:
    try:
        return Slots(folder).newest().data
    except CheckpointError:
        return None


Act = Callable[[Slots], None]


def faults(
    tmp_path: Path, disk: Recorder, saved: int, acts: list[tuple[Act, bytes]], keep: int = 2
) -> tuple[int, list[str]]:
    """Generate all states that actions on a folder of `saved` checkpoints may leave; number of states, and errors.

    Args:
        acts: the actions, and what must be read after each has returned.
    """
    folder, place = tmp_path / "recorded", tmp_path / "found"
    folder.mkdir()
    place.mkdir()
    slots = Slots(folder, keep, Unsynced())
    for data in DATA[:saved]:
        slots.save(data)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    promised = DATA[saved - 1] if saved else None
    ends: list[tuple[int, bytes | None, bytes]] = []
    for act, then in acts:
        act(Slots(folder, keep, disk))
        ends.append((len(disk.log), promised, then))
        promised = then
    count, wrong = 0, []
    for done, state in after_power_loss(before, disk.log, disk.data):
        count += 1
        # Completed actions are durable; the current one is either done or not.
        old, new = next(((old, new) for end, old, new in ends if done < end), (promised, promised))
        lay_out(place, state)
        got = read(place)
        if got not in (old, new):
            wrong.append(
                f"after {disk.log[:done][-1:]}: {'none' if got is None else 'another one'} read from {sorted(state)}"
            )
            continue
        Slots(place).set_aside() if got is not None else None
        Slots(place, keep, Unsynced()).save(DATA[4])
        if read(place) != DATA[4]:
            wrong.append(f"after {disk.log[:done][-1:]}: nothing can be saved any more")
    return count, wrong


def save(number: int) -> tuple[Act, bytes]:
    return (lambda slots: slots.save(DATA[number])), DATA[number]


@pytest.mark.parametrize("disk", [Recorder, NoLinks])
@pytest.mark.parametrize("saved", [0, 1, 2])
def test_the_old_or_the_new_checkpoint(
    saved: int, disk: type[Recorder], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two consecutive saves, so that unsynced data of the first is present during the second."""
    count, wrong = faults(tmp_path, disk(), saved, [save(saved), save(saved + 1)])
    record_property("table", f"{count} states after {saved} saves and during two more")
    assert count > 100
    assert wrong == []


def test_a_rollback_is_as_safe(tmp_path: Path) -> None:
    def rollback(slots: Slots) -> None:
        slots.rollback()

    count, wrong = faults(tmp_path, Recorder(), 3, [(rollback, DATA[1])], keep=3)
    assert count > 50
    assert wrong == []


def test_setting_aside_loses_nothing(tmp_path: Path) -> None:
    folder, place = tmp_path / "recorded", tmp_path / "found"
    folder.mkdir()
    place.mkdir()
    for number in range(2):
        Slots(folder).save(DATA[number])
    damaged = DATA[1][:-9]
    Slots(folder).current.write_bytes(damaged)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    disk = Recorder()
    assert Slots(folder, 2, disk).set_aside()
    for _, state in after_power_loss(before, disk.log, disk.data):
        lay_out(place, state)
        assert read(place) == DATA[0]


@pytest.mark.parametrize("forgetful", [ForgetsTheFile, ForgetsTheFolder])
def test_a_writer_that_leaves_a_sync_out_is_found_out(forgetful: type[Recorder], tmp_path: Path) -> None:
    _, wrong = faults(tmp_path, forgetful(), 2, [save(2)])
    assert wrong


def test_a_writer_that_writes_in_place_is_found_out(tmp_path: Path) -> None:
    disk = Recorder()

    def in_place(slots: Slots) -> None:
        disk.unlink(slots.current)
        handle = disk.create(slots.current)
        disk.write(handle, DATA[1])
        disk.sync(handle)
        disk.close(handle)
        disk.sync_folder(slots.folder)

    _, wrong = faults(tmp_path, disk, 1, [(in_place, DATA[1])])
    assert wrong


def test_a_single_file_is_replaced_whole(tmp_path: Path) -> None:
    """files.write(), for learner.save() and a run's configuration."""
    path = tmp_path / "a.rtu"
    path.write_bytes(DATA[0])
    disk = Recorder()
    write(path, DATA[1], disk)
    states = list(after_power_loss({"a.rtu": DATA[0]}, disk.log, disk.data))
    assert {state["a.rtu"] for _, state in states} == {DATA[0], DATA[1]}
    assert {state["a.rtu"] for done, state in states if done == len(disk.log)} == {DATA[1]}


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A device such as /dev/null keeps its name, and so does /dev/stdout."""
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    (tmp_path / "a").write_bytes(DATA[0])
    with (tmp_path / "a").open("rb") as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        for path in (pipe, link):
            with pytest.raises(OSError, match="not a regular file"):
                write(path, DATA[1])
            with pytest.raises(OSError, match="not a regular file"), replaced(path):
                pytest.fail("it is refused before anything is written")
        assert link.is_symlink()
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        write(tmp_path, DATA[1])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "pipe", "stdout"]


SEEN = """
import json, sys
from pathlib import Path
from power_loss import Recorder
from rtu_edge.learn.checkpoint.slots import Slots
folder, *files = map(Path, sys.argv[1:])
disk = Recorder()
for file in files:
    Slots(folder, 2, disk).save(file.read_bytes())
print(json.dumps(disk.log))
"""


def test_what_is_recorded_is_what_the_kernel_saw(tmp_path: Path) -> None:
    folder, log = tmp_path / "folder", tmp_path / "log"
    folder.mkdir()
    files = [tmp_path / f"{number}" for number in range(4)]
    for file, data in zip(files, DATA, strict=False):
        file.write_bytes(data)
    environment = {
        **os.environ,
        "LD_PRELOAD": str(preload("disk_log")),
        "DISK_LOG": str(log),
        "DISK_LOG_FOLDER": str(folder),
        "PYTHONPATH": str(ROOT / "tests"),
    }
    recorded: list[Operation] = json.loads(run(sys.executable, "-c", SEEN, folder, *files, env=environment))
    seen = [line.split() for line in log.read_text().splitlines()]
    assert seen == [[str(word) for word in operation] for operation in recorded]
    kinds = [line[0] for line in seen]
    assert kinds[-7:] == ["create", "write", "sync", "link", "rename", "sync_folder", "unlink"]
