"""A person's source for the native loop: a function that returns commands, or None while hands are off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.schema import DataSheet
from rtu_edge.loop.flags import Clock
from rtu_edge.loop.supervisor import imported

__all__ = ["Person", "Source", "asked", "back_steps"]

Array = npt.NDArray[np.float32]

# Of the newest observation (n,): commands (m,) in the units of the actuators, or None while hands are off.
Source = Callable[[Array], Any]

_LEAST_S = 0.005  # shortest interval of questions to a source in real time
_PATIENCE_S = 2.0  # for the end of a question at the end of a run


def back_steps(back_s: float, period_s: float) -> int:
    """Steps of the way back."""
    return round(back_s / period_s)


def asked(source: Source, m: int) -> Callable[[Array], Array | None]:
    """The source, whose results are (m,) float32 or None; values that are not finite pass.

    Raises (when called):
        ConfigError: it returned another shape, or no numbers.
    """

    def ask(x: Array) -> Array | None:
        given = source(x)
        if given is None:
            return None
        try:
            if isinstance(given, np.ma.MaskedArray):
                raise ValueError("masked")
            with np.errstate(over="ignore"):
                values = np.atleast_1d(np.asarray(given, np.float64)).astype(np.float32)
        except (TypeError, ValueError):
            raise ConfigError(f"take_over: returned {given!r}; expected {m} real numbers, or None") from None
        if values.shape != (m,):
            raise ConfigError(f"take_over: returned values of shape {values.shape}; expected ({m},), or None")
        return values

    return ask


class Person:
    """The source of one loop. In lockstep the loop asks in each step; in real time a thread asks once per period, and
    what it reports holds for `take_over_silence_ms`.

    Args:
        given: the source, or its name MODULE:NAME.
        sheet: of the devices.
        clock: of the loop.
        silence_ms, back_s: of LoopConfig.

    Raises:
        ConfigError: the function cannot be imported, or the silence is shorter than two questions.
    """

    def __init__(self, given: Source | str, sheet: DataSheet, clock: Clock, silence_ms: float, back_s: float) -> None:
        source = imported("take_over.function", given) if isinstance(given, str) else given
        n, m = sheet.observation_size, sheet.action_size
        self._ask = asked(source, m)
        self._interval_s = max(sheet.period_s, _LEAST_S)
        self._silence_s = silence_ms * 1e-3
        in_loop = clock is Clock.LOCKSTEP
        if not in_loop and self._silence_s < 2 * self._interval_s:
            raise ConfigError(
                f"take_over_silence_ms = {silence_ms:g}: expected {2e3 * self._interval_s:g} to 60000;"
                f" the source is asked every {1e3 * self._interval_s:g} ms"
            )
        steps = back_steps(back_s, sheet.period_s)
        self.core = _core.TakeOver(self._ask if in_loop else None, n, m, steps)
        self._over = threading.Event()
        self._thread = None if in_loop else threading.Thread(target=self._serve, name="rtu-edge person", daemon=True)

    def start(self) -> None:
        """After the loop's start."""
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """After the loop. A source that does not return is left behind."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(_PATIENCE_S)

    def error(self) -> BaseException | None:
        """What the source raised, once."""
        found: BaseException | None = self.core.take_error()
        return found

    def report(self, values: Array | None) -> None:
        """What the person does from now on; None: hands off."""
        self.core.post(values, self._silence_s)

    def _serve(self) -> None:
        while not self._over.wait(self._interval_s):
            x = self.core.observation()
            try:
                self.report(None if x is None else self._ask(x))
            except BaseException as error:  # passed on by Loop.result()
                self.core.fail(error)
                return
