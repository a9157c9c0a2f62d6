"""The learner monitor of docs/firmware_learner.md: on the emulated Cortex-M4F, and its host build."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from qemu import PREFIX, Board, count_learner, size_of
from test_qemu_learner import RECORDED_WITH, SEED
from toolchain import build, run, sections, tool

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.hil.learner import SHARED_SETTINGS, BoardLearner, LearnerStatus
from rtu_edge.loop import MonitorFlag

PLAIN, NAME = "tl_stm32f405_learner_shared", "tl_stm32f405_learner_shared_monitored"
RECORD = 26_854  # instructions of a control step, as in test_qemu_learner.py; 23 592 without the monitor
VALIDATED_AT = 1500  # control steps: the snapshot is taken at 1000
NAN = struct.pack("<f", float("nan"))


def offset(section: str, element: int) -> int:
    """Of a float in the board's memory: after all 64-bit numbers."""
    sections = rtu.footprint("stream_ac", **SHARED_SETTINGS).sections
    before = element
    for name, dtype, shape, _ in sections:
        if name == section:
            break
        before += math.prod(shape) if dtype == "float32" and not name.endswith(("y1", "y2")) else 0
    return 8 * sum(math.prod(shape) for _, dtype, shape, _ in sections if dtype == "uint64") + 4 * before


HALVINGS = offset("scalars", 2)
# Floats that no episode's beginning overwrites: a weight, a statistic, a pole.
FLOATS = (offset("body.layer0.weight", 200), offset("observation.m2", 1), offset("body.cell.nu_log", 8))


@pytest.fixture(scope="module")
def image() -> Path:
    return build("cortex-m4", "tl_stm32f405", PLAIN, NAME) / f"{NAME}.elf"


@pytest.fixture(scope="module")
def learner_host() -> Path:
    return build("release", "cortex_learner_host_shared") / "cortex_learner_host_shared"


@pytest.fixture
def learner(image: Path) -> Iterator[BoardLearner]:
    with Board(image) as board, BoardLearner(board.port) as learner:
        learner.init(SEED)
        yield learner


def last(learner: BoardLearner, steps: int) -> LearnerStatus:
    return list(learner.run(steps))[-1]


def patched(memory: bytes, at: int, what: bytes) -> bytes:
    return memory[:at] + what + memory[at + len(what) :]


def test_a_memory_that_is_not_finite_is_found_and_rolled_back(learner: BoardLearner) -> None:
    """A damaged upload: the learner continues from the snapshot of before, to the bit, with half its step size."""
    before = learner.download()
    with pytest.raises(ConfigError, match=f"4 bytes: the board's learner has {len(before)}"):
        learner.upload(bytes(4))
    last(learner, 5)
    five = learner.download()
    learner.upload(patched(five, FLOATS[0], NAN))
    status = last(learner, 6)
    assert status.monitored and not status.frozen
    assert (status.findings, status.rollbacks) == (MonitorFlag.NON_FINITE, 1)
    last(learner, 7)
    rolled_back = learner.download()

    learner.upload(before)
    learner.init(SEED)  # whatever was uploaded before
    last(learner, 5)
    assert learner.download() == five

    learner.init(SEED)
    learner.upload(patched(before, HALVINGS, struct.pack("<f", 1.0)))
    assert last(learner, 1).findings == 0
    assert learner.download() == rolled_back


def test_after_too_many_rollbacks_the_learner_is_frozen(learner: BoardLearner) -> None:
    """A NaN, found at once or by the scan, which sees every float in as many updates as there are parts of 32."""
    memory = learner.download()
    for count, at in enumerate(FLOATS, start=1):
        steps = learner.status().steps
        learner.upload(patched(memory, at, NAN))
        status = last(learner, steps + len(memory) // (4 * 32) + 1)
        assert (status.rollbacks, status.frozen) == (count, False), at
    learner.upload(patched(memory, FLOATS[0], NAN))
    assert last(learner, 1_000_000).frozen
    assert not next(learner.run(1_000_000)).running
    with pytest.raises(DeviceError, match="does not drive: it is frozen"):
        next(learner.drive())
    learner.upload(memory)
    with contextlib.closing(learner.drive()) as statuses:
        assert not next(statuses).frozen
    assert not last(learner, learner.status().steps + 20).frozen


def test_without_a_finding_the_bits_are_those_without_the_monitor(
    learner: BoardLearner, learner_host: Path, tmp_path: Path
) -> None:
    run(learner_host, "run", SEED, VALIDATED_AT, tmp_path / "memory")
    assert last(learner, VALIDATED_AT - 1).validated == 0
    status = last(learner, VALIDATED_AT)
    assert (status.findings, status.rollbacks, status.validated) == (0, 0, 1)
    assert learner.download() == (tmp_path / "memory").read_bytes()


@pytest.mark.parametrize(
    ("spoilt", "found", "steps"),
    [("critic", MonitorFlag.TD_ERROR, range(1, 3)), ("actor", MonitorFlag.SATURATED, range(400, 501))],
)
def test_td_errors_and_saturation_are_found(learner_host: Path, spoilt: str, found: MonitorFlag, steps: range) -> None:
    """On the host: 500 actions at the same end, those before an episode's first step included."""
    words = run(learner_host, "fault", SEED, spoilt).split()
    assert int(words[0]) == found and int(words[1]) in steps
    assert words[2:] == ["1", "1", "1"]  # one validated snapshot, one halving, the snapshot's bits


def test_what_the_monitor_costs(image: Path, tmp_path: Path) -> None:
    """The snapshot, and less than 300 bytes; instructions within 1 % with the compiler of the record."""
    plain = image.with_name(f"{PLAIN}.elf")
    ram = sections(image, PREFIX)[".bss"] - sections(plain, PREFIX)[".bss"]
    assert 0 < ram - size_of(image, "tl_learner_memory") < 300
    tolerance = 0.01 if run(tool(PREFIX + "gcc"), "-dumpversion").startswith(RECORDED_WITH) else 0.15
    assert count_learner(image, 2, 200, tmp_path).median()[0] == pytest.approx(RECORD, rel=tolerance)
