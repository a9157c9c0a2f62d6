"""The package's agent with the simulated cart-pole, in the same loop as the board's learner: scalar_host.py SEED STEPS
CHECKPOINT [shared], the last word for the image with one body.
"""

from __future__ import annotations

import sys

import numpy as np
from rtu_edge._bridge import ffi, lib

import rtu_edge as rtu
from rtu_edge.hil.learner import SETTINGS, SHARED_SETTINGS

SEED = int(sys.argv[1])
agent = rtu.StreamAC(**(SHARED_SETTINGS if "shared" in sys.argv[4:] else SETTINGS), seed=SEED)
plant, state = lib.tl_plant_find(b"cartpole"), ffi.new("tl_plant_state *")
x, u, observation = ffi.new("float[2]"), ffi.new("float[1]"), np.zeros(2, np.float32)
steps = episodes = 0


def begin():
    plant.reset(state, (SEED + episodes * 2654435769) % 2**32)
    plant.observe(state, x)
    observation[:] = x[0], x[1]
    return agent.reset(observation)


action = begin()
while steps < int(sys.argv[2]):
    u[0] = float((np.float32(action[0]) + np.float32(1)) * np.float32(0.5) * np.float32(20) - np.float32(10))
    result = plant.step(state, u)
    plant.observe(state, x)
    observation[:] = x[0], x[1]
    action = agent.predict(observation)
    agent.update(result.reward, terminated=result.terminated, truncated=result.truncated)
    steps += 1
    if result.terminated or result.truncated:
        episodes += 1
        action = begin()
agent.save(sys.argv[3])
