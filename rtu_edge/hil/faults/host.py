"""Faults of the host's process: stopped, killed, starved, full disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from rtu_edge.hil.faults.base import Fault, Millis

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import Injection
    from rtu_edge.hil.ends import Unit


class HostStop(Fault, frozen=True, kw_only=True):
    """The host's process is stopped (SIGSTOP), and continues at the end."""

    kind = "host_stop"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.host.freeze()

    def end(self, now: Injection) -> list[Unit]:
        now.host.go_on()
        return []


class HostKill(Fault, frozen=True, kw_only=True):
    """The host's process is killed (SIGKILL)."""

    kind = "host_kill"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        now.count += 1
        now.host.kill()


class HostStarve(Fault, frozen=True, kw_only=True):
    """The host gets little processor time: it is stopped and continued alternately.

    Args:
        stopped_ms: duration of each stop.
        runs_ms: duration of each run.
    """

    kind = "host_starve"
    acts_on = "host"
    needs = frozenset({"host process"})
    stopped_ms: Millis = 30.0
    runs_ms: Annotated[float, msgspec.Meta(gt=0.0, le=60_000.0)] = 10.0

    def poll(self, now: Injection, at_s: float) -> list[Unit]:
        if at_s >= now.next_s:
            now.count += 1
            stands = now.count % 2 == 1
            (now.host.freeze if stands else now.host.go_on)()
            now.next_s = at_s + (self.stopped_ms if stands else self.runs_ms) * 1e-3
        return []

    def end(self, now: Injection) -> list[Unit]:
        now.host.go_on()
        return []


class DiskFull(Fault, frozen=True, kw_only=True):
    """The host's files can no longer grow (RLIMIT_FSIZE, like a full disk or a quota), until its end."""

    kind = "disk_full"
    acts_on = "host"
    needs = frozenset({"host process"})

    def begin(self, now: Injection) -> None:
        import resource

        now.count += 1
        resource.prlimit(now.host.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
