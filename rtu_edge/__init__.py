"""Robots that keep learning where they stand."""

from rtu_edge._version import __version__

__all__ = ["__version__"]
