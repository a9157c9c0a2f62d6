"""A run's report: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtu_edge._base import files
from rtu_edge._base.untrusted import TEXT_BYTES, read_file
from rtu_edge.record import RunFolder

__all__ = ["write_picture", "write_report"]


@np.errstate(all="ignore")  # telemetry may hold any numbers
def write_report(folder: RunFolder) -> Path:
    """Write report.html from what is in the run's folder.

    Args:
        folder: with at least a summary; telemetry is shown where there is some.

    Returns:
        The page's path.

    Raises:
        ValueError: there is no summary.
    """
    from rtu_edge.report.page import page

    summary = folder.load_summary()
    config = folder.file(RunFolder.CONFIG)
    shown = read_file(config, TEXT_BYTES, follow=False).decode(errors="replace") if config.exists() else ""
    text = page(summary, folder.arrays or folder.load_arrays(), shown)
    path = folder.file(RunFolder.REPORT)
    files.write(path, text.encode())
    return path


@np.errstate(all="ignore")
def write_picture(folder: RunFolder, path: Path) -> None:
    """Draw the run at a glance as a PNG or SVG file, for a README or a talk."""
    from rtu_edge.report.figures import picture

    picture(folder.load_summary(), folder.arrays or folder.load_arrays(), path)
