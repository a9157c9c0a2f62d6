"""A device and the way to it: its schema, the protocol, ports and their owners, simulated plants, firmware."""
