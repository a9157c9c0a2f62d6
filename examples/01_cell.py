"""A linear RTU: exact gradients while the sequence runs, checked against finite differences.

The loss is the sum of the outputs of the last step; its gradient reaches back through every step before.
"""

import numpy as np

import rtu_edge as rtu

rng = np.random.default_rng(0)
inputs = rng.standard_normal((50, 3))


def loss(cell: rtu.LinearRTU) -> float:
    cell.reset()
    for x in inputs:
        y = cell.step(x)
    return float(y.sum())


cell = rtu.LinearRTU(observation_size=3, n_units=5, activation="tanh", dtype="float64", seed=0)
loss(cell)
exact = cell.gradient(np.ones(10))  # forward in time: nothing was stored, nothing is unrolled

start = cell.parameters
worst = 0.0
for name, value in start.items():
    for place in np.ndindex(value.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = {key: array.copy() for key, array in start.items()}
            moved[name][place] += step
            cell.load_parameters(moved)
            sides.append(loss(cell))
        worst = max(worst, abs((sides[0] - sides[1]) / 2e-6 - exact[name][place]))

print(f"{cell.n_traces} trace floats for {sum(v.size for v in start.values())} parameters, {cell.nbytes} bytes in all")
print(f"largest difference to finite differences: {worst:.1e}")
assert worst < 1e-7
