"""An emergency stop whose system calls return after its deadline."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from estop_stage import Stage, server

from rtu_edge._base.errors import DeviceError
from rtu_edge.tools import estop as stops

__all__ = ["server"]

pytestmark = pytest.mark.timing


def test_nothing_is_ended_after_the_deadline(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late result of a system call may name a device that belongs to another process by then."""
    answered = threading.Event()
    ended: list[object] = []
    found = stops.holders

    def late(device: Any) -> Any:
        answered.wait(10)
        return found(device)

    monkeypatch.setattr(stops, "holders", late)
    monkeypatch.setattr(stops, "end", lambda ones, *_: ended.append(ones) or [])
    with Stage(server) as stage:
        driver = stage.drive("program")
        with pytest.raises(DeviceError, match=r"no confirmation within 0\.5 s"):
            stops.estop(stage.link, timeout_s=0.5)
        answered.set()
        for thread in threading.enumerate():
            if thread.name == "rtu-edge estop":
                thread.join(10)
        assert ended == []
        os.kill(driver, 0)
