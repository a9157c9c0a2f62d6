"""A run's report: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtu_edge._base import files
from rtu_edge._base.untrusted import TEXT_BYTES, read_file
from rtu_edge.record import RunFolder, Summary

if TYPE_CHECKING:
    from rtu_edge.record.stages import Steps
    from rtu_edge.report.digest import Digest

__all__ = ["digests_of", "write_picture", "write_report"]


def digests_of(found: Mapping[str, Steps], summary: Summary) -> dict[str, Digest]:
    """The data of a report from a run's steps, by stage.

    Args:
        found: from `record.stages.stages()`.
        summary: of the run.

    Raises:
        ValueError: a log is damaged.
    """
    from rtu_edge.report.digest import Digest

    digests = {
        stage: Digest.of(steps.batches(), summary.target_episodes, steps.limits) for stage, steps in found.items()
    }
    for stage, steps in found.items():
        digests[stage].notes += steps.missing
        if stage in summary.stages:
            digests[stage].timeline.resume(summary.stages[stage].exploration)
    return digests


def _read(folder: RunFolder, summary: Summary) -> dict[str, Digest]:
    from rtu_edge.record.stages import stages

    return digests_of(stages(folder), summary)


@np.errstate(all="ignore")  # a log may hold any numbers
def write_report(folder: RunFolder, digests: Mapping[str, Digest] | None = None) -> Path:
    """Write report.html from the run's folder.

    Args:
        folder: with at least a summary; its log is shown if there is one.
        digests: of its steps, by stage; None: they are read from its logs.

    Returns:
        The page's path.

    Raises:
        ValueError: there is no summary.
    """
    from rtu_edge.report.page import page

    summary = folder.load_summary()
    config = folder.file(RunFolder.CONFIG)
    shown = read_file(config, TEXT_BYTES, follow=False).decode(errors="replace") if config.exists() else ""
    text = page(summary, _read(folder, summary) if digests is None else digests, shown)
    path = folder.file(RunFolder.REPORT)
    files.write(path, text.encode())
    return path


@np.errstate(all="ignore")
def write_picture(folder: RunFolder, path: Path, digests: Mapping[str, Digest] | None = None) -> None:
    """Draw an overview of the run as a PNG or SVG file, for a README or a talk; as for write_report()."""
    from rtu_edge.report.figures import picture

    summary = folder.load_summary()
    picture(summary, _read(folder, summary) if digests is None else digests, path)
