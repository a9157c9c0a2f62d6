"""Simulated devices: the firmware as a process behind a pty, or inside this process with an injected clock.

>>> with SimulatedDevice("cartpole") as device:
...     device.port.startswith("/dev/")
True
"""

from __future__ import annotations

import contextlib
import difflib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtu_edge._base.closing import Closing
from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge._base.files import PACKAGE
from rtu_edge._bridge import ffi, lib
from rtu_edge.device import child
from rtu_edge.device.holders import status_of

__all__ = ["InProcessDevice", "SimulatedDevice", "firmware_path", "plants_of", "simulated", "unknown_plant"]


# s: before it ends, the firmware brings its outputs to their safe behaviour, which includes ramps.
_RAMP_S = 60.0


def firmware_path(given: str = "") -> Path:
    """Path of the firmware's executable: the given one, what RTU_EDGE_FIRMWARE names, or the package's.

    Raises:
        DeviceError: it is not there.
    """
    path = Path(given or os.environ.get("RTU_EDGE_FIRMWARE") or PACKAGE / "bin" / "tl_firmware")
    if not path.is_file():
        raise DeviceError(
            f"{path}: no firmware there; install the package, or name one in device.firmware or RTU_EDGE_FIRMWARE"
        )
    return path.absolute()  # a name without a slash would be looked for on PATH


class SimulatedDevice(Closing):
    """The firmware with a simulated plant, as a separate process behind a pty.

    The process ends when this object is closed or when this process ends.

    Args:
        plant: "cartpole", "cartpole-full", "pendulum", "pendulum-full", "servo", "servo-full", "joint".
        seed: start of episode 0; a RESET carries its own.
        boot_id: number of this start; default: a new one each time.
        ttl_max_ms: upper limit of a command's TTL, 1 to 60000.
        silence_ms: silence of the link that stops a session, 1 to 60000.
        max_steps: maximum steps of an episode; default: the plant's.
        slew: largest change of an actuator per period; default: no limit.
        reset_ticks: additional periods per reset in real time.
        period_us: control period in real time; default: the plant's.
        link: path of a symbolic link to the pty, for a fixed name.
        firmware: executable to use instead of the package's (rtu_edge.device.firmware builds one with another plant).

    Raises:
        ConfigError: the firmware has no such plant.
        DeviceError: the firmware is missing, or does not start.
    """

    def __init__(
        self,
        plant: str = "cartpole",
        *,
        seed: int = 0,
        boot_id: int | None = None,
        ttl_max_ms: int | None = None,
        silence_ms: int | None = None,
        max_steps: int | None = None,
        slew: float | None = None,
        reset_ticks: int | None = None,
        period_us: int | None = None,
        link: str | os.PathLike[str] | None = None,
        firmware: str | os.PathLike[str] | None = None,
    ) -> None:
        options = {
            "--plant": plant,
            "--seed": seed,
            "--boot-id": boot_id,
            "--ttl-max-ms": ttl_max_ms,
            "--silence-ms": silence_ms,
            "--max-steps": max_steps,
            "--slew": slew,
            "--reset-ticks": reset_ticks,
            "--period-us": period_us,
            "--pty-link": None if link is None else os.fspath(link),
        }
        command = [os.fspath(firmware) if firmware is not None else str(firmware_path()), "--until-eof"]
        for name, value in options.items():
            if value is not None:
                command += [name, str(value)]
        self._process: subprocess.Popen[bytes] | None = child.start(command)
        self._plant = plant
        self._port = self._read_port(command)

    def _read_port(self, command: list[str]) -> str:
        """Wait for the line with the path of the pty."""
        process = self._process
        assert process is not None
        port, complaint = child.read_port(process)
        if port:
            return port
        self.close()
        plant, known = command[command.index("--plant") + 1], plants_of(command[0])
        if known and plant not in known:
            raise ConfigError(unknown_plant(plant, known))
        raise DeviceError(f"{' '.join(command)}: {complaint or 'no port within 10 s'}")

    @property
    def port(self) -> str:
        """Path of the pty, to open as a serial port."""
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the firmware.

        Raises:
            DeviceError: it is closed.
        """
        if self._process is None:
            raise DeviceError("the device is closed")
        return self._process.pid

    def __repr__(self) -> str:
        state = f"pid {self._process.pid}" if self.running and self._process else "ended"
        return f"SimulatedDevice({self._plant!r}): {self._port}, {state}"

    @property
    def running(self) -> bool:
        """False once the process has ended, for any reason."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the process and wait for it; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        # Stopped by a debugger or a test: SIGTERM waits for SIGCONT, SIGKILL does not.
        child.end(process, _RAMP_S, hopeless=_is_stopped)


def plants_of(firmware: str | os.PathLike[str]) -> list[str]:
    """Names of the plants in a firmware's executable; none where it cannot tell."""
    try:
        done = subprocess.run([firmware, "--list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.decode(errors="replace").split()


def unknown_plant(plant: str, known: Sequence[str]) -> str:
    """A sentence that names the plants there are."""
    close = difflib.get_close_matches(plant, known, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f'plant "{plant}": unknown; must be one of {", ".join(known)}, or the C file of a plant (NAME.c){hint}'


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return status_of(pid)[1][0] in (b"T", b"t")
    return False


def simulated(plant: str, **options: Any) -> SimulatedDevice:
    """Start the device that a configuration's `device.plant` names.

    Args:
        plant: a name as for SimulatedDevice, or the path of a plant's C file (*.c), with which the firmware is built.
        options: further arguments of SimulatedDevice.

    Raises:
        ConfigError: there is no such plant or file, or its plant has the name of one of the package's.
        DeviceError: it does not compile, or does not start.
    """
    if not plant.endswith(".c"):
        return SimulatedDevice(plant, **options)
    from rtu_edge.device.firmware import build_firmware

    with tempfile.TemporaryDirectory(prefix="rtu-edge-") as folder:  # a started process no longer needs the file
        program = build_firmware(plant, Path(folder) / "tl_firmware")
        listed = plants_of(program)
        name = listed[-1] if listed else ""
        if name in listed[:-1]:
            raise ConfigError(
                f"{plant}: its plant is called {name}, as one of the package's; give it a name of its own"
            )
        return SimulatedDevice(name, firmware=program, **options)


class InProcessDevice:
    """The same device inside this process: bytes in, bytes out, time as an argument.

    Args:
        plant: as for SimulatedDevice; the other options too.
        now_us: the device's clock as it starts.

    Raises:
        DeviceError: the name is unknown, or an option does not fit.
    """

    def __init__(
        self,
        plant: str = "cartpole",
        *,
        now_us: int = 0,
        boot_id: int = 0,
        seed: int = 0,
        silence_us: int = 0,
        ttl_max_ms: int = 0,
        reset_ticks: int = 0,
        max_steps: int = 0,
        slew: float = 0.0,
    ) -> None:
        options = ffi.new("tl_simulated_options *")
        options.boot_id, options.seed, options.silence_us = boot_id, seed, silence_us
        options.ttl_max_ms, options.reset_ticks = ttl_max_ms, reset_ticks
        options.max_steps, options.slew = max_steps, slew
        self._driver = ffi.new("float[]", lib.TL_PLANT_ACT_MAX)
        options.driver = self._driver
        self._outbox = ffi.new("tl_outbox *")
        self._c = ffi.new("tl_simulated *")
        send = ffi.addressof(lib, "tl_outbox_take")
        if not lib.tl_simulated_init(self._c, plant.encode(), options, send, self._outbox, now_us):
            raise DeviceError(f"no device of plant {plant!r} with slew {slew}")

    @property
    def bridge(self) -> Any:
        """The device's `tl_bridge`, read-only."""
        return self._c.bridge

    @property
    def driver(self) -> tuple[float, ...]:
        """The last actuator command applied to the plant: the register of a driver."""
        return tuple(self._driver[i] for i in range(self._c.sheet.action_size))

    @property
    def due_us(self) -> int:
        """When the next tick is due."""
        return int(lib.tl_bridge_due(ffi.addressof(self._c, "bridge")))

    def receive(self, data: bytes, now_us: int) -> bytes:
        """Send bytes to the device; return its immediate answer."""
        lib.tl_bridge_receive(ffi.addressof(self._c, "bridge"), data, len(data), now_us)
        return self._take()

    def tick(self, now_us: int) -> bytes:
        """Advance the device to this time; return its output."""
        lib.tl_bridge_tick(ffi.addressof(self._c, "bridge"), now_us)
        return self._take()

    def _take(self) -> bytes:
        data = bytes(ffi.buffer(self._outbox.bytes, self._outbox.size))
        self._outbox.size = 0
        return data
