"""The policy as ONNX: ONNX Runtime drives the plant, and the native policy is compared with it."""

import tempfile
from pathlib import Path

import rtu_edge as rtu
from rtu_edge.learn.onnx import OnnxPolicy, drive
from rtu_edge.learn.onnx.verify import Evaluation

plant = rtu.Plant("cartpole")
agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)
observation, info = plant.reset(seed=0)
action = agent.reset(observation)
for episode in range(1, 3000):
    observation, reward, terminated, truncated, info = plant.step(plant.scale(action))
    action = agent.step(observation, reward, terminated, truncated)
    if terminated or truncated:
        observation, info = plant.reset(seed=episode)
        action = agent.reset(observation)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "policy.onnx"
    rtu.export_onnx(agent, path)
    difference = rtu.verify_onnx(path, agent, steps=1000)
    driven = drive(OnnxPolicy(path), plant, steps=1000, follower=Evaluation(agent))
    print(f"{path.stat().st_size} bytes; largest difference over synthetic observations {difference:.1e}")

print(f"{driven.steps} steps on the plant, largest difference {driven.largest_difference:.1e} of the action range")
assert max(difference, driven.largest_difference) < 1e-5
