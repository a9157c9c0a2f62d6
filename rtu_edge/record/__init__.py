"""What a run leaves behind (docs/log.md), formats only.

Its `folder`, the log (`file` writes, `reader` reads, `index` ends and repairs it), its `stages`, the `blackbox`,
and the `sessions` of a service; `old_formats` has what earlier versions wrote.
"""

from __future__ import annotations

from rtu_edge.record.folder import Check, RunFolder, Stage, Summary, host_facts, resident_bytes

__all__ = ["Check", "RunFolder", "Stage", "Summary", "host_facts", "resident_bytes"]
