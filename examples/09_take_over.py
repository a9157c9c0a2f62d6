"""A person takes over, the agent learns what they did as a demonstration, then it drives alone."""

import numpy as np

import rtu_edge as rtu


class Leader:
    """A person at a leader arm, here a controller: holds the pole for the first episodes, then lets go.

    A real one is a function too: the positions of the leader's joints while a button is pressed, otherwise None.
    """

    def __init__(self) -> None:
        self.holds = True
        self.last = np.zeros(2)
        self.shaky = np.random.default_rng(0)  # no hand is exact, and an exact one shows little

    def __call__(self, observation):
        position, angle = observation
        speed, turn = (observation - self.last) / 0.02
        self.last = observation
        force = 1.0 * position + 2.5 * speed + 35.0 * angle + 6.0 * turn + self.shaky.normal(0.0, 1.0)
        return [np.clip(force, -10.0, 10.0)] if self.holds else None


leader = Leader()
with rtu.connect("cartpole") as robot:  # the simulated one; on hardware the port of the board, limits, arm=True
    settings = {"body": "separate", "sigma_floor": 0.01, "actor": {"kappa": 100.0}}
    agent = rtu.StreamAC.from_env(robot, horizon_s=2.0, seed=0, **settings)
    hands = robot.take_over(agent, leader, back_s=0.5)

    def episode(seed: int) -> int:
        leader.last, _ = robot.reset(seed=seed)
        command, steps, over = hands.reset(leader.last), 0, False
        while not over:
            result = robot.step(command)
            command = hands.step(*result)
            steps, over = steps + 1, result[2] or result[3]
        return steps

    shown = [episode(seed) for seed in range(6)]
    print(f"the person held the pole for {np.mean(shown):.0f} steps in {len(shown)} episodes")
    print(hands.clone(passes=20))
    leader.holds = False
    alone = [episode(seed) for seed in range(100, 110)]
    print(f"the agent alone: {np.mean(alone):.0f}")
assert np.mean(alone) > 0.5 * np.mean(shown)
