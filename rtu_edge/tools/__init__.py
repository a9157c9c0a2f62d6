"""Tools for a port that another process may own, the monitor and the emergency stop; the doctor of a host."""
