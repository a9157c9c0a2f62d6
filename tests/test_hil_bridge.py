"""The fault bridge: the effect of each fault on the line, and no other effects."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rtu_edge as rtu
from rtu_edge._base.errors import DeviceError
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.hil import FaultBridge, SimTarget, TapPoint, faults
from rtu_edge.loop import Link, Loop, LoopConfig, LoopResult, StopReason

STEPS = 150


def learn(port: str) -> tuple[LoopResult, int]:
    """A learner in virtual time: the result, and the hash of its state."""
    agent = rtu.StreamAC(2, 1, units=4, hidden=4, seed=0)
    config = LoopConfig(
        steps=STEPS, seed=5, session=7, retry_ms=20.0, retries=200, reset_timeout_s=30, handle_signals=False
    )
    with open_port(port) as opened, Link(opened) as link:
        link.handshake()
        result = Loop(link, agent.core.policy(), config).run(poll_s=0.01)
    return result, agent.state_hash()


@contextmanager
def bridge(seed: int = 0) -> Iterator[FaultBridge]:
    with SimTarget("servo") as target, FaultBridge(target, seed=seed) as made:
        made.hello()
        yield made


@pytest.fixture(scope="module")
def clean() -> tuple[LoopResult, int]:
    with bridge() as line:
        return learn(line.port)


ON_THE_LINE = [
    faults.Flip(both=True, rate=0.03),
    faults.Drop(both=True, rate=0.03),
    faults.Duplicate(both=True, rate=0.2),
    faults.Insert(both=True, rate=0.03),
    faults.Delay(both=True, rate=0.5, delay_ms=0.5, jitter_ms=1.0),
    faults.Pace(both=True, baud=1_000_000),
    faults.Echo(),
    faults.Replay(per_s=500, age_s=0.0),
    faults.Flood(per_s=500),
    faults.Flood(per_s=500, what=faults.Talk.COMMAND),
    faults.Misfit(rate=0.05),
]


@pytest.mark.parametrize(
    "fault", ON_THE_LINE, ids=lambda fault: f"{fault.kind}-{getattr(fault, 'what', '')}".strip("-")
)
def test_in_virtual_time_no_fault_of_the_line_reaches_the_learner(
    fault: faults.Fault, clean: tuple[LoopResult, int]
) -> None:
    with bridge(seed=3) as line:
        with line.inject(fault) as injection:
            result, learned = learn(line.port)
        assert injection.count > 0, "the fault never acted"
        assert result.reason is StopReason.STEPS
        assert (result.sent_hash, learned) == (clean[0].sent_hash, clean[1])
        assert line.counters()["accepted"] == STEPS


def test_the_bridge_alone_changes_nothing(clean: tuple[LoopResult, int]) -> None:
    with bridge() as line:
        result, learned = learn(line.port)
        said = [passed.frame for passed in line.trace.all(TapPoint.HOST_OUT)]
        heard = [passed.frame for passed in line.trace.all(TapPoint.DEVICE_IN)]
        own = [frame for frame in heard if frame.type not in (protocol.FrameType.HELLO, protocol.FrameType.PARAM)]
        assert [frame for frame in said if frame.type != protocol.FrameType.HELLO] == own
        assert line.trace.all(TapPoint.HOST_IN) and set(line.trace.damaged.values()) == {0}
    assert (result.received_hash, learned) == (clean[0].received_hash, clean[1])
    assert result.counters["retries"] == 0


def test_the_same_seed_gives_the_same_faults() -> None:
    def spoiled(seed: int) -> list[bytes]:
        unit = protocol.encode(protocol.pack(protocol.Ping(7)))
        with bridge(seed=seed) as line, line.inject(faults.Flip(rate=0.5)) as now:
            return [now.fault.transform(now, faults_unit(unit))[0].data for _ in range(64)]

    assert spoiled(1) == spoiled(1)
    assert spoiled(1) != spoiled(2)


def faults_unit(data: bytes) -> object:
    from rtu_edge.hil import Direction, Unit

    return Unit(Direction.TO_DEVICE, data)


def test_what_is_held_back_comes_in_order_at_the_end() -> None:
    with bridge() as line:
        with line.inject(faults.Stall()), open_port(line.port) as port:
            for count in range(5):
                port.serial.write(protocol.encode(protocol.pack(protocol.Ping(count))))
            time.sleep(0.05)
            assert not line.trace.all(TapPoint.DEVICE_IN, protocol.FrameType.PING)
        give_up = time.monotonic() + 2
        while len(line.trace.all(TapPoint.DEVICE_IN, protocol.FrameType.PING)) < 5 and time.monotonic() < give_up:
            time.sleep(0.002)
        seen = [passed.message for passed in line.trace.all(TapPoint.DEVICE_IN, protocol.FrameType.PING)]
        assert seen == [protocol.Ping(count) for count in range(5)]


def test_unplugged_and_back_under_the_same_name() -> None:
    with bridge() as line:
        with line.inject(faults.Unplug()), pytest.raises(DeviceError, match="no such port"):
            open_port(line.port)
        with open_port(line.port) as port, Link(port) as link:
            assert link.handshake().simulated


def test_a_restart_has_another_boot_id_and_nothing_of_the_session() -> None:
    with bridge() as line:
        before = line.hello().boot_id
        with line.inject(faults.Reset()):
            assert line.hello().boot_id != before
        line.wait_for(protocol.DeviceState.DISARMED)


def test_what_a_target_cannot_do_is_refused() -> None:
    with bridge() as line:
        line.target.abilities = frozenset()
        for fault, what in ((faults.Reset(), "reset"), (faults.Freeze(), "stop")):
            with pytest.raises(DeviceError, match=f"cannot {what}"), line.inject(fault):
                pass
        with pytest.raises(DeviceError, match="separate process"), line.inject(faults.HostKill()):
            pass


def test_what_runs_a_machine_knows_of_no_faults() -> None:
    """`rtu-edge run` and its imports cannot reach them; only measurements and hil itself can."""
    package = Path(rtu.__file__).parent
    own = {package / "cli" / "hil.py", *(package / "hil").rglob("*.py"), *(package / "bench").rglob("*.py")}
    for path in set(package.rglob("*.py")) - own:
        assert not re.search(r"(import|from|['\"]) *rtu_edge\.hil", path.read_text(encoding="utf-8")), path
    code = "import sys, rtu_edge.cli.run, rtu_edge.run, rtu_edge.demo; sys.exit('rtu_edge.hil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
