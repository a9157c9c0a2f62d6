"""The policy as ONNX: ONNX Runtime drives the plant, the native policy looks over its shoulder."""

import tempfile
from pathlib import Path

import rtu_edge as rtu
from rtu_edge.device.plants import Plant
from rtu_edge.learn.onnx import OnnxPolicy, drive
from rtu_edge.learn.onnx.verify import Evaluation

plant = Plant("cartpole")
agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)
action = agent.reset(plant.reset(seed=0))
for episode in range(1, 3000):
    observation, reward, terminated, truncated = plant.step(10.0 * action)
    action = agent.step(observation, reward, terminated, truncated)
    if terminated or truncated:
        action = agent.reset(plant.reset(seed=episode))

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "policy.onnx"
    rtu.export_onnx(agent, path)
    difference = rtu.verify_onnx(path, agent, steps=1000)
    driven = drive(OnnxPolicy(path), plant, steps=1000, follower=Evaluation(agent))
    print(f"{path.stat().st_size} bytes; largest difference over made-up observations {difference:.1e}")

print(f"{driven.steps} steps on the plant, largest difference {driven.largest_difference:.1e} of the action range")
assert max(difference, driven.largest_difference) < 1e-5
