"""What the command limiter makes of a choice is part of the plant: the actor learns from its sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rtu_edge as rtu
from rtu_edge import Limits, Link, Loop, LoopConfig, SimulatedDevice, open_port
from rtu_edge.loop import RecordFlag


@pytest.fixture
def link() -> Iterator[Link]:
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as made:
        made.handshake()
        yield made


def test_the_actor_learns_from_limited_commands_as_from_its_own(link: Link) -> None:
    agents = [rtu.StreamAC(2, 1, seed=4, units=8, hidden=8, previous_action=True) for _ in range(2)]
    before = agents[0].parameters["actor.head.weight"]
    config = LoopConfig(steps=400, seed=4, limits=[Limits(-10, 10, slew_per_s=5.0)])
    loop = Loop(link, agents[0].core.policy(), config)
    counters = loop.run().counters
    assert counters["limiter_slew"] > 390 and counters["overridden"] == 0
    assert agents[0].last_step["step_size_actor"] > 0 and (agents[0].parameters["actor.head.weight"] != before).any()
    for record in loop.drain():  # the input is what was applied, the gradient that of the sample
        first = bool(record["flags"] & RecordFlag.FIRST)
        if first:
            agents[1].begin()
        applied = np.float32(2) * ((record["applied"] + np.float32(10)) / np.float32(20)) - np.float32(1)  # as the loop
        given = {} if first else {"reward": float(record["reward"]), "applied": applied}
        agents[1].predict(record["x"], **given)
        agents[1].update(float(record["reward"]), bool(record["flags"] & RecordFlag.TERMINATED))
    assert agents[1].state_hash() == agents[0].state_hash()
