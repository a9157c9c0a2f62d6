"""File formats of a run's records (docs/log.md).

The `folder`, the log (`file` writes, `reader` reads, `index` closes and repairs it), its `stages`, the `blackbox`, and
the `sessions` of a service; `old_formats` reads files of earlier versions.
"""

from __future__ import annotations

from rtu_edge.record.folder import Check, RunFolder, Stage, Summary, host_facts, resident_bytes

__all__ = ["Check", "RunFolder", "Stage", "Summary", "host_facts", "resident_bytes"]
