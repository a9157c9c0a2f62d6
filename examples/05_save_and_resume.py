"""A checkpoint is everything: the resumed learner and the one that went on are the same to the bit."""

import tempfile
from pathlib import Path

import rtu_edge as rtu
from rtu_edge.device.plants import Plant


def learn(agent: rtu.StreamAC, steps: int, seed: int) -> None:
    plant = Plant("pendulum")
    action = agent.reset(plant.reset(seed))
    for _ in range(steps):
        observation, reward, terminated, truncated = plant.step(2.0 * action)
        action = agent.step(observation, reward, terminated, truncated)
        if terminated or truncated:
            seed += 1
            action = agent.reset(plant.reset(seed))


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "agent.rtu"
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=16, hidden=(32, 32), seed=3)
    learn(agent, 3000, seed=0)
    agent.save(path)  # atomic: the file is the old one or the new one, never a mixture
    resumed = rtu.load(path)
    print(f"{path.stat().st_size} bytes")

learn(agent, 3000, seed=100)
learn(resumed, 3000, seed=100)
print(f"went on  {agent.state_hash()}\nresumed  {resumed.state_hash()}")
assert agent.state_hash() == resumed.state_hash()
