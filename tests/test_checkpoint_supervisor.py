"""The supervisor's block of a checkpoint: a supervised learner resumes bit for bit after any action of the learner
monitor; refused blocks.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

import rtu_edge as rtu
from benchmarks import faults
from rtu_edge._base.errors import CheckpointError
from rtu_edge.config import parse_config
from rtu_edge.learn import checkpoint, decode
from rtu_edge.loop.supervisor import Supervised, supervise

KEYS = (
    "learner_monitor.snapshot_steps=60",
    "learner_monitor.validation_steps=30",
    "learner_monitor.td_error=6.0",
    "learner_monitor.td_warmup=150",
)
EPISODES = 40
ILL = {12: "critic", 13: "critic", 25: "actor"}  # in these episodes a network's weights are overwritten
HEAD = 8 + 584 + 128  # docs/checkpoint.md


def watched(agent: Any, *keys: str, state: bytes = b"") -> Supervised:
    config = parse_config("[device]\nplant = 'cartpole'\n", [*KEYS, *keys])
    return supervise(config, agent.core.policy(), faults.SHEET, faults.LIMITS, state=state)


class Run:
    """A supervised learner from one episode to another; a checkpoint at the end of each, and the commands."""

    def __init__(self, data: bytes | None, first: int, keys: tuple[str, ...]) -> None:
        self.agent: Any = rtu.StreamAC(2, 1, units=3, hidden=[3], seed=1) if data is None else decode(data)
        state = b"" if data is None else checkpoint.read_beside(data)
        self.supervised = watched(self.agent, *keys, state=state)
        self.saved: list[bytes] = []
        self.commands: list[list[float]] = []
        rig = None
        for episode in range(first, EPISODES):
            if rig is None:
                rig = faults.Rig(self.supervised.policy, episode, max_steps=100)
            else:
                rig.reset()
            self.commands.append(self.episode(rig, episode))
            text = checkpoint.encode_config(self.agent.config)
            self.saved.append(self.agent.core.save(text, self.supervised.supervisor.state()))

    def episode(self, rig: faults.Rig, episode: int) -> list[float]:
        commands: list[float] = []
        over = False
        while not over:
            if len(commands) == 5 and episode in ILL and not self.supervised.supervisor.frozen:
                faults.overwrite(np.nan, f"{ILL[episode]}.head.weight")(self.agent)
            command, over = rig.tick()
            commands.append(command)
        return commands


@pytest.mark.parametrize(
    ("keys", "frozen"),
    [
        (("learner_monitor.max_rollbacks=1000",), False),
        (("learner_monitor.max_rollbacks=0",), True),
        (("learner_monitor.max_rollbacks=1000", "learner_monitor.rate_window=200", "learner_monitor.rate=0.3"), False),
    ],
    ids=["returns", "frozen", "rate"],
)
def test_from_the_end_of_any_episode_it_goes_on_to_the_bit(keys: tuple[str, ...], frozen: bool) -> None:
    whole = Run(None, 0, keys)
    assert whole.supervised.supervisor.frozen == frozen
    counted = whole.supervised.policy.counters()
    assert counted["rollbacks"] >= (1 if frozen else 3)
    assert counted["snapshots_validated"] >= 1
    for after in range(0, EPISODES - 1, 3):
        cut = Run(whole.saved[after], after + 1, keys)
        assert cut.commands == whole.commands[after + 1 :]
        assert cut.saved == whole.saved[after + 1 :], "learner, counters and snapshots, at the end of each episode"
        assert cut.supervised.supervisor.frozen == frozen
        assert cut.supervised.policy.counters()["monitor_frozen"] == frozen


def test_without_the_block_it_goes_elsewhere() -> None:
    """The test above can fail."""
    whole = Run(None, 0, ("learner_monitor.max_rollbacks=1000",))
    bare = decode(whole.saved[12])
    cut = Run(bare.core.save(checkpoint.encode_config(bare.config)), 13, ("learner_monitor.max_rollbacks=1000",))
    assert cut.commands != whole.commands[13:]


@pytest.fixture(scope="module")
def saved() -> bytes:
    """With two validated snapshots and a candidate."""
    return next(
        data for data in Run(None, 0, ()).saved if struct.unpack_from("<I", checkpoint.read_beside(data), 4) == (3,)
    )


def test_who_reads_the_learner_alone_skips_it(saved: bytes) -> None:
    assert struct.unpack_from("<I", saved, 8) == (5,)
    agent = decode(saved)
    alone = agent.core.save(checkpoint.encode_config(agent.config))
    assert struct.unpack_from("<I", alone, 8) == (5,)
    assert checkpoint.read_beside(alone) == b""
    assert decode(alone).state_hash() == agent.state_hash()


def test_a_monitor_that_keeps_fewer_forgets_the_oldest(saved: bytes) -> None:
    block = checkpoint.read_beside(saved)
    agent = decode(saved)
    same = watched(agent, state=block).supervisor
    assert same.state() == block
    fewer = watched(decode(saved), "learner_monitor.snapshots=1", state=block).supervisor
    assert fewer.snapshot() == same.snapshot()
    assert len(fewer.state()) == HEAD + (len(block) - HEAD) // 3 * 2
    off = watched(decode(saved), "learner_monitor.enabled=false", state=block).supervisor
    assert off.snapshot() == b""


def test_a_block_that_is_not_sound_is_refused_and_changes_nothing(saved: bytes) -> None:
    block = checkpoint.read_beside(saved)
    fresh = watched(decode(saved)).supervisor
    before = fresh.state()

    def changed(at: int, layout: str, value: float) -> bytes:
        return block[:at] + struct.pack(layout, value) + block[at + struct.calcsize(layout) :]

    monitor = 8 + 584
    bad = {
        "version": changed(0, "<I", 4),
        "more snapshots": changed(4, "<I", 10),
        "halvings": changed(monitor - 4, "<i", -1),
        "td_scale": changed(monitor + 24, "<d", float("nan")),
        "scan_row": changed(monitor + 48, "<Q", 1 << 63),
        "n_good": changed(monitor + 88, "<i", 3),
        "scan_section": changed(monitor + 104, "<i", -1),
        "weight_section": changed(monitor + 108, "<i", 10_000),
        "snapshot": block[:-8] + struct.pack("<d", float("nan")),
        "another learner": block[:-4],
    }
    for name, data in [*bad.items(), *((f"cut at {n}", block[:n]) for n in range(HEAD))]:
        with pytest.raises(ValueError, match=r"cut short|version|snapshot|range|another learner"):
            fresh.restore(data)
        assert fresh.state() == before, name
    with pytest.raises(CheckpointError, match="the supervisor's block of the checkpoint: cut short"):
        watched(decode(saved), state=block[:9])


def test_whatever_is_accepted_is_gone_on_from(saved: bytes) -> None:
    """Any bit of the head flipped: refused, or a supervisor that continues to run."""
    block = checkpoint.read_beside(saved)
    accepted = 0
    for bit in range(HEAD * 8):
        flipped = bytearray(block)
        flipped[bit // 8] ^= 1 << bit % 8
        agent = decode(saved)
        try:
            made = watched(agent, state=bytes(flipped))
        except CheckpointError:
            continue
        accepted += 1
        rig = faults.Rig(made.policy, 0, max_steps=5)
        while not rig.tick()[1]:
            pass
    assert accepted > 1000
