"""Devices: schema, protocol, ports and their owners, simulated plants, firmware."""
