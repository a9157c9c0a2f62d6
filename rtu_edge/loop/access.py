"""One caller of a robot at a time, and a close() that waits for the end of its call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rtu_edge._base.errors import DeviceError

__all__ = ["Access"]


class Access:
    """Who uses a robot.

    Args:
        name: of the robot, for errors.
        end: what close() does; called once.

    Attributes:
        user: the call under way, "run()"; "" for none.
        closed: end() was called.
    """

    def __init__(self, name: str, end: Callable[[], object]) -> None:
        self.user = ""
        self.closed = False
        self._name, self._end = name, end
        self._lock = threading.Lock()
        self._inside: set[int] = set()  # threads that are in a call of this robot, or in a function that it calls
        self._close_due = False

    @contextlib.contextmanager
    def using(self, what: str) -> Iterator[None]:
        """One user at a time. Raises DeviceError: another one, or it is closed."""
        if not self._lock.acquire(blocking=False):
            raise DeviceError(
                f"{self._name}: {what} while {self.user or 'another call'} of another thread is under way"
            )
        try:
            if self.closed:
                raise DeviceError(f"{self._name}: {what}: the robot is closed")
            self.user = what
            with self.as_inside():
                yield
        finally:
            self.user = ""
            self._lock.release()
            if self._close_due:
                self.close()

    @contextlib.contextmanager
    def as_inside(self) -> Iterator[None]:
        """What this thread calls here cannot wait for the end of the call."""
        own = threading.get_ident()
        self._inside.add(own)
        try:
            yield
        finally:
            self._inside.discard(own)

    def inside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which a thread of the loop calls."""

        def called(*arguments: Any) -> Any:
            with self.as_inside():
                return function(*arguments)

        return called

    def close(self) -> None:
        """End it, once the call under way has ended; from inside that call, at its end."""
        if threading.get_ident() in self._inside:
            self._close_due = True
            return
        with self._lock:
            if not self.closed:
                self.closed = True
                self._end()
