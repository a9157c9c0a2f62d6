"""Reconnect: drops of the plug while a run learns, the owner's registration after them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from host import not_simulated

import rtu_edge as rtu
from rtu_edge._base.errors import CheckFailed, ConfigError, DeviceError
from rtu_edge.bench.drops import Drops, save
from rtu_edge.cli.bench import command
from rtu_edge.config import parse_config
from rtu_edge.device import lock
from rtu_edge.device.ports import open_port
from rtu_edge.device.registry import lock_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.hil import FaultBridge, SimTarget
from rtu_edge.loop import (
    Clock,
    Link,
    LinkQuality,
    Loop,
    LoopConfig,
    LoopStatus,
    RecordFlag,
    StopReason,
    options,
)
from rtu_edge.loop.result import Tally
from rtu_edge.run import connect
from rtu_edge.run.loop import _Gaps
from rtu_edge.tools.estop import Estop, estop


def until(done: Callable[[], object], seconds: float = 30.0) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def agent() -> rtu.StreamAC:
    return rtu.StreamAC(observation_size=2, action_size=1, units=4, hidden=4, seed=0, dt_s=0.01)


@pytest.mark.timing
@pytest.mark.hazard("reconnect-unchecked")
@pytest.mark.hazard("reconnect-learns")
def test_drops_by_command(tmp_path: Path) -> None:
    """A run in its own process resumes after each, nothing is accepted between, and its log replays to the bit.

    `rtu-edge bench drops` alone makes a hundred.
    """
    done = CliRunner().invoke(command, ["drops", "--count", "3", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "drops.json").read_text())
    assert found["done"] == 3 <= found["reconnects"] == found["sessions"] - 1 and found["hashes"] >= 1
    assert found["accepted_between"] == found["learned_in_gap"] == 0 and found["differences"] == ""
    assert "passed" in (tmp_path / "drops.txt").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"done": 1},
        {"sessions": 2},
        {"accepted_between": 1},
        {"learned_in_gap": 1},
        {"differences": "first difference"},
        {"finite": False},
        {"ended": "link_lost"},
    ],
    ids=str,
)
def test_what_drops_do_not_forgive(wrong: dict[str, object], tmp_path: Path) -> None:
    good = Drops("process", 0.2, 2, done=2, sessions=3, reconnects=2, ended="signal")
    save(good, tmp_path)
    with pytest.raises(CheckFailed, match=r"drops\.txt"):
        save(dataclasses.replace(good, **wrong), tmp_path)  # type: ignore[arg-type]


@pytest.mark.timing
def test_the_registration_follows_the_port() -> None:
    """While the port is gone its node is free; afterwards the owner is found, and an emergency stop reaches it."""
    with SimTarget("servo") as target, FaultBridge(target) as bridge:
        settings = parse_config(f'[device]\nport = "{bridge.port}"\n[reconnect]\nwithin_s = 3.0\nmost = 1\n')
        with connect(settings) as device:
            before = os.path.realpath(bridge.port)
            loop = Loop(device.link, agent(), LoopConfig(clock=Clock.DEVICE, reconnect_s=30.0, handle_signals=False))
            with loop:
                loop.start()
                until(lambda: loop.steps > 10)
                bridge.unplug()
                until(lambda: device.link.wants_port)
                until(lambda: [owner.record.device for owner in lock.owners(bridge.port)] == [None])
                with lock_port(before):  # another device may have the node of the lost one
                    bridge.plug()
                until(lambda: loop.status().counters["reconnects"] >= 1)
                steps = loop.steps
                until(lambda: loop.steps > steps + 10)
                assert lock.status(bridge.port)["pid"] == os.getpid()
                assert int(lock.status(bridge.port)["counters"]["reconnects"]) >= 1
                assert estop(bridge.port) == Estop("owner", None)
                assert loop.result().reason is StopReason.ESTOP


def test_losses_and_reconnects_are_printed() -> None:
    records = np.zeros(4, dtype=[("flags", "u4"), ("t_ns", "i8"), ("step", "u8")])
    records["t_ns"] = [0, 10_000_000, 510_000_000, 520_000_000]
    records["step"] = [0, 1, 2, 3]
    records["flags"][2] = RecordFlag.FIRST | RecordFlag.RECONNECTED
    expected = ["reconnected 0.50 s after the last step, at step 2: a new session, and a new episode"]
    here, away = status(2), status(-1)
    assert _Gaps().lines(records, here, 1.0) == expected and _Gaps().lines(records, here, 0.0) == expected
    gaps = _Gaps()
    assert gaps.lines(records[:2], here, 1.5) == []
    assert gaps.lines(records[:0], away, 1.5) == ["link lost at step 2: waits up to 1.5 s for the device"]
    assert gaps.lines(records[:0], away, 1.5) == [] and gaps.lines(records[2:], here, 1.5) == expected
    assert _Gaps().lines(records[:2], away, 0.0) == []


def status(device_state: int) -> LoopStatus:
    fields = dict.fromkeys(LinkQuality.__dataclass_fields__, 0)
    quality = LinkQuality(**{**fields, "device": {}})  # type: ignore[arg-type]
    return LoopStatus(True, StopReason.NONE, 2, 0, 2, 0.0, device_state, {}, quality)


def test_a_cut_episode_counts_in_no_mean() -> None:
    names = ["flags", "reward", "delta", "value", "command_limiter"]
    records = np.zeros(6, dtype=[(name, "u4" if name in ("flags", "command_limiter") else "f4") for name in names])
    records["flags"] = [1, 0, 0, RecordFlag.FIRST | RecordFlag.RECONNECTED, 0, RecordFlag.TERMINATED]
    records["reward"] = [0, 5, 5, 0, 1, 1]
    seen: list[float] = []
    with Tally(0, False, [lambda record: seen.append(record.episode_return)], lambda: None, True) as tally:
        tally.take(records)
        assert tally._progress.returns == [2.0] and seen == [5.0, 10.0, 1.0, 2.0]


def test_a_port_is_opened_again_by_its_name(tmp_path: Path) -> None:
    name = tmp_path / "port"
    with SimulatedDevice() as first, SimulatedDevice() as second:
        os.symlink(first.port, name)
        with open_port(str(name)) as port:
            assert port.can_reopen
            name.unlink()
            with pytest.raises(DeviceError, match="no such port"):
                port.reopen()
            os.symlink(second.port, name)
            port.reopen()
            assert os.ttyname(port.fileno()) == second.port and not port.gone
        with pytest.raises(DeviceError, match="cannot be opened again"):
            port.reopen()
        with open_port("loop://") as pumped:
            assert not pumped.can_reopen


def test_a_link_without_a_name_cannot_reconnect() -> None:
    with SimTarget("servo") as target, Link(target) as link:
        link.handshake()
        with pytest.raises(ValueError, match="reconnect_s: the port of this link cannot be opened again by a name"):
            Loop(link, agent(), LoopConfig(clock=Clock.DEVICE, reconnect_s=1.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reconnect_s": 601.0}, "reconnect_s"),
        ({"reconnect_s": -1.0}, "reconnect_s"),
        ({"max_reconnects": -1}, "max_reconnects"),
        ({"reconnect_s": 1.0, "reconnect_pose": [0.1]}, "reconnect_pose: 1 number given, the device has 2"),
        ({"reconnect_s": 1.0, "reconnect_pose": [0.1, -0.1]}, r"reconnect_pose\[1\]"),
    ],
    ids=str,
)
def test_invalid_options(changes: dict[str, object], said: str) -> None:
    with SimulatedDevice() as device, open_port(device.port) as port, Link(port) as link:
        config = LoopConfig(clock=Clock.DEVICE, **changes)  # type: ignore[arg-type]
        with pytest.raises((ValueError, ConfigError), match=said):
            options.check(config, link.handshake())


@pytest.mark.hazard("reconnect-unchecked")
def test_real_hardware_needs_a_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Link.handshake
    monkeypatch.setattr(Link, "handshake", lambda self, timeout_s=3.0: not_simulated(answer(self, timeout_s)))
    limits = "[limits.force]\nmin = -1.0\nmax = 1.0\nslew_per_s = inf\naccel_per_s2 = inf\n"
    with SimulatedDevice() as device:
        text = f'[device]\nport = "{device.port}"\n{limits}[reconnect]\nwithin_s = 1.0\n'
        with pytest.raises(ConfigError, match=r"reconnect\.pose: missing; real hardware"), connect(parse_config(text)):
            pass
        with connect(parse_config(f"{text}pose = {{x = 0.1}}\n")) as found:
            config = LoopConfig(clock=Clock.DEVICE, reconnect_s=1.0, limits=[rtu.Limits(-1.0, 1.0, math.inf, math.inf)])
            with pytest.raises(ValueError, match="reconnect_pose: missing; real hardware"):
                options.check(config, found.hello)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("within_s = 700.0", "reconnect.within_s = 700.0: must be a number from 0 to 600"),
        ("most = 3", "reconnect.within_s = 0.0: must be above 0 when most or pose is given"),
        ("within_s = 1.0\nwithin = 1.0", 'reconnect.within = 1.0: unknown key; did you mean "reconnect.within_s"?'),
        ("within_s = 1.0\npose = {theta = 0.0}", "reconnect.pose.theta = 0.0: must be a number above 0"),
    ],
    ids=str,
)
def test_an_invalid_table(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f'[device]\nplant = "servo"\n[reconnect]\n{text}\n')
    assert said in str(caught.value)


def test_a_pose_of_no_observation() -> None:
    with SimulatedDevice() as device:
        text = f'[device]\nport = "{device.port}"\n[reconnect]\nwithin_s = 1.0\npose = {{positoin = 0.1}}\n'
        said = r"reconnect\.pose\.positoin: the device has no such observation"
        with pytest.raises(ConfigError, match=said), connect(parse_config(text)):
            pass
