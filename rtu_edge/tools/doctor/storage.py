"""Checks of storage: duration of a sync in the folder of the runs, and cleaners that remove control sockets."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rtu_edge._base.errors import cause_of
from rtu_edge._base.untrusted import clean
from rtu_edge.tools.doctor.finding import Finding, fail, note, ok, warn
from rtu_edge.tools.doctor.host import Host

__all__ = ["disk", "sync_times", "temporary_files"]

# The log is synced each second (docs/log.md): above that it falls behind. 0.1 s leaves the order of ten syncs, which a
# checkpoint, the log and the black box of one second need together.
_BEHIND_S, _SLOW_S = 1.0, 0.1
_TIMES, _BUDGET_S = 5, 0.5
_SIZE = 4096
_PRIVATE = "other users than its owner register their ports in /tmp, where a cleaner may remove the sockets"
_TMPFILES = "/etc/tmpfiles.d/rtu-edge.conf"


def sync_times(folder: Path, sync: Callable[[int], None] = os.fsync) -> list[float]:
    """Times of up to five syncs of 4 KiB in a folder, s; about half a second in all. No file is left.

    Raises:
        OSError: nothing can be written there.
    """
    handle = _unnamed(folder)
    times: list[float] = []
    try:
        while len(times) < _TIMES and sum(times) < _BUDGET_S:
            os.write(handle, bytes(_SIZE))
            start_s = time.perf_counter()
            sync(handle)
            times.append(time.perf_counter() - start_s)
    finally:
        os.close(handle)
    return times


def _unnamed(folder: Path) -> int:
    """An unnamed file, which disappears when it is closed, even after a crash."""
    with contextlib.suppress(OSError):  # file systems without O_TMPFILE: NFS, FAT, overlays of older kernels
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    handle, name = tempfile.mkstemp(prefix=".rtu-edge-doctor-", dir=folder)
    os.unlink(name)
    return handle


def disk(host: Host, sync: Callable[[int], None] = os.fsync) -> Finding:
    """Time of a sync on the file system of the runs."""
    folder = Path(os.path.abspath(host.folder))
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    shown = clean(str(folder))
    move = "# put run.folder on a faster medium: rtu-edge run robot.toml --set run.folder=FOLDER"
    try:
        times = sync_times(folder, sync)
    except OSError as error:
        return fail(f"{shown}: {cause_of(error)}", move, effect="no run can start: it has nowhere to write")
    median_s, most_s = statistics.median(times), max(times)
    found = f"{shown}: {median_s * 1e3:.3g} ms, at most {most_s * 1e3:.3g} ms in {len(times)} syncs"
    if most_s > _BEHIND_S:
        return warn(found, move)
    return note(found, move) if median_s > _SLOW_S else ok(found)


def temporary_files(host: Host) -> Finding:
    """Folder of the control sockets, and cleaners of /tmp."""
    shared = host.path("/run/rtu-edge")
    if shared.is_dir():
        if shared.stat().st_mode & 0o1777 == 0o1777:
            return ok("/run/rtu-edge")
        return warn("/run/rtu-edge cannot be written by every user", "sudo chmod 1777 /run/rtu-edge", effect=_PRIVATE)
    rules = [
        path
        for pattern in ("/etc/tmpfiles.d/*.conf", "/run/tmpfiles.d/*.conf", "/usr/lib/tmpfiles.d/*.conf")
        for path in host.glob(pattern)
    ]
    texts = [host.text(path) or "" for path in rules]
    if any("/tmp/rtu-edge-" in text for text in texts):
        return ok("/tmp/rtu-edge-*, not to be cleaned")
    if not texts:
        return ok("/tmp/rtu-edge-*; nothing cleans /tmp here")
    return note(
        "no /run/rtu-edge; control sockets are in /tmp, which systemd-tmpfiles cleans",
        rf"printf 'd /run/rtu-edge 1777 root root -\nx /tmp/rtu-edge-*\n' | sudo tee {_TMPFILES}",
        f"sudo systemd-tmpfiles --create {_TMPFILES}",
    )
