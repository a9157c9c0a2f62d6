"""A checkpoint is complete: the resumed learner and the one that continued are bit-identical."""

import tempfile
from pathlib import Path

import rtu_edge as rtu


def learn(agent: rtu.StreamAC, steps: int, seed: int) -> None:
    plant = rtu.Plant("pendulum")
    observation, _ = plant.reset(seed)
    action = agent.reset(observation)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = plant.step(plant.scale(action))
        action = agent.step(observation, reward, terminated, truncated)
        if terminated or truncated:
            seed += 1
            observation, _ = plant.reset(seed)
            action = agent.reset(observation)


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "agent.rtu"
    agent = rtu.StreamAC(observation_size=2, action_size=1, units=16, hidden=(32, 32), seed=3)
    learn(agent, 3000, seed=0)
    agent.save(path)  # atomic: the file is the old one or the new one, never a mixture
    resumed = rtu.load(path)
    print(f"{path.stat().st_size} bytes")

learn(agent, 3000, seed=100)
learn(resumed, 3000, seed=100)
print(f"continued {agent.state_hash()}\nresumed  {resumed.state_hash()}")
assert agent.state_hash() == resumed.state_hash()
