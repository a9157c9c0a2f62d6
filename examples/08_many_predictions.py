"""Many predictions from one network: what they and their errors are, in which units, and how a fault shows in them.

A head predicts the sum of one signal over its horizon: sum_k gamma^k c_(t+1+k), in the signal's unit times steps. Its
error in a step, delta, is given in multiples of sigma, the running root mean square of that sum, so that heads of any
unit compare. delta times sigma is in the signal's unit.
"""

import numpy as np

import rtu_edge as rtu
from rtu_edge.study import families

SIGNALS = ("position, rad", "move, rad", "its change")
HORIZONS_S = (0.02, 0.2, 1.0)
servo = families.Machine("servo-load", seed=3)
x, _ = servo.reset(seed=0)
move = 0.0
bank = rtu.TDBank.for_horizon(4, HORIZONS_S * len(SIGNALS), period_s=servo.dt_s, seed=0, step_size=1e-3)
before = x[0]


def run(seconds: float) -> np.ndarray:
    """The servo follows its target; returns (steps, heads) the errors delta, in sigmas."""
    global x, before, move
    deltas = []
    for _ in range(round(seconds / servo.dt_s)):
        position, target = x
        command = float(np.clip(3.0 * (target - position) - 5.0 * (position - before), -1.0, 1.0))
        change, move = position - before - move, position - before  # both per step
        before = position
        bank.step([position, target, move, command], cumulants=np.repeat([position, move, change], len(HORIZONS_S)))
        deltas.append(bank.deltas)
        x, *_ = servo.step([command])
    return np.array(deltas)


run(120.0)
healthy = run(60.0)
servo.change(noise=0.02)  # of the sensor: a bearing that rattles
worn = run(60.0)

print("signal         horizon  sigma (unit times steps)  error, in sigmas  in the unit  with a fault, in sigmas")
for k, sigma in enumerate(bank.scales):
    name, horizon = SIGNALS[k // len(HORIZONS_S)], HORIZONS_S[k % len(HORIZONS_S)]
    rms, later = (float(np.sqrt((d[:, k] ** 2).mean())) for d in (healthy, worn))
    print(f"{name:14} {horizon:5.2f} s  {sigma:24.3g}  {rms:16.2g}  {rms * sigma:11.2g}  {later:23.2g}")
ratio = np.sqrt((worn**2).mean(0) / (healthy**2).mean(0))
print(f"errors grew by up to {ratio.max():.1f} times")
assert ratio.max() > 1.5
