"""A fault that makes a simulated device look like a real board to the host."""

from __future__ import annotations

import dataclasses
from typing import Any

from rtu_edge.device import protocol
from rtu_edge.hil.faults.frames import _Rewrite


class Real(_Rewrite, frozen=True, kw_only=True):
    """The device's HELLO has no SIMULATED flag."""

    kind = "real"
    message = protocol.Hello

    def rewrite(self, now: Any, message: protocol.Hello) -> protocol.Message:
        return dataclasses.replace(message, caps=message.caps & ~(protocol.Cap.SIMULATED | protocol.Cap.LOCKSTEP))
