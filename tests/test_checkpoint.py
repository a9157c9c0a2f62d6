"""Slots of checkpoints, golden files of every version and host, refused files, and a run on a full disk."""

from __future__ import annotations

import errno
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge._base.errors import CheckpointError
from rtu_edge._base.files import Disk, write
from rtu_edge.config import parse_config
from rtu_edge.device.schema import Channel, DataSheet, Limits
from rtu_edge.learn import checkpoint, decode, restore
from rtu_edge.learn.checkpoint.slots import Slots
from rtu_edge.loop.supervisor import supervise

GOLDEN = Path(__file__).resolve().parent / "golden"
SHEET = DataSheet(
    0.02, (Channel("x", "m", -1, 1), Channel("theta", "rad", -1, 1)), (Channel("force", "N", -1, 1, actuator=True),)
)
LIMITS = [Limits(-1, 1, slew_per_s=float("inf"), accel_per_s2=float("inf"), rest=0)]


def made(seed: int) -> bytes:
    agent = rtu.StreamAC(1, 1, units=1, hidden=1, seed=seed)
    data: bytes = agent.core.save(checkpoint.encode_config(agent.config, {"steps": seed}))
    return data


# ---------------------------------------------------------------- golden files


@pytest.mark.arm
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("checkpoint_*.rtu")), ids=lambda path: path.stem)
def test_a_file_of_another_version_or_machine_is_read_and_gone_on_from(path: Path) -> None:
    """The state is bit-identical, and the next actions are those of the host that wrote it.

    Tolerance: instruction sets round sums in another order, and this learner, which learns from noise, lets a
    difference grow tenfold in 30 steps or fewer. In float32 it is 6e-8 at first and at most 6e-6 after 30 steps on five
    instruction sets; in float64 1e-16 at first and 2e-6 after 300. Allowed is 1e-4 of the action range; a section that
    is not restored causes 0.02 or more.
    """
    steps = 300 if path.stem.endswith("f64") else 30
    agent = rtu.load(path)
    with np.load(path.with_suffix(".npz")) as after:
        data = path.read_bytes()
        again = agent.core.save(checkpoint.encode_config(agent.config), checkpoint.read_beside(data))
        if data[8] == 5:
            assert again == data, "it goes back to the same bytes"
        else:
            means_the_same(agent, data)
            assert decode(again).state_hash() == agent.state_hash()
            assert (agent.config["observation_bound"] == 0.0) == (data[8] < 4), "as it was, before 4 without a bound"
        if data[8] == 4 and agent.dtype == np.float64:
            assert again[12:-4] == data[12:-4], "only the version differs"
        actions = agent.run(after["observations"], after["rewards"], after["terminated"])
        assert len(actions) == 300
        assert np.abs(actions - after["actions"])[:steps].max() <= 1e-4


def wide_sections(data: bytes) -> dict[str, np.ndarray]:
    """The sections of a file of format 1 to 4, from its bytes."""
    text, sections = struct.unpack_from("<I", data, 12)[0], struct.unpack_from("<I", data, 32)[0]
    at, found = 40 + text + 56 * sections, {}
    for name, code, matrix, rows, columns in struct.iter_unpack("<40sIIII", data[40 + text : at]):
        shape = (rows, columns) if matrix else (rows,)
        dtype = np.dtype({1: "<f4", 2: "<f8", 3: "<u8", 4: "<i4"}[code])
        found[name.rstrip(b"\0").decode()] = np.frombuffer(data, dtype, rows * columns, at).reshape(shape)
        at += dtype.itemsize * rows * columns
    return found


def means_the_same(agent: Any, data: bytes, pending: bool = False) -> None:
    """Every section is bit-identical; the running return, stored as a double, and before format 4 statistics equal the
    sum of two numbers of the learner's type, to 2^-47 or exactly.

    pending: the file was written in the middle of a step, with a pending weight step.
    """
    state, error = agent.state, 0.0 if agent.dtype == np.float64 else 2.0**-47
    for name, was in wide_sections(data).items():
        root, _, leaf = name.rpartition(".")
        if name == "scalars":
            value, high, halvings, low = state[name].astype(float)
            np.testing.assert_allclose([value, high + low, halvings, 0.0], was, rtol=error, atol=0)
            continue
        if data[8] == 4:
            np.testing.assert_array_equal(state[name], was)
            continue
        if f"{root}.mean_low" not in state and pending:
            continue
        if f"{root}.mean_low" not in state:
            np.testing.assert_array_equal(state[name], was)
        elif leaf == "count":
            assert state[name].tolist() == was.tolist()
        else:
            np.testing.assert_allclose(state[name].astype(float) + state[f"{name}_low"], was, rtol=error, atol=0)
    if data[8] < 4:
        assert state["observation.still"].tolist() == [1, 1], "both channels had moved from the second sample on"


@pytest.mark.arm
def test_the_supervisor_s_block_is_read_on_another_machine_and_goes_back_to_the_same_bytes() -> None:
    """Its snapshots too: their layout in memory depends on the instruction set."""
    path = GOLDEN / "checkpoint_v3_x86_64_f32.rtu"
    block = checkpoint.read_beside(path.read_bytes())
    config = parse_config("[device]\nplant = 'cartpole'\n")
    made = supervise(config, rtu.load(path).core.policy(), SHEET, LIMITS, state=block)
    assert struct.unpack_from("<II", block) == (1, 3), "two that survived and a candidate, laid out as before format 4"
    again = made.supervisor.state()
    assert struct.unpack_from("<II", again) == (3, 3) and again[8:720] == block[8:720]
    twin = supervise(config, rtu.load(path).core.policy(), SHEET, LIMITS, state=again)
    assert twin.supervisor.state() == again


def test_a_snapshot_of_an_older_file_is_what_its_learner_was() -> None:
    """The snapshots that a learner monitor would restore, including statistics."""
    path = GOLDEN / "checkpoint_v3_x86_64_f32.rtu"
    data = path.read_bytes()
    block, size = checkpoint.read_beside(data), struct.unpack_from("<Q", data, 24)[0]
    newest = block[720 + size : 720 + 2 * size]  # of two validated ones
    config = parse_config("[device]\nplant = 'cartpole'\n")
    agent = rtu.load(path)
    made = supervise(config, agent.core.policy(), SHEET, LIMITS, state=block)
    agent.core.adopt(made.supervisor.snapshot())
    assert newest != data[-len(block) - 4 - size : -len(block) - 4]
    means_the_same(agent, data[: -len(block) - 4 - size] + newest, pending=True)


# Statistics that a run of an earlier version may have saved: one reading of 1e31, of the largest float, of the
# largest double.
WILD = {"mean": (1e30, -3e38, 1e300, 0.0), "m2": (1e62, 1e77, 1.7e308, -0.0)}


@pytest.mark.hazard("observation-outlier")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("checkpoint_v[123]_x86_64*.rtu")), ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", range(4))
def test_a_learner_of_an_older_file_survives_what_one_wild_reading_left_there(kind: int, path: Path) -> None:
    """Its means are clamped to the range of readings, its sums of squares to values that can still be added to."""
    data = bytearray(path.read_bytes())
    at = 40 + struct.unpack_from("<I", data, 12)[0] + 56 * struct.unpack_from("<I", data, 32)[0]
    for name, array in wide_sections(bytes(data)).items():
        if (leaf := name.rpartition(".")[2]) in WILD and name.startswith(("observation.", "reward.")):
            data[at : at + array.nbytes] = struct.pack("<d", WILD[leaf][kind]) * array.size
        at += array.nbytes
    data[-4:] = struct.pack("<I", zlib.crc32(data[:-4]))
    agent = decode(bytes(data))
    if kind == 3:
        assert (agent.normalizer["scale"] == 0).all(), "without any deviation it was at rest"
    rng = np.random.default_rng(0)
    agent.reset(rng.normal(size=2).astype(agent.dtype))
    for _ in range(200):
        assert np.isfinite(agent.step(rng.normal(size=2).astype(agent.dtype), float(rng.normal()))).all()
    assert all(np.isfinite(array).all() for array in agent.state.values())


def test_there_are_golden_files_of_version_1_and_of_both_machines() -> None:
    names = {path.stem for path in GOLDEN.glob("checkpoint_*.rtu")}
    written = {
        f"checkpoint_v2_{architecture}_{dtype}" for architecture in ("x86_64", "aarch64") for dtype in ("f32", "f64")
    }
    written |= {f"checkpoint_v{version}_x86_64_{dtype}" for version in (4, 5) for dtype in ("f32", "f64")}
    assert names == {"checkpoint_v1_x86_64", "checkpoint_v3_x86_64_f32", *written}
    assert struct.unpack_from("<I", (GOLDEN / "checkpoint_v1_x86_64.rtu").read_bytes(), 8) == (1,)


# ---------------------------------------------------------------- slots


def test_the_newest_and_those_before_it(tmp_path: Path) -> None:
    slots = Slots(tmp_path, keep=3)
    for seed in range(5):
        slots.save(made(seed))
    assert slots.newest().data == made(4) == slots.current.read_bytes()
    assert [path.name for path in slots.older()] == ["checkpoint.4.rtu", "checkpoint.3.rtu"]
    assert [path.read_bytes() for path in slots.older()] == [made(3), made(2)]
    assert len(list(tmp_path.iterdir())) == 3
    assert checkpoint.read_text(made(4))[1] == {"steps": 4}


def test_where_the_file_system_knows_no_second_names_the_one_before_is_copied(tmp_path: Path) -> None:
    class Fat(Disk):
        def link(self, path: Path, other: Path) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    slots = Slots(tmp_path, 2, Fat())
    for seed in range(3):
        slots.save(made(seed))
    assert [path.read_bytes() for path in (slots.current, *slots.older())] == [made(2), made(1)]


def failing(call: str) -> Disk:
    """A disk on which one call fails, with the names that the system's own error would have."""

    def fail(*arguments: object) -> None:
        names = [str(name) for name in arguments if isinstance(name, Path)]
        first, second = [*names, None, None][:2]
        raise OSError(errno.ENOSPC, "No space left on device", first, None, second)

    disk = Disk()
    setattr(disk, call, fail)
    return disk


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path, call: str) -> None:
    """And not the unreferenced one next to it, which is removed."""
    path = tmp_path / "a.rtu"
    with pytest.raises(OSError, match="No space left") as caught:
        write(path, b"new", failing(call))
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    with pytest.raises(OSError, match="No space left") as caught:
        Slots(tmp_path, 2, failing(call)).save(made(1))
    assert caught.value.filename == str(tmp_path / "checkpoint.rtu")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.save(made(0))
    (tmp_path / ".checkpoint.rtu.0123456789ab").write_bytes(b"half")
    slots.save(made(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.1.rtu", "checkpoint.rtu"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros", "version", "empty"])
def test_a_damaged_newest_is_set_aside_and_the_one_before_is_taken(damage: str, tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.save(made(0))
    slots.save(made(1))
    whole = made(1)
    bad = {
        "cut": whole[:-7],
        "flipped": whole[:99] + bytes([whole[99] ^ 4]) + whole[100:],
        "zeros": bytes(len(whole)),
        "version": whole[:8] + b"\x09" + whole[9:],
        "empty": b"",
    }[damage]
    slots.current.write_bytes(bad)
    stored = slots.newest()
    assert (stored.path.name, stored.data) == ("checkpoint.1.rtu", made(0))
    assert str(slots.current) in stored.notes[0]
    assert slots.current.exists(), "reading alone moves nothing"
    (said,) = slots.set_aside()
    assert "set aside as checkpoint.damaged-1.rtu" in said
    assert (tmp_path / "checkpoint.damaged-1.rtu").read_bytes() == bad
    assert slots.set_aside() == []
    slots.save(made(2))
    assert [path.name for path in slots.older()] == ["checkpoint.1.rtu"]
    assert slots.newest().data == made(2)


def test_a_newer_version_is_refused_and_not_set_aside(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.save(made(0))
    slots.save(made(1))
    newer = slots.current.read_bytes()
    newer = newer[:8] + struct.pack("<I", 9) + newer[12:-4]
    slots.current.write_bytes(newer + struct.pack("<I", zlib.crc32(newer)))
    for look in (slots.newest, slots.set_aside):
        with pytest.raises(CheckpointError, match="version 9; this build reads version 1 to 5"):
            look()


def test_no_checkpoint_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no whole checkpoint there"):
        Slots(tmp_path).newest()
    (tmp_path / "checkpoint.rtu").write_bytes(b"RTUEDGE")
    with pytest.raises(CheckpointError, match="cut short"):
        Slots(tmp_path).newest()


def test_a_rollback_keeps_what_it_replaces(tmp_path: Path) -> None:
    slots = Slots(tmp_path, keep=3)
    for seed in range(3):
        slots.save(made(seed))
    was, now = slots.rollback()
    assert (was.name, now.name) == ("checkpoint.2.rtu", "checkpoint.3.rtu")
    assert (slots.current.read_bytes(), now.read_bytes()) == (made(1), made(2))
    assert slots.rollback("1")[0].name == "checkpoint.1.rtu"
    assert slots.current.read_bytes() == made(0)
    held = {path.read_bytes() for path in slots.older()}
    assert held == {made(0), made(1), made(2)}, "nothing is lost by rolling back"
    with pytest.raises(CheckpointError, match=r"slot = 9: must be one of those kept: 4, 3, 2, 1"):
        slots.rollback("9")


def test_the_run_s_part_is_no_part_of_the_configuration() -> None:
    agent = decode(made(3))
    assert "run" not in agent.config
    assert agent.config["units"] == 1


@pytest.mark.parametrize(
    ("name", "value"), [("observation.count", -1), ("observation.still", -1), ("observation.still", 3)]
)
def test_a_count_of_samples_that_cannot_be_is_refused(name: str, value: int) -> None:
    agent = rtu.StreamAC(2, 1, units=2, hidden=2, seed=1)
    agent.reset([0.0, 1.0])
    agent.step([0.5, 1.0], 1.0)
    good = agent.state
    bad = agent.copy()
    bad.core.set(name, np.full_like(good[name], value))
    data = bad.core.save(checkpoint.encode_config(agent.config))
    with pytest.raises(CheckpointError, match=name):
        restore(agent, data)
    assert all(np.array_equal(agent.state[key], good[key]) for key in good)
