"""The checks' access to a host: files below a root, imports in separate processes, holders of ports.

Text is without control characters. A file that is missing is None; one that cannot be read or understood is an error,
which makes the check's finding a note (rtu_edge.tools.doctor.checks).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rtu_edge._base.untrusted import clean, open_regular
from rtu_edge.device.holders import Process, device_of
from rtu_edge.device.holders import holders as holders_of
from rtu_edge.tools.doctor.imports import Imported, not_asked

__all__ = ["Host"]

_MOST = 1 << 18  # bytes of one file; /proc/cpuinfo of 128 cores fits
_ARCHITECTURES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64"}


def _holders(port: str) -> list[Process]:
    found = device_of(port)
    return holders_of(found) if found is not None else []


def _module_folders() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(entry) for entry in sys.path if entry))


@dataclass(frozen=True)
class Host:
    """A host, or a planted tree of its files.

    Args:
        root: folder that stands for /.
        folder: folder of the runs, whose disk is measured.
        here: the current folder, which Python searches for modules of a script in it.
        modules: folders that Python searches for a module, in order.
        wall_s: wall clock, s since 1970.
        environment_isa: value of RTU_EDGE_ISA, "" where it is not set.
        imported: result of an import in a separate process, by name (rtu_edge.tools.doctor.imports).
        holders: processes that hold a port, by its path.
    """

    root: Path = Path("/")
    folder: Path = Path("runs")
    here: Path = field(default_factory=Path.cwd)
    modules: tuple[Path, ...] = field(default_factory=_module_folders)
    wall_s: float = field(default_factory=time.time)
    environment_isa: str = ""
    imported: Callable[[str], Imported] = not_asked
    holders: Callable[[str], list[Process]] = _holders

    def path(self, name: str) -> Path:
        """Path of a file that is `name` on the host."""
        return self.root / name.lstrip("/")

    def bytes(self, name: str | Path, most: int = _MOST) -> bytes | None:
        """The first bytes of a file; None where there is none.

        Raises:
            OSError: it cannot be read. ValueError: not a regular file.
        """
        path = self.path(name) if isinstance(name, str) else name
        try:
            with open(open_regular(path), "rb") as file:
                return file.read(most)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None

    def text(self, name: str | Path) -> str | None:
        """Text of a file without control characters and outer white space; errors as of bytes()."""
        data = self.bytes(name)
        if data is None:
            return None
        return clean(data.rstrip(b"\0").decode(errors="replace"), lines=True).strip()

    def need(self, name: str) -> str:
        """Text of a file that every Linux has.

        Raises:
            ValueError: it is missing or empty; others as of bytes().
        """
        text = self.text(name)
        if not text:
            raise ValueError(f"{name} is {'missing' if text is None else 'empty'}")
        return text

    def number(self, name: str | Path, base: int = 10) -> int | None:
        """Number in a file; None where there is no file.

        Raises:
            ValueError: it has no number; others as of bytes().
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            return int(text, base)
        except ValueError:
            raise ValueError(f"{name}: a number is expected there, found {clean(text)[:40]!r}") from None

    def glob(self, pattern: str) -> list[Path]:
        """Paths that match a pattern, in order of their names with numbers as numbers."""
        return sorted(self.root.glob(pattern.lstrip("/")), key=_natural)

    def processes(self) -> Iterator[tuple[int, str, str]]:
        """Number, name and command line of each process that this user can see."""
        for path in self.glob("/proc/[0-9]*"):
            name = self.text(path / "comm")
            if name is not None and path.name.isdigit():
                arguments = self.bytes(path / "cmdline") or b""
                yield int(path.name), name, clean(arguments.replace(b"\0", b" ").decode(errors="replace"))

    def status(self, name: str) -> str:
        """A line of /proc/self/status, such as "Uid".

        Raises:
            ValueError: there is none.
        """
        found = re.search(rf"(?m)^{name}:[ \t]*(.*)$", self.need("/proc/self/status"))
        if found is None:
            raise ValueError(f"/proc/self/status has no line {name}")
        return found[1]

    def capable(self, bit: int) -> bool:
        """Whether this process has a capability, by its number (capabilities(7))."""
        return bool(int(self.status("CapEff"), 16) >> bit & 1)

    def limit(self, title: str) -> float:
        """Soft limit of this process, by its title in /proc/self/limits; infinity where there is none.

        Raises:
            ValueError: the file has no such line.
        """
        found = re.search(rf"(?m)^{title}\s+(\d+|unlimited)\s", self.need("/proc/self/limits"))
        if found is None:
            raise ValueError(f"/proc/self/limits has no line {title!r}")
        return float("inf") if found[1] == "unlimited" else int(found[1])

    def release(self) -> dict[str, str]:
        """Keys of /etc/os-release, such as ID; empty where there is none."""
        text = self.text("/etc/os-release") or ""
        return {key: value.strip("\"'") for key, value in re.findall(r"(?m)^(\w+)=(.*)$", text)}

    def jetson(self) -> tuple[int, int] | None:
        """Release and revision of Jetson Linux, such as (38, 4) of JetPack 7.1; None elsewhere."""
        text = self.text("/etc/nv_tegra_release")
        found = re.search(r"R(\d+) \(release\), REVISION: (\d+)", text or "")
        return (int(found[1]), int(found[2])) if found else None

    def model(self) -> str:
        """Model of a board with a device tree, else ""."""
        return self.text("/proc/device-tree/model") or ""

    def program(self) -> tuple[int, str]:
        """Bits and architecture of the running Python, by the head of its file.

        Raises:
            ValueError: there is no such file, or it is not an ELF file.
        """
        head = self.bytes("/proc/self/exe", 20) or b""
        if len(head) < 20 or head[:4] != b"\x7fELF" or head[4] not in (1, 2):
            raise ValueError("/proc/self/exe: an ELF file is expected there")
        code = int.from_bytes(head[18:20], "little")
        return 32 * head[4], _ARCHITECTURES.get(code, f"architecture {code}")


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path))]
