"""Checks for properties of this host that make steps late or prevent runs, and the commands to fix them.

Each check reads a `Host`, whose files are below a root folder, and returns a `Finding`. docs/doctor.md lists them.
"""

from __future__ import annotations

from rtu_edge.tools.doctor.checks import CHECKS, Check, examine, script
from rtu_edge.tools.doctor.finding import Finding, State
from rtu_edge.tools.doctor.host import Host
from rtu_edge.tools.doctor.imports import Imported, Imports

__all__ = ["CHECKS", "Check", "Finding", "Host", "Imported", "Imports", "State", "examine", "script"]
