"""The sandbox of a unit rebuilt from its own directives, for a host without systemd.

Rebuilt are mounts (ProtectSystem, ProtectHome, PrivateTmp, ProtectProc, the folders that systemd makes), the network
namespace, credentials, capabilities, no-new-privileges, limits, umask, and the refusal of executable memory (the
kernel's own, from 6.3 on). Not rebuilt are the filters of system calls, of address families and of devices: they need
systemd.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_NETWORK = 0x20000, 0x40000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 1 << 12, 1 << 14, 1 << 18
_CAPBSET_DROP, _NO_NEW_PRIVS, _SET_MDWE = 24, 38, 65
_OWN = ("/dev", "/proc", "/sys")  # ProtectSystem=strict leaves these to others


class Unit:
    """The [Service] of a unit.

    Args:
        text: the unit.
    """

    def __init__(self, text: str) -> None:
        self._lines = [line.partition("=")[::2] for line in text.splitlines() if "=" in line and line[0] not in "#["]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._lines if key == name]

    def get(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    @property
    def environment(self) -> dict[str, str]:
        """What systemd adds."""
        return {"RUNTIME_DIRECTORY": self.runtime, "STATE_DIRECTORY": self.state}

    @property
    def runtime(self) -> str:
        return "/run/" + self.get("RuntimeDirectory")

    @property
    def state(self) -> str:
        return "/var/lib/" + self.get("StateDirectory")


@contextmanager
def folders(unit: Unit, uid: int) -> Iterator[None]:
    """The folders that systemd makes before the start, and removes after it."""
    Path("/run/rtu-edge").mkdir(exist_ok=True)
    made = [Path(unit.runtime), Path(unit.state)]
    for folder, mode in zip(made, (int(unit.get("RuntimeDirectoryMode"), 8), 0o755), strict=True):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        os.chown(folder, uid, uid)
    try:
        yield
    finally:
        import shutil

        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def enter(unit: Unit, uid: int, groups: list[int], readable: list[str]) -> None:
    """Become the service. readable: paths that this user must be able to reach."""
    network = _NEW_NETWORK if unit.get("PrivateNetwork") == "yes" else 0
    _check(_LIBC.unshare(_NEW_MOUNTS | network), "unshare")
    _mount("none", "/", "", _PRIVATE | _RECURSIVE)
    _reach(readable)
    if unit.get("PrivateTmp") == "yes":
        for folder in ("/tmp", "/var/tmp"):
            _mount("tmpfs", folder, "tmpfs", 0, "mode=1777")
    if unit.get("ProtectHome") == "yes":
        for folder in ("/home", "/root", "/run/user"):
            if os.path.isdir(folder):
                _mount("tmpfs", folder, "tmpfs", 0, "mode=000")
    if unit.get("ProtectProc") == "invisible":
        _mount("proc", "/proc", "proc", 0, "hidepid=invisible")
    if unit.get("ProtectSystem") == "strict":
        writable = [unit.runtime, unit.state, "/tmp", "/var/tmp"]
        for folder in writable[:2]:
            _mount(folder, folder, "", _BIND)
        _read_only(writable)
    os.chdir(unit.state)
    _credentials(unit, uid, groups)


def _reach(paths: list[str]) -> None:
    """Make folders searchable on the way to these paths, in this namespace only."""
    hidden: dict[str, list[str]] = {}
    for path in paths:
        for folder in reversed(Path(path).parents):
            if not folder.stat().st_mode & 0o001:
                hidden.setdefault(str(folder), []).append(path)
                break
    for folder, inside in hidden.items():
        kept = f"/proc/self/fd/{os.open(folder, os.O_PATH)}"
        _mount("tmpfs", folder, "tmpfs", 0, "mode=755")
        for path in inside:
            os.makedirs(path, exist_ok=True)
            _mount(f"{kept}/{os.path.relpath(path, folder)}", path, "", _BIND)


def _read_only(writable: list[str]) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    for point in points:
        own = any(point == folder or point.startswith(folder + "/") for folder in _OWN)
        if not own and point not in writable:
            _mount("none", point, "", _REMOUNT | _BIND | _READ_ONLY)


def _credentials(unit: Unit, uid: int, groups: list[int]) -> None:
    os.umask(int(unit.get("UMask"), 8))
    for limit, directive in ((resource.RLIMIT_RTPRIO, "LimitRTPRIO"), (resource.RLIMIT_MEMLOCK, "LimitMEMLOCK")):
        value = unit.get(directive)
        wanted = resource.RLIM_INFINITY if value == "infinity" else int(value)
        with suppress(ValueError, OSError):  # root in a container may not raise them, and the loop runs without
            resource.setrlimit(limit, (wanted, wanted))
    if unit.all("CapabilityBoundingSet") == [""]:
        for capability in range(64):
            if _LIBC.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)  # and with it all capabilities
    if unit.get("NoNewPrivileges") == "yes":
        _check(_LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if unit.get("MemoryDenyWriteExecute") == "yes" and sys.platform == "linux":
        _LIBC.prctl(_SET_MDWE, 1, 0, 0, 0)  # refused by older kernels


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = [text.encode() or None for text in (source, target, kind)]
    _check(_LIBC.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main() -> None:
    """UNIT UID GROUP READABLE COMMAND...: become the service of a unit, then the command. READABLE: paths with ':'
    between.
    """
    unit = Unit(Path(sys.argv[1]).read_text(encoding="utf-8"))
    enter(unit, int(sys.argv[2]), [int(sys.argv[3])], sys.argv[4].split(":"))
    os.execve(sys.argv[5], sys.argv[5:], {**os.environ, **unit.environment})


if __name__ == "__main__":
    main()
