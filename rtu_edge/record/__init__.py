"""What is written down of a run (docs/log.md): its `folder`, the log as a `file`, the `blackbox`, their `recording` while a
loop turns, the `replay` off the robot, and the `sessions` of a service."""

from __future__ import annotations

from rtu_edge.record.folder import Check, Row, RunFolder, Stage, Summary, machine, resident_bytes

__all__ = ["Check", "Row", "RunFolder", "Stage", "Summary", "machine", "resident_bytes"]
