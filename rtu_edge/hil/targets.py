"""Targets of a suite: a device in this process, the firmware process, the image in QEMU, or a real port.

>>> with make_target("sim", plant="servo") as target:
...     target.name, "reset" in target.abilities
('sim', True)
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import DeviceError
from rtu_edge._bridge import lib
from rtu_edge.device.boards import BOARDS, Board, build_board
from rtu_edge.device.ports import Port, open_port
from rtu_edge.device.simulated import InProcessDevice, firmware_path
from rtu_edge.hil.emulated import EmulatedBoard
from rtu_edge.hil.qemu import QemuBoard, build_image, symbol_address

__all__ = ["NAMES", "BoardTarget", "PortTarget", "ProcessTarget", "QemuTarget", "SimTarget", "Target", "make_target"]

_EMULATED = {f"qemu-{name}": board for name, board in BOARDS.items()}
NAMES = ("sim", "process", "qemu", *_EMULATED)


class Target(Closing):
    """A device under test; a context manager. Closing is idempotent.

    `abilities` lists the supported operations: "reset" (restart with a new boot_id), "stop" (freeze and resume),
    "set_clock" (restart with another clock), "show_driver" (read the last actuator command), "measure" (replace what an
    observation measures, over the line). Others raise a DeviceError. `plant` names the simulated plant; "": unknown.
    State and counters are requested over the line: FaultBridge.
    """

    name = ""
    plant = ""
    abilities: frozenset[str] = frozenset()

    def fileno(self) -> int:
        """Descriptor of the line to the device, not blocking; the same through all resets."""
        raise NotImplementedError

    def reset(self) -> None:
        """Restart the device: DISARMED, with a new boot_id."""
        raise DeviceError(f"{self.name}: cannot be reset from here; press its button")

    def set_clock(self, clock_us: int) -> None:
        """Restart the device with this clock value."""
        raise DeviceError(f"{self.name}: its clock cannot be set from here")

    def driver(self) -> tuple[float, ...]:
        """The values in the registers of the actuators' drivers, in their units, independent of STATE.

        The register of a brake comes after those of the actuators: 1 engaged, 0 released. Further values do not count.
        """
        raise DeviceError(f"{self.name}: the registers of its drivers cannot be read from here")

    def stop(self) -> None:
        """Freeze the device: no output and no action, but its clock runs."""
        raise DeviceError(f"{self.name}: cannot be stopped from here")

    def go_on(self) -> None:
        """Resume a frozen device."""
        raise DeviceError(f"{self.name}: cannot be stopped from here")


def make_target(name: str, plant: str = "servo", *, firmware: str | os.PathLike[str] | None = None) -> Target:
    """Create a target from its name.

    Args:
        name: "sim", "process", "qemu", "qemu-BOARD" (rtu_edge.device.boards), or the path or URL of a port.
        plant: the simulated plant; a real port has its own.
        firmware: an image for "qemu" and "qemu-BOARD", default: built from the source tree; an executable for
            "process", default: the package's (rtu_edge.device.firmware builds one with another plant).

    Raises:
        DeviceError: it does not start, or cannot be opened.
    """
    made: Target
    if name == "sim":
        made = SimTarget(plant)
    elif name == "process":
        made = ProcessTarget(plant, firmware=firmware)
    elif name == "qemu":
        made = QemuTarget(Path(firmware) if firmware is not None else build_image(plant))
    elif name in _EMULATED:
        made = BoardTarget(_EMULATED[name], Path(firmware) if firmware is not None else build_board(name[5:], plant))
    elif "/" not in name and "://" not in name:
        raise DeviceError(f"target {name!r}: must be one of {', '.join(NAMES)}, or the path or URL of a port")
    else:
        return PortTarget(name)
    made.plant = plant
    return made


class SimTarget(Target):
    """The device inside this process, pumped by a thread behind a socket pair.

    Args:
        plant: as for InProcessDevice; `options` too.
        clock_us: initial value of its clock; near 2^32 it wraps soon.
    """

    name = "sim"
    abilities = frozenset({"show_driver", "reset", "stop", "set_clock", "measure"})

    def __init__(self, plant: str = "servo", *, clock_us: int | None = None, **options: Any) -> None:
        self._plant, self._options = plant, options
        self._offset_us = 0 if clock_us is None else clock_us - time.monotonic_ns() // 1000
        self._boot_id = int.from_bytes(os.urandom(3), "little")
        self._device = self._make()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._lock = threading.Lock()
        self._frozen = False
        self._closing = False
        self._thread = threading.Thread(target=self._pump, name="rtu-hil device", daemon=True)
        self._thread.start()

    def _make(self) -> InProcessDevice:
        return InProcessDevice(self._plant, now_us=self._now_us(), boot_id=self._boot_id, **self._options)

    def _now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self._offset_us

    def fileno(self) -> int:
        """Descriptor of the line."""
        return self._ours.fileno()

    def reset(self) -> None:
        """A new device with a continuous clock."""
        with self._lock:
            self._boot_id += 1
            self._device = self._make()

    def set_clock(self, clock_us: int) -> None:
        """A new device with this clock."""
        with self._lock:
            self._offset_us = clock_us - time.monotonic_ns() // 1000
            self._boot_id += 1
            self._device = self._make()

    def driver(self) -> tuple[float, ...]:
        """Read from the device's memory."""
        with self._lock:
            return self._device.driver

    def stop(self) -> None:
        """Pump no more."""
        self._frozen = True

    def go_on(self) -> None:
        """Pump again."""
        self._frozen = False

    def close(self) -> None:
        """End it."""
        self._closing = True
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _pump(self) -> None:
        while not self._closing:
            wait_us = max(0, self._device.due_us - self._now_us())
            ready, _, _ = select.select([self._theirs], [], [], min(wait_us * 1e-6, 0.02))
            if self._frozen:
                time.sleep(0.002)
                continue
            with self._lock:
                said = self._device.receive(self._theirs.recv(4096), self._now_us()) if ready else b""
                said += self._device.tick(self._now_us())
            try:
                self._theirs.send(said)
            except BlockingIOError:
                continue  # no reader: a line loses what does not fit


class ProcessTarget(Target):
    """The firmware as a process, at the other end of a socket pair.

    Args:
        plant: as for SimulatedDevice.
        options: further ones of the firmware, such as {"--max-steps": 1000}.
        firmware: executable to use instead of the package's.

    Raises:
        DeviceError: the firmware is missing.
    """

    name = "process"
    abilities = frozenset({"show_driver", "reset", "stop", "measure"})

    def __init__(
        self,
        plant: str = "servo",
        options: Mapping[str, object] | None = None,
        *,
        firmware: str | os.PathLike[str] | None = None,
    ) -> None:
        program = os.fspath(firmware) if firmware is not None else str(firmware_path())
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._command = [program, "--plant", plant, "--until-eof", "--fd", str(self._theirs.fileno())]
        self._folder = tempfile.TemporaryDirectory(prefix="rtu-driver-")
        self._driver = Path(self._folder.name) / "driver"
        self._command += ["--driver-file", str(self._driver)]
        for option, value in (options or {}).items():
            self._command += [option, str(value)]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[self._theirs.fileno()],
            start_new_session=True,
        )

    def fileno(self) -> int:
        """Descriptor of the line."""
        return self._ours.fileno()

    def driver(self) -> tuple[float, ...]:
        """Read from a page shared with the process."""
        data = self._driver.read_bytes()
        return struct.unpack(f"={len(data) // 4}f", data[: len(data) // 4 * 4])

    def reset(self) -> None:
        """Kill the process and start a new one."""
        self._end()
        self._process = self._start()

    def stop(self) -> None:
        """SIGSTOP."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid, signal.SIGCONT)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def close(self) -> None:
        """End it."""
        self._end()
        self._ours.close()
        self._theirs.close()
        self._folder.cleanup()


class QemuTarget(Target):
    """The STM32F405 image in QEMU, pinned to one core.

    Args:
        image: the ELF file.
        cpu: the core; default: the last one available to this process.

    Raises:
        DeviceError: QEMU is missing or does not start.
    """

    name = "qemu"

    def __init__(self, image: str | os.PathLike[str], cpu: int | None = None) -> None:
        self._driver = symbol_address(image, "tl_board_driver")
        self.abilities = frozenset(
            {"reset", "stop", "measure"} | ({"show_driver"} if self._driver is not None else set())
        )
        self._board = QemuBoard(image, cpu=max(os.sched_getaffinity(0)) if cpu is None else cpu)
        try:
            self._port: Port = open_port(self._board.port)
        except DeviceError:
            self._board.close()
            raise

    def fileno(self) -> int:
        """Descriptor of the line."""
        return self._port.fileno()

    def driver(self) -> tuple[float, ...]:
        """Read from the emulated memory."""
        return super().driver() if self._driver is None else self._board.read_floats(self._driver, lib.TL_PLANT_ACT_MAX)

    def reset(self) -> None:
        """Press the button."""
        self._board.reset()

    def stop(self) -> None:
        """SIGSTOP."""
        os.kill(self._board.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._board.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self._port.close()
        self._board.close()


class BoardTarget(Target):
    """The image of a board of rtu_edge.device.boards in QEMU, pinned to one core.

    Args:
        board: the board.
        image: the ELF file.
        cpu: the core; default: the last one available to this process.

    Raises:
        DeviceError: QEMU is missing.
    """

    abilities = frozenset({"show_driver", "reset", "stop", "measure"})

    def __init__(self, board: Board, image: str | os.PathLike[str], cpu: int | None = None) -> None:
        self.name = f"qemu-{board.name}"
        driver = symbol_address(image, "tl_board_driver")
        if driver is None:
            raise DeviceError(f"{image}: has no tl_board_driver; it is not an image of boards/ports")
        self._driver = driver
        self._board = EmulatedBoard(board, image, cpu=max(os.sched_getaffinity(0)) if cpu is None else cpu)

    def fileno(self) -> int:
        """Descriptor of the line."""
        return self._board.line.fileno()

    def driver(self) -> tuple[float, ...]:
        """Read from the emulated memory."""
        return self._board.read_floats(self._driver, lib.TL_PLANT_ACT_MAX)

    def reset(self) -> None:
        """Press the button."""
        self._board.reset()

    def stop(self) -> None:
        """SIGSTOP."""
        os.kill(self._board.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._board.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self._board.close()


class PortTarget(Target):
    """A real device on a port, accessible only through the protocol.

    Args:
        url: a device's path, or a pyserial URL.
        baud: bits per second.

    Raises:
        DeviceError: the port cannot be opened.
    """

    def __init__(self, url: str, baud: int = 1_000_000) -> None:
        self.name = url
        self._port = open_port(url, baud)

    def fileno(self) -> int:
        """Descriptor of the line."""
        return self._port.fileno()

    def close(self) -> None:
        """End it."""
        self._port.close()
