"""Opens the port of a running loop again when its device has come back: a plug that dropped, an adapter that hung."""

from __future__ import annotations

import contextlib
import threading
import time

from rtu_edge._base.errors import DeviceError
from rtu_edge.loop.link import Link

__all__ = ["Reopener"]

_LOOK_S = 0.01  # interval of questions to the loop
_AGAIN_S = 0.05  # interval of attempts to open


class Reopener:
    """A thread next to the loop's own, which must not open files: it ends with the loop.

    Args:
        link: on which the loop has started.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._thread = threading.Thread(target=self._serve, name="rtu-edge reopener", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end, after the loop's."""
        self._thread.join()

    def _serve(self) -> None:
        while self._link.running:
            wanted = self._link.wants_port
            if wanted:
                with contextlib.suppress(DeviceError, OSError):  # not there yet, or udev has not set its access yet
                    self._link.reopen()
            time.sleep(_AGAIN_S if wanted and self._link.wants_port else _LOOK_S)
