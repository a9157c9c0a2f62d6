"""The image of a board in QEMU; the line is a socket of this process and stays through resets."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rtu_edge.device.boards import Board
from rtu_edge.hil.qemu import QemuBoard, find_tool, symbol_address

__all__ = ["EmulatedBoard"]

_BOOT_WORDS = "tl_port_power_on"  # memory of an AVR as power-on leaves it


class EmulatedBoard(QemuBoard):
    """An image in the emulator of its board.

    Args:
        board: the board.
        image: the ELF file.
        cpu: the core that QEMU is pinned to; None for any.
        options: more of QEMU's.

    It ends with the thread that created it. `line` is this end of the board's serial line, not blocking, and the same
    through all resets.

    Raises:
        DeviceError: QEMU is missing.
    """

    def __init__(
        self, board: Board, image: str | os.PathLike[str], *, cpu: int | None = None, options: Sequence[str] = ()
    ) -> None:
        self._board, self._image, self._cpu, self._options = board, Path(image), cpu, tuple(options)
        self._entropy = symbol_address(image, _BOOT_WORDS)
        self.line, self._far = socket.socketpair()
        self.line.setblocking(False)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        program, model = self._board.emulator
        far = self._far.fileno()
        command = [find_tool(program), "-M", model, "-display", "none", "-accel", "tcg,thread=single"]
        command += ["-monitor", "stdio", "-chardev", f"socket,id=line,fd={far}", "-serial", "chardev:line"]
        if self._entropy is not None:
            word = int.from_bytes(os.urandom(4), "little")
            command += ["-device", f"loader,addr={self._entropy:#x},data={word:#x},data-len=4"]
        command += ["-bios", "none"] if model == "virt" else []
        command += ["-bios" if self._board.avr else "-kernel", str(self._image), *self._options]
        if self._cpu is not None:
            command = [find_tool("taskset"), "--cpu-list", str(self._cpu), *command]
        # QEMU does not exit when its monitor's input ends: a killed test would leave it running.
        command = [find_tool("setpriv"), "--pdeathsig", "KILL", *command]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[far],
            start_new_session=True,
        )

    def reset(self) -> None:
        """Press the reset button. QEMU does not reset the processor of an AVR: there the power is switched."""
        if not self._board.avr:
            super().reset()
            return
        self._end()
        self._process = self._start()

    def close(self) -> None:
        """End QEMU, stopped or not; a second call does nothing."""
        self._end()
        self.line.close()
        self._far.close()
