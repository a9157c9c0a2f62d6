"""Several devices in one loop: configuration, a run with its log and replay, and what ends it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.cli.clear import command as clear_command
from rtu_edge.cli.estop import command as estop_command
from rtu_edge.cli.run import command
from rtu_edge.config import parse_config
from rtu_edge.device.ports import open_port
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.hil import FaultBridge, ProcessTarget, Target, make_target
from rtu_edge.loop import Clock, Link, Loop, LoopConfig, StopReason
from rtu_edge.loop.companions import Companion, whole_sheet
from rtu_edge.record.reader import read_log
from rtu_edge.run.replay import verify
from rtu_edge.tools.estop import estop

SLOW_US = 27_027  # 37 Hz


def agent() -> rtu.StreamAC:
    return rtu.StreamAC(observation_size=5, action_size=2, units=4, hidden=4, seed=0, dt_s=0.01)


@contextmanager
def pair() -> Iterator[tuple[Link, Link]]:
    """Two servos, one at 100 Hz and one at 37 Hz."""
    with ExitStack() as stack:
        links = []
        for period_us in (None, SLOW_US):
            device = stack.enter_context(SimulatedDevice("servo", period_us=period_us))
            links.append(stack.enter_context(Link(stack.enter_context(open_port(device.port)))))
            links[-1].handshake()
        yield links[0], links[1]


def config(other: Link, **changes: object) -> LoopConfig:
    given = {"clock": Clock.DEVICE, "handle_signals": False, "companions": [Companion("imu", other, 95, age=True)]}
    return LoopConfig(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.timing
def test_a_run_learns_on_both_and_its_log_replays_to_the_bit(tmp_path: Path) -> None:
    """Observations of both, with the age of the second's; commands to both."""
    with SimulatedDevice("servo") as first, SimulatedDevice("servo", period_us=SLOW_US) as second:
        file = tmp_path / "two.toml"
        file.write_text(
            f'[device]\nport = "{first.port}"\n[companion.imu]\nport = "{second.port}"\nage = true\nttl_ms = 200\n'
            f'[loop]\nttl_ms = 95\n[learner]\nunits = 4\nhidden = 4\n[run]\nfolder = "{tmp_path}"\nsteps = 150\n'
            "[log]\nblackbox_minutes = 0.1\nhash_every = 20\n[limits.'imu.voltage']\nmin = -2.0\nmax = 2.0\n"
            "slew_per_s = inf\n"
        )
        done = CliRunner().invoke(command, [str(file)])
    assert done.exit_code == 0, done.output
    log = read_log(tmp_path / "two" / "log.mcap")
    assert [row.name for row in log.head.observations] == ["theta", "target", "imu.theta", "imu.target", "imu.age"]
    assert [row.name for row in log.head.actuators] == ["voltage", "imu.voltage"]
    x, applied, u = (log.records[name] for name in ("x", "applied", "u"))
    ages = x[:, 4]
    assert (ages >= 0).all() and 0.01 < ages.max() < 0.3 and 30 < np.count_nonzero(np.diff(ages) < 0) < 100
    assert np.abs(u[:, 1]).max() <= 2.0 < np.abs(u[:, 0]).max() and np.count_nonzero(applied[:, 1]) > 50
    replayed = verify(log)
    assert replayed.difference is None and replayed.final_equal and replayed.hashes >= 5


def until(done: Callable[[], object], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def driving(link: Link, config: LoopConfig) -> Loop:
    """A loop that drives; on a busy host a device may go safe before that, then another one."""
    for _ in range(10):
        loop = Loop(link, agent(), config)
        loop.start()
        until(lambda loop=loop: loop.steps > 20 or not loop.status().running)  # type: ignore[misc]
        if loop.status().running:
            return loop
        assert loop.result().reason in BUSY, loop.result().message
    raise AssertionError("the host is too busy")


BUSY = {StopReason.DEVICE_SAFE, StopReason.HALF_OPEN, StopReason.LINK_LOST}


# The table of outcomes in real time; tests/native/test_loop_companions.cpp has each cell in virtual time.
EVENTS: dict[str, tuple[Callable[[Target, FaultBridge], object], set[StopReason]]] = {
    "unplugged": (lambda target, bridge: bridge.unplug(), {StopReason.LINK_LOST}),
    "restarts": (lambda target, bridge: target.reset(), {StopReason.DEVICE_RESTART}),
    "hangs": (
        lambda target, bridge: target.stop(),
        {StopReason.LINK_LOST, StopReason.DEVICE_SAFE, StopReason.HALF_OPEN},
    ),
}


@pytest.mark.timing
@pytest.mark.hazard("companion-drives-on")
@pytest.mark.parametrize(
    ("first", "failing", "event"),
    [
        ("process", 0, "hangs"),
        ("process", 1, "hangs"),
        ("process", 1, "restarts"),
        ("process", 0, "unplugged"),
        ("qemu", 1, "unplugged"),
        ("qemu", 0, "restarts"),
    ],
)
def test_a_stop_of_one_stops_both(first: str, failing: int, event: str) -> None:
    act, reasons = EVENTS[event]
    with ExitStack() as stack:
        targets = [stack.enter_context(make_target(name, "servo")) for name in (first, "process")]
        bridges = [stack.enter_context(FaultBridge(target)) for target in targets]
        links = [stack.enter_context(Link(stack.enter_context(open_port(bridge.port)))) for bridge in bridges]
        for link in links:
            link.handshake()
        loop = stack.enter_context(driving(links[0], config(links[1], ttl_ms=95)))
        assert [bridge.state.state for bridge in bridges] == [DeviceState.ARMED] * 2
        act(targets[failing], bridges[failing])
        assert loop.wait(10.0)
        result = loop.result()
        if event == "hangs":
            targets[failing].go_on()
        bridges[1 - failing].wait_for(DeviceState.DISARMED, DeviceState.SAFE, timeout_s=2.0)
        bridges[failing].wait_for(DeviceState.DISARMED, DeviceState.SAFE, timeout_s=2.0)
        assert result.reason in reasons, result.message
        if failing == 1:
            assert result.message.startswith("imu: ")


@pytest.mark.timing
@pytest.mark.hazard("companion-drives-on")
def test_swapped_devices_are_not_armed() -> None:
    """The ports are exchanged between the reading of the data sheets and ARM."""
    with ExitStack() as stack:
        targets = [stack.enter_context(ProcessTarget("servo")) for _ in range(2)]
        bridges = [stack.enter_context(FaultBridge(target)) for target in targets]
        links = [stack.enter_context(Link(stack.enter_context(open_port(bridge.port)))) for bridge in bridges]
        for link in links:
            link.handshake()
        for bridge, other in zip(bridges, reversed(targets), strict=True):
            with bridge._lock:
                bridge._device.fd = other.fileno()
        result = Loop(links[0], agent(), config(links[1])).run()
        assert result.reason is StopReason.DEVICE_RESTART and result.steps == 0
        assert not any(bridge.trace.sessions() for bridge in bridges)


@pytest.mark.timing
def test_an_emergency_stop_at_the_second_port_stops_both() -> None:
    with pair() as (first, second):
        with driving(first, config(second)) as loop:
            assert estop(second.url).by == "owner"
            result = loop.result()
        assert result.reason is StopReason.ESTOP and result.confirmed
        assert result.message.startswith("imu: emergency stop")
        assert not first.running and not second.running


@pytest.mark.timing
@pytest.mark.hazard("stop-reaches-the-device")
def test_estop_and_clear_of_a_configuration_without_a_run(tmp_path: Path) -> None:
    """Both ports of the file, also where a table is damaged."""
    with SimulatedDevice("servo") as first, SimulatedDevice("servo") as second:
        file = tmp_path / "two.toml"
        file.write_text(
            f'[device]\nport = "{first.port}"\n[companion.imu]\nport = "{second.port}"\n[companion.x]\nport = 3\n'
        )
        stopped = CliRunner().invoke(estop_command, [str(file), "--json"])
        assert stopped.exit_code == 0, stopped.output
        assert json.loads(stopped.stdout)["stopped"] == [first.port, second.port]
        cleared = CliRunner().invoke(clear_command, [str(file)])
        assert cleared.exit_code == 0 and cleared.output.count("cleared; disarmed") == 2, cleared.output


def test_channels_of_all_devices() -> None:
    with pair() as (first, second):
        sheet = whole_sheet(first.sheet, [Companion("imu", second, age=True), Companion("arm", second)])
        names = ["theta", "target", "imu.theta", "imu.target", "imu.age", "arm.theta", "arm.target"]
        assert [row.name for row in sheet.observations] == names
        assert [row.index for row in sheet.channels] == list(range(10)) and sheet.period_s == 0.01
        assert whole_sheet(first.sheet, []) is first.sheet


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clock": Clock.LOCKSTEP}, "clock: 'lockstep', allowed with companions: 'device'"),
        ({"clock": Clock.HOST}, "clock: 'host', allowed with companions: 'device'"),
        ({"reconnect_s": 1.0}, "reconnect_s: 1, allowed with companions: 0"),
        ({"limits": [rtu.Limits(-1.0, 1.0)]}, "limits: 1 given, the device has 2 actuators"),
        ({"companions": [3]}, r"companions\[0\] = 3: expected a Companion with a Link"),
    ],
    ids=str,
)
def test_invalid_options(changes: dict[str, object], said: str) -> None:
    with pair() as (first, second), pytest.raises((ValueError, ConfigError), match=said):
        Loop(first, agent(), config(second, **changes))


def test_invalid_companions() -> None:
    with pair() as (first, second):
        for companions, said in (
            (
                [Companion("a", second), Companion("a", second)],
                r"companions\[1\]\.name: 'a', allowed: a name of its own",
            ),
            ([Companion(str(k), second) for k in range(4)], "companions: 4, allowed: at most 3"),
            ([Companion("a", second, ttl_ms=20)], r"companions\[0\]\.ttl_ms: 20, allowed: at least 2[89]"),
        ):
            with pytest.raises(ValueError, match=said):
                Loop(first, agent(), config(second, companions=companions))
        with pytest.raises(ValueError, match="policy: takes 5 observations, the device has 4"):
            Loop(first, agent(), config(second, companions=[Companion("imu", second)]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[companion.imu]", 'companion.imu (port = "", plant = ""): give either port or plant'),
        ('[companion.imu]\nport = "/dev/a"', "must be another port"),
        ('[companion.imu]\nplant = "servo"\n[loop]\nclock = "host"', 'loop.clock = "host": must be "device"'),
        ('[companion.imu]\nplant = "servo"\n[reconnect]\nwithin_s = 1.0', "reconnect.within_s = 1: must be 0"),
        ("".join(f'[companion.c{k}]\nplant = "servo"\n' for k in range(4)), "companion: 4 tables; must be at most 3"),
        ('[companion.imu]\nplant = "servo"\nages = true', 'did you mean "companion.imu.age"?'),
    ],
    ids=str,
)
def test_invalid_tables(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f'[device]\nport = "/dev/a"\n{text}\n')
    assert said in str(caught.value)
