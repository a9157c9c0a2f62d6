"""Measurements on the host at hand: the loop's latencies, and a long run with faults. `rtu-edge bench`."""
