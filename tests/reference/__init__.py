"""Reference implementations in float64 numpy, written from the formulas of docs/math.md and from nothing else."""
