"""Act before learn in your own loop: send the action first, learn in the remaining time."""

import rtu_edge as rtu

plant = rtu.Plant("cartpole")  # observes position and angle, no velocities
agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0)

lengths = []
observation, info = plant.reset(seed=0)
action = agent.reset(observation)
length = 0
for _ in range(20_000):
    observation, reward, terminated, truncated, info = plant.step(plant.scale(action))
    length += 1
    action = agent.predict(observation)  # the action for the new observation, ready to be sent
    agent.update(reward, terminated, truncated)  # the weights are updated afterwards
    if terminated or truncated:
        lengths.append(length)
        length = 0
        observation, info = plant.reset(seed=len(lengths))
        action = agent.reset(observation)

first, last = sum(lengths[:20]) / 20, sum(lengths[-20:]) / 20
print(f"{len(lengths)} episodes; the first 20 lasted {first:.0f} steps, the last 20 {last:.0f}")
print(f"{agent.nbytes} bytes, all of it allocated at construction")
assert last > first
