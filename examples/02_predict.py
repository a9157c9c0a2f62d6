"""TD(lambda) prediction on a stream: a flash of light, followed 10 steps later by a pulse.

Between the two the input is dark, so only memory can predict the pulse. Settings are chosen by hand here;
TDPredictor.for_horizon chooses them from a horizon in seconds (docs/prediction.md).
"""

import numpy as np

import rtu_edge as rtu

WAIT = 10
rng = np.random.default_rng(0)
predictor = rtu.TDPredictor(observation_size=2, units=16, gamma=0.9, trace_decay=0.95, seed=0)


def trial() -> list[tuple[int, int]]:
    """(light, pulse) at each step: dark for a while, a flash, the wait, the pulse."""
    dark = [(0, 0)] * int(rng.integers(80, 121))
    return [*dark, (1, 0), *[(0, 0)] * (WAIT - 1), (0, 1)]


for _ in range(2000):
    for light, pulse in trial():
        predictor.step([light, pulse], cumulant=pulse)

values = [predictor.step([light, pulse], cumulant=pulse) for light, pulse in trial()]
before, after = values[-WAIT - 2], values[-2]
print(f"predicted return: {before:.2f} in the dark, {after:.2f} one step before the pulse (1 is right)")
assert after > before + 0.4
