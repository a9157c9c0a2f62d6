"""Measurements on this host: the loop's latencies, and a long run with faults. `rtu-edge bench`."""
