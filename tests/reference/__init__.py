"""The slow truth: float64 numpy oracles, written from the formulas of docs/math.md and from nothing else."""
