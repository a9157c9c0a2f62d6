"""Measurements on the machine at hand: the loop's latencies, and a long run with faults. `rtu-edge bench`."""
