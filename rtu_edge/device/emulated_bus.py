"""An emulated servo bus as a process behind a pty, paced to its baud rate; for tests, demonstrations and rehearsals.

>>> with EmulatedBus("feetech", servos=2) as emulated:
...     emulated.servos[0].dead = 1
...     emulated.port.startswith("/dev/")
True
"""

from __future__ import annotations

import mmap
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.files import PACKAGE
from rtu_edge._base.validation import check_int, check_number
from rtu_edge._bridge import ffi, lib
from rtu_edge.device import child
from rtu_edge.device.ports import DEFAULT_BAUD
from rtu_edge.device.servo_registers import FAMILIES

__all__ = ["EmulatedBus", "VirtualServos"]


@dataclass(frozen=True)
class VirtualServos:
    """Emulated servos inside the server of a bus (BusServer), which a host may run in lockstep, in virtual time.

    Args:
        family: "feetech", "scs" or "dynamixel".
        gravity: torque that holds the load of each servo horizontally, 0 to 1 of the largest.
    """

    family: str = "feetech"
    gravity: float = 0.0


class EmulatedBus(Closing):
    """Servos with the ids 1 to n behind a pty. The process ends when this object is closed or this process ends.

    Args:
        family: "feetech", "scs" or "dynamixel".
        servos: number of servos, 1 to 16.
        baud: bits per second, 1200 to 4000000: each byte takes 10 bits of it.
        gravity: torque that holds the load horizontally, 0 to 1 of the largest.
        echo: the adapter returns what is sent.
        link: path of a symbolic link to the pty, for a fixed name.

    Raises:
        ConfigError: an argument out of range.
        DeviceError: the process does not start.
    """

    def __init__(
        self,
        family: str = "feetech",
        servos: int = 2,
        *,
        baud: int = DEFAULT_BAUD,
        gravity: float = 0.0,
        echo: bool = False,
        link: str | os.PathLike[str] | None = None,
    ) -> None:
        if family not in FAMILIES:
            raise ConfigError(f'family "{family}": must be one of {", ".join(FAMILIES)}')
        self._count = check_int("servos", servos, 1, lib.TL_EMULATED_SERVOS_MAX)
        check_int("baud", baud, 1200, 4_000_000)
        check_number("gravity", gravity, 0.0, 1.0)
        self.family = family
        self._folder = tempfile.TemporaryDirectory(prefix="rtu-edge-")
        state = Path(self._folder.name, "state")
        command = [str(PACKAGE / "bin" / "tl_servos"), "--until-eof", "--family", family, "--servos", str(servos)]
        command += ["--baud", str(baud), "--gravity", repr(float(gravity)), "--state", str(state)]
        command += ["--echo"] * echo + (["--pty-link", os.fspath(link)] if link is not None else [])
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = child.start(command)
            self.port = self._read_port()
        except DeviceError:
            self.close()
            raise
        with open(state, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), ffi.sizeof("tl_emulated"))
        self._buffer = ffi.from_buffer("tl_emulated *", self._map, require_writable=True)

    def _read_port(self) -> str:
        process = self._process
        assert process is not None
        port, complaint = child.read_port(process)
        if not port:
            raise DeviceError(f"tl_servos: {complaint or 'no port within 10 s'}")
        return port

    @property
    def pid(self) -> int:
        """Process id."""
        if self._process is None:
            raise DeviceError("the emulated bus is closed")
        return self._process.pid

    @property
    def bus(self) -> Any:
        """The state in memory shared with the process (tl_emulated, firmware_bridge/boards/servos/emulated.h)."""
        return self._buffer

    @property
    def servos(self) -> Any:
        """The servos: dead, alarm, late_us, late_answers, goals, position_rad and so on may be read and set."""
        return self._buffer.servos

    def register(self, servo: int, role: str) -> int:
        """A register of servos[servo] as its table holds it; role: "TORQUE", "GOAL_POSITION" and so on (TL_REG_*)."""
        check_int("servo", servo, 0, self._count - 1)
        number = getattr(lib, f"TL_REG_{role}")
        return int(lib.tl_emulated_get(self._buffer, self._buffer.servos + servo, number))

    def close(self) -> None:
        """End the process and wait for it; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        child.end(process, patience_s=2)
        self._folder.cleanup()
