"""The emergency stop of the host: the owners first, then the devices themselves, within one deadline
(docs/estop.md).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtu_edge._base.errors import DeviceError
from rtu_edge.device import lock
from rtu_edge.device.holders import Device, Process, device_of, end, holders, is_terminal, process, served_by

__all__ = ["Estop", "estop"]

_ANSWER_S = 0.2  # an owner that takes longer counts as unresponsive
_OWNERS_SHARE = 0.6  # share of the time for responsive owners without confirmation
_TERM_SHARE = 0.1  # for a process to leave after SIGTERM, and again after SIGKILL
_LEAVING_S = 0.5  # for a holder that is exiting
_BUFFER_MAX = 1 << 16


@dataclass(frozen=True)
class Estop:
    """Result of a successful emergency stop, after the STATE of each device reported ESTOP.

    Args:
        by: "owner" if the owning processes stopped the devices, "direct" if a device had to be opened here.
        ended_pid: a process that was ended because it did not answer or failed, or None.
        stopped: the devices.
    """

    by: str
    ended_pid: int | None
    stopped: tuple[str, ...] = field(default=(), compare=False)


def estop(
    port: str = "",
    *,
    config: str | os.PathLike[str] = "",
    baud: int = 1_000_000,
    timeout_s: float = 5.0,
    also: Sequence[tuple[str, int]] = (),
) -> Estop:
    """Emergency stop of each device of a port or configuration; returns only when the STATE of each is ESTOP.

    These are the device that the port names now, and those that a process drives which has registered this port's name
    or this configuration, by its name or by the file behind it: each name may have moved since the process opened it.

    Args:
        port: a device's path, or a pyserial URL; "" if only the configuration is known.
        config: path of the configuration, or "".
        baud: for opening a port here.
        timeout_s: s; in total.
        also: further ports of the configuration, with their baud rates.

    Raises:
        DeviceError: a device did not confirm. The message names the process that holds it, its user, and what to do.
    """
    stop = _Stop(port, os.fspath(config), baud, timeout_s, also)
    # Holds even if a file system never answers.
    worker = threading.Thread(target=stop.run, name="rtu-edge estop", daemon=True)
    worker.start()
    worker.join(timeout_s + 0.1)
    return stop.result()


class _Failed(Exception):
    """A device did not confirm; the message has reason and remedy."""


@dataclass
class _Target:
    """A device that has to confirm.

    Args:
        path: to open it by.
        device: None behind a pyserial URL.
        baud: to open it.
        asked: its owners, with a connection to each.
        ended: processes that were ended for it.
        bus: of a device that is the server of a servo bus: the port of the bus; and the server's process id.
        result: "" while in progress, "owner" or "direct" once its STATE has reported ESTOP, or the reason of the
            failure.
    """

    path: str
    device: Device | None
    baud: int
    asked: list[_Asked] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    bus: tuple[Device, int] | None = None
    result: str = ""

    @property
    def stopped(self) -> bool:
        return self.result in ("owner", "direct")


@dataclass
class _Asked:
    owner: lock.Owner
    connection: socket.socket
    heard_s: float
    text: bytes = b""
    over: bool = False
    confirmed: bool = False


def _same(target: _Target, owner: lock.Owner) -> bool:
    return target.device == owner.device and (owner.device is not None or target.path == owner.record.path)


def _servers(bus: Device, baud: int) -> list[_Target]:
    """The servers of a servo bus, as devices; none if the port is no bus, or not served."""
    found = [(served_by(one.pid, bus), one.pid) for one in holders(bus)]
    return [_Target(path, device_of(path), baud, bus=(bus, pid)) for path, pid in found if path]


class _Stop:
    """An emergency stop in progress; see estop()."""

    def __init__(
        self, port: str, config: str, baud: int, timeout_s: float, also: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._port, self._config, self._baud = port, config, baud
        self._also = also
        self._timeout_s = timeout_s
        self._begin_s = time.monotonic()
        self._targets: list[_Target] = []
        self._error: BaseException | None = None
        self._found = False

    def run(self) -> None:
        """Runs the stop; the result is stored for result()."""
        try:
            self._targets = self._find()
            self._found = True
            self._ask()
            workers = [threading.Thread(target=self._finish, args=(target,), daemon=True) for target in self._targets]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException as error:  # passed to the caller's thread
            self._error = error

    def result(self) -> Estop:
        """The result so far. Raises DeviceError if a device has not confirmed."""
        if self._error is not None:
            raise self._error
        targets = list(self._targets)
        late = f"no confirmation within {self._timeout_s:g} s: take the power of the device away"
        if not self._found:
            raise DeviceError(f"{self._port or self._config}: {late}")
        failed = [target.result or f"{target.path}: {late}" for target in targets if not target.stopped]
        stopped = [target.path for target in targets if target.stopped]
        if failed:
            also = f"; stopped and confirmed: {', '.join(stopped)}" if stopped else ""
            raise DeviceError("; ".join(failed) + also)
        ended = [pid for target in targets for pid in target.ended]
        by = "direct" if any(target.result == "direct" for target in targets) else "owner"
        return Estop(by, ended[0] if ended else None, tuple(stopped))

    # ------------------------------------------------------------ which devices

    def _find(self) -> list[_Target]:
        """The device that the port names, and those of its registered owners and of the configuration's."""
        found = []
        for port, baud in [(self._port, self._baud), *self._also] if self._port else self._also:
            url = "://" in port
            device = None if url else device_of(port)
            path = port if url else os.path.realpath(port)
            if device is not None and (servers := _servers(device, baud)):
                found += servers
            elif url or device is not None:
                found.append(_Target(path, device, baud))
        owners = lock.owners(self._port, self._config)
        owners += [owner for target in found if target.bus is not None for owner in lock.owners(target.path)]
        for owner in owners:
            target = next((one for one in found if _same(one, owner)), None)
            if target is None:
                target = _Target(owner.record.path, owner.device, self._baud)
                found.append(target)
            known = any(one.owner.pid == owner.pid for one in target.asked)
            if not known and (owner.speaks or owner.device is None):
                self._begin(target, owner)
        if not found and self._port:
            what = "is no serial port" if os.path.exists(self._port) else "no such port"
            raise DeviceError(f"{self._port}: {what}, and no process has registered it; `rtu-edge ports` lists them")
        if not found:
            raise DeviceError(f"{self._config}: no run of this configuration is registered")
        return found

    def _begin(self, target: _Target, owner: lock.Owner) -> None:
        with contextlib.suppress(OSError):
            connection = lock.connect(owner.record.control)
            pid, uid = lock.peer(connection)
            if (pid, uid) != (owner.pid, owner.record.uid):
                connection.close()
                return
            target.asked.append(_Asked(owner, connection, time.monotonic()))

    # ------------------------------------------------------------ the owners

    def _ask(self) -> None:
        """Ask all owners at once; each must answer at least every 200 ms."""
        asked = [one for target in self._targets for one in target.asked]
        for one in asked:
            try:
                one.connection.send(b"estop\n")
                one.heard_s = time.monotonic()
            except OSError:
                one.over = True
        give_up_s = self._begin_s + _OWNERS_SHARE * self._timeout_s
        while time.monotonic() < give_up_s and (waiting := [one for one in asked if not one.over]):
            select.select([one.connection for one in waiting], [], [], 0.02)
            for one in waiting:
                self._hear(one)
        for one in asked:
            one.connection.close()

    def _hear(self, one: _Asked) -> None:
        try:
            data = one.connection.recv(4096)
        except BlockingIOError:
            one.over = time.monotonic() - one.heard_s > _ANSWER_S
            return
        except OSError:
            data = b""
        one.heard_s = time.monotonic()
        whole, _, one.text = (one.text + data).rpartition(b"\n")
        one.over = not data or len(one.text) > _BUFFER_MAX
        try:
            for answer in lock.answers(whole):
                if answer.get("event") == "estop":
                    one.over, one.confirmed = True, answer.get("confirmed") is True
                one.over |= answer.get("event") == "error"
        except ValueError:
            one.over = True

    # ------------------------------------------------------------ the device itself

    def _left_s(self) -> float:
        return self._begin_s + self._timeout_s - time.monotonic()

    def _finish(self, target: _Target) -> None:
        try:
            target.result = self._settle(target)
        except (_Failed, DeviceError) as error:
            target.result = str(error)
        except Exception as error:
            target.result = f"{target.path}: {type(error).__name__}: {error}"

    def _settle(self, target: _Target) -> str:
        result = self._stop(target)
        if target.bus is not None:
            self._end_others(target, *target.bus)
        return result

    def _end_others(self, target: _Target, bus: Device, server: int) -> None:
        """End the programs that write to a servo bus next to its server."""
        others = [one for one in holders(bus) if one.writes and one.pid not in (server, os.getpid())]
        share_s = max(0.0, min(_TERM_SHARE * self._timeout_s, self._left_s() / 3))
        blocked = end(others, share_s, share_s)
        target.ended += [one.pid for one in others if one not in blocked]
        if blocked:
            who = ", ".join(str(one) for one in blocked)
            raise _Failed(f"{target.path}: stopped, but the bus is also held by {who}, which this user may not end")

    def _stop(self, target: _Target) -> str:
        held = self._held(target)
        confirmed = {one.owner.pid for one in target.asked if one.confirmed and one.owner.speaks}
        if confirmed and all(one.pid in confirmed for one in held if one.writes):
            return "owner"
        blocked = self._end(target, held)
        self._open_and_stop(target, blocked)
        return "direct"

    def _held(self, target: _Target) -> list[Process]:
        if target.device is not None:
            return holders(target.device)
        owners = (process(one.owner.pid) for one in target.asked)
        return [one for one in owners if one is not None]

    def _end(self, target: _Target, held: list[Process]) -> list[Process]:
        """End the holders of the device; returns those that this user may not end."""
        if (
            self._left_s() <= 0.0
        ):  # the caller already has its answer; the number of a pseudo-terminal may have been reused
            raise _Failed(f"{target.path}: no confirmation within {self._timeout_s:g} s: nothing was ended")
        others = [one for one in held if one.pid != os.getpid()]
        if any(one.writes for one in held if one.pid == os.getpid()):
            raise _Failed(f"{target.path}: this very process owns the port and does not answer")
        for one in others:
            if target.device is not None and target.device.pty and is_terminal(one, target.device):
                raise _Failed(f"{target.path}: is the terminal of {one}, not a device: nothing was ended")
        share_s = max(0.0, min(_TERM_SHARE * self._timeout_s, self._left_s() / 3))
        blocked = end(others, share_s, share_s)
        target.ended += [one.pid for one in others if one not in blocked]
        return blocked

    def _open_and_stop(self, target: _Target, blocked: list[Process]) -> None:
        from rtu_edge.device.ports import open_port
        from rtu_edge.loop import Link

        opened, begin_s = None, time.monotonic()
        while opened is None:
            try:
                # If its holder cannot be ended, the port is shared with it if possible: the device accepts commands
                # from both.
                opened = open_port(target.path, target.baud, exclusive=not blocked)
            except DeviceError as error:
                hopeless = blocked or target.device is None or not os.access(target.path, os.R_OK | os.W_OK)
                unseen = not target.ended and time.monotonic() - begin_s > _LEAVING_S
                if hopeless or unseen or self._left_s() < _ANSWER_S:
                    raise _Failed(self._refusal(target, blocked, str(error))) from None
                time.sleep(0.02)
                blocked = self._end(target, self._held(target))  # a process that was restarted meanwhile
        with opened:
            if target.device is not None and device_of(opened.fileno()) != target.device:
                raise _Failed(f"{target.path}: is another device by now; run the command again")
            with Link(opened, control=False) as link:
                if link.estop(max(_ANSWER_S, self._left_s())):
                    return
        reason = f"{target.path}: the device did not confirm the emergency stop"
        raise _Failed(self._refusal(target, blocked, reason) if blocked else f"{reason}: take its power away")

    def _refusal(self, target: _Target, blocked: list[Process], error: str) -> str:
        """The holder of the device, and the command to end it."""
        command, power = f"rtu-edge estop {self._config or self._port}", "or take the power of the device away"
        if blocked:
            who = ", ".join(str(one) for one in blocked)
            return (
                f"{target.path}: not stopped: held by {who}, which this user may not end: run `sudo {command}`, {power}"
            )
        if target.device is None or not os.path.exists(target.path):
            return f"{error}: not stopped: take the power of the device away"
        if os.geteuid() != 0:
            return f"{error}: not stopped: run `sudo {command}`, {power}"
        return (
            f"{error}: not stopped: held by a process that cannot be seen from here: run `{command}` on the host,"
            f" outside of this container, {power}"
        )
