"""Runs with a log, for tests of log, black box and replay."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rtu_edge as rtu
from rtu_edge import _core
from rtu_edge import run as job
from rtu_edge.config import Config, canonical, config_hash, parse_config
from rtu_edge.device.plants import Plant
from rtu_edge.learn.checkpoint import encode_config
from rtu_edge.loop import CallFlag, LoopResult, RecordFlag
from rtu_edge.record import RunFolder
from rtu_edge.record.file import build_id
from rtu_edge.record.head import Head, fields_of
from rtu_edge.record.reader import Log
from rtu_edge.run import RunResult
from rtu_edge.run.recording import Recording

Array = npt.NDArray[Any]

SMALL = '[device]\nplant = "cartpole"\n[loop]\nclock = "lockstep"\n[learner]\nunits = 8\nhidden = [8]\n'


def config_of(*changes: str) -> Config:
    return parse_config(SMALL, changes)


@dataclass
class Kept:
    """The complete output of a loop, and its metadata."""

    finished: RunResult
    records: Array
    episodes: Array

    @property
    def result(self) -> LoopResult:
        return self.finished.result


class Keep:
    """A watch that stores everything."""

    def __init__(self) -> None:
        self.records: list[Array] = []
        self.episodes: list[Array] = []

    def __call__(self, status: Any, records: Array, episodes: Array) -> None:
        self.records.append(records)
        self.episodes.append(episodes)

    def of(self, finished: RunResult) -> Kept:
        return Kept(finished, np.concatenate(self.records), np.concatenate(self.episodes))


def run(
    folder: RunFolder,
    config: Config,
    agent: Any = None,
    supervised: bool = False,
    keep: Keep | None = None,
    **changes: Any,
) -> tuple[Kept, Any]:
    """One session of a simulated device in lockstep, logged as by `rtu-edge run`; `keep` is told of its progress."""
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(job.connect(config))
        agent = job.make_agent(config, device.sheet) if agent is None else agent
        recording = stack.enter_context(Recording(config, device, agent, folder))
        loop = job.loop_config(config, device, **changes)
        policy = job.supervised(config, device, agent, loop).policy if supervised else None
        keep = Keep() if keep is None else keep
        finished = job.run_loop(device, agent, loop, keep, policy=policy, recording=recording)
        assert recording.notes == []
    return keep.of(finished), agent


# Fills the records: learner, head, plant, records.
Drive = Callable[[Any, Head, Plant, Array], None]


def by_hand(
    config: Config, steps: int, *, seed: int = 0, hash_every: int = 100, drive: Drive | None = None
) -> tuple[Log, Any]:
    """A log made without the native loop: the learner driven from Python, through all kinds of events.

    Updates dropped, actions overridden, learning off and on again, episodes ended both ways; `drive` does so for a
    supervised learner.
    """
    plant = Plant("cartpole")
    sheet = plant.sheet
    dtype = _core.record_dtype(sheet.observation_size, sheet.action_size)
    head = Head(
        version=rtu.__version__,
        build=build_id(),
        isa=_core.isa,
        host="",
        configuration=canonical(config),
        configuration_hash=config_hash(config),
        learner={},
        checkpoint_format=_core.checkpoint_version,
        start_hash="",
        period_s=sheet.period_s,
        observations=list(sheet.observations),
        actuators=list(sheet.actuators),
        limits=[(-10.0, 10.0, 0.0, 0.0, 0.0)],
        supervised=drive is not None,
        simulated=True,
        command_limiter=True,
        session=1,
        clock="lockstep",
        hash_every=hash_every,
        record=fields_of(dtype),
        record_bytes=dtype.itemsize,
        epoch_ns=0,
        started="",
    )
    agent = job.make_agent(config, head.sheet)
    values = {name: getattr(head, name) for name in head.__struct_fields__}
    head = Head(**{**values, "learner": agent.config, "start_hash": agent.state_hash()})
    log = Log(Path("by-hand"), head, agent.core.save(encode_config(agent.config)))
    log.records = np.zeros(steps, dtype)
    if drive is not None:
        drive(agent, head, plant, log.records)
    else:
        _drive(agent, plant, log.records, np.random.default_rng(seed), hash_every)
    log.end = {"state_hash": agent.state_hash()}
    return log, agent


def _drive(agent: Any, plant: Plant, records: Array, rng: np.random.Generator, hash_every: int) -> None:
    x, reward, terminated, truncated, first, episode = plant.reset(seed=1)[0], 0.0, False, False, True, 1
    chosen, applied = 0.0, 0.0
    for number, record in enumerate(records):
        calls = CallFlag.PREDICT
        flags = RecordFlag.FIRST if first else RecordFlag(0)
        if first:
            agent.core.begin()
            calls |= CallFlag.BEGIN
        learning = (number // 700) % 5 != 3
        if learning:
            calls |= CallFlag.EXPLORE
        given = None if first else action_of(agent, applied)
        action = agent.predict(x, deterministic=not learning, reward=None if first else reward, applied=given)
        over = terminated or truncated
        flags |= (RecordFlag.TERMINATED * terminated) | (RecordFlag.TRUNCATED * truncated)
        if learning:
            overridden = not first and applied != chosen
            update = bool(rng.random() > 0.1)
            given = action_of(agent, applied) if overridden else None
            agent.core.update(reward, terminated, truncated, given, update)
            calls |= CallFlag.LEARN | CallFlag.APPLIED * overridden | CallFlag.WEIGHTS * update
            flags |= RecordFlag.LEARNED * (not first)
        record["applied"] = applied
        chosen = float(_command_of(agent, action))
        if not over:
            flags |= RecordFlag.ACTED
        record["sequence"], record["step"], record["x"], record["u"] = number, number, x, chosen
        record["flags"], record["calls"], record["reward"], record["episode"] = int(flags), int(calls), reward, episode
        for name, value in agent.last_step.items():
            record[name] = value
        if number % hash_every == 0:
            record["state_hash"] = int(agent.state_hash(), 16)
        first = over
        if over:
            episode += 1
            x, reward, terminated, truncated, applied = plant.reset(seed=episode)[0], 0.0, False, False, 0.0
            continue
        applied = float(np.float32(rng.uniform(-10, 10))) if rng.random() < 0.05 else chosen
        x, reward, terminated, truncated, _ = plant.step([applied])
        truncated = truncated or (not terminated and bool(rng.random() < 0.002))


def _command_of(agent: Any, action: Any) -> np.float32:
    """native/runtime/safety/command_limiter.h, map_action: from -10 to 10, in float32."""
    one, half, span, low = np.float32(1), np.float32(0.5), np.float32(20), np.float32(-10)
    if agent.discrete:
        return np.float32(low + np.float32(action) / one * span)
    return np.float32(low + (np.float32(action[0]) + one) * half * span)


def action_of(agent: Any, applied: float) -> Any:
    """native/runtime/safety/command_limiter.h, unmap_action."""
    fraction = (np.float32(applied) + np.float32(10)) / np.float32(20)
    if agent.discrete:
        return int(np.float32(fraction + np.float32(0.5)))
    return np.array([np.float32(2) * fraction - np.float32(1)], dtype=np.float32)


def wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Until it holds."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.005)
