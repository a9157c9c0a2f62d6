"""Arbitration and commands: modes, fallbacks and monitors through the real loop and step by step."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtu_edge as rtu
from benchmarks import faults
from rtu_edge import _core
from rtu_edge._base.errors import ConfigError
from rtu_edge.config import parse_config
from rtu_edge.device import protocol
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Cause, Driver, Limits, Link, Loop, LoopConfig, LoopResult, MonitorFlag, RecordFlag, StopReason
from rtu_edge.loop.supervisor import options, supervise

PD = "[fallback]\nkind = 'pd'\n[fallback.pd.force]\np = {x = -1.0, theta = -60.0}\nd = {x = -2.0, theta = -10.0}\n"
DEVICE = "[device]\nplant = 'cartpole'\n"


@contextmanager
def linked(capture_bytes: int = 0) -> Iterator[Link]:
    with (
        SimulatedDevice("cartpole", boot_id=1) as device,
        open_port(device.port) as port,
        Link(port, capture_bytes=capture_bytes) as link,
    ):
        link.handshake()
        yield link


def small(seed: int = 0) -> Any:
    return rtu.StreamAC(observation_size=2, action_size=1, units=8, hidden=[8], body="separate", seed=seed)


def drive(mode: str, *overrides: str, seed: int = 0, steps: int = 3000, **loop: Any) -> tuple[LoopResult, Any, Any]:
    """A run in lockstep with a fresh learner and the PD controller; its result, records and learner."""
    with linked() as link:
        agent = small(seed)
        made = faults.supervised(agent, f"supervisor.mode={mode}", *overrides, text=DEVICE + PD)
        looped = Loop(link, made.policy, LoopConfig(steps=steps, session=1, **loop))
        result = looped.run()
        return result, looped.drain(), agent


@pytest.mark.hazard("shadow-learner-acts")
def test_in_shadow_mode_the_wire_is_that_of_the_fallback_alone() -> None:
    """Acceptance: same session, injected clock (lockstep is virtual time), byte for byte, for any learner."""
    sent = []
    states = []
    for mode, seed in (("off", 0), ("shadow", 0), ("shadow", 7)):
        with linked(capture_bytes=1 << 20) as link:
            agent = small(seed)
            before = agent.state_hash()
            made = faults.supervised(agent, f"supervisor.mode={mode}", text=DEVICE + PD)
            result = Loop(link, made.policy, LoopConfig(steps=2000, session=1)).run()
            sent.append((result.sent_hash, link.captured[0]))
            states.append((before, agent.state_hash()))
            assert result.counters["fallback_steps"] > 2000 and result.counters["learner_steps"] == 0
            assert result.counters["learned"] == (0 if mode == "off" else 2000)
    assert sent[0] == sent[1] == sent[2]
    assert len(sent[0][1]) > 50_000
    assert states[0][0] == states[0][1] and states[1][0] != states[1][1] != states[2][1]


@pytest.mark.hazard("shadow-learner-acts")
def test_in_shadow_mode_a_learner_that_breaks_changes_nothing_on_the_wire() -> None:
    agents = [small(), small()]
    rigs = [
        faults.Rig(faults.supervised(agent, f"supervisor.mode={mode}", text=DEVICE + PD).policy, 3)
        for agent, mode in zip(agents, ("off", "shadow"), strict=True)
    ]
    for k in range(400):
        if k in (100, 200):
            faults.overwrite(np.nan, "~.weight")(agents[1])
        commands = [rig.tick()[0] for rig in rigs]
        assert commands[0] == commands[1]
    assert rigs[1].policy.counters()["rollbacks"] == 2


def test_from_what_the_fallback_did_only_the_critic_learns() -> None:
    agent = small()
    rig = faults.Rig(faults.supervised(agent, "supervisor.mode=shadow", text=DEVICE + PD).policy, 3)
    before = {name: agent.core.get(name) for name in ("actor.head.weight", "critic.head.weight", "actor.cell.W1")}
    for _ in range(200):
        rig.tick()
    agent.core.flush()
    # A sample at the same limit as the controller's command counts as carried out: none occurs here.
    moved = {name: bool((agent.core.get(name) != value).any()) for name, value in before.items()}
    assert moved == {"actor.head.weight": False, "critic.head.weight": True, "actor.cell.W1": False}


def test_frozen_drives_and_does_not_learn() -> None:
    result, records, agent = drive("frozen", steps=500)
    assert result.counters["learner_steps"] >= 500 and result.counters["learned"] == 0
    assert {Driver.of(int(mode)) for mode in records["mode"]} == {Driver.LEARNER}
    for name in ("actor.head.weight", "critic.cell.W1", "observation.count"):
        np.testing.assert_array_equal(agent.core.get(name), small().core.get(name))


def test_by_turns() -> None:
    result, records, _ = drive("ab", "supervisor.ab.block=100", steps=1000)
    drivers = np.array([Driver.of(int(mode)) for mode in records["mode"]])
    expected = np.arange(len(drivers)) // 100 % 2
    np.testing.assert_array_equal(drivers, expected)
    assert result.counters["fallback_forced"] == 0
    _, records, _ = drive("ab", "supervisor.ab={block=2, unit='episodes'}", steps=2000)
    drivers = np.array([Driver.of(int(mode)) for mode in records["mode"]])
    np.testing.assert_array_equal(drivers, (records["episode"].astype(int) - 1) // 2 % 2)


def test_a_correction_stays_within_its_share_of_the_range() -> None:
    """Residual: never further than 10 % of the range (2 N of 20) from the controller's output for the same past."""
    learner = small()
    made = faults.supervised(learner, "supervisor.mode=residual", "supervisor.residual={force=0.1}", text=DEVICE + PD)
    rig = faults.Rig(made.policy, 3)
    controller = faults.supervised(small(), "supervisor.mode=off", text=DEVICE + PD)
    controller.policy.begin()
    off = []
    for _ in range(400):
        x = rig.x
        u, over = rig.tick()
        _, alone = controller.policy.predict(x, True)
        off.append(u - 10 * float(alone[0]))
        assert Driver.of(made.policy.info()["mode"]) is Driver.BOTH
        if over:
            rig.reset()
            controller.policy.begin()
    assert 0.5 < np.abs(off).max() <= 2.0 + 1e-5


def test_holding_holds_the_last_action_and_resting_rests() -> None:
    for kind, expected in (("hold", None), ("rest", 0.0)):
        learner = small()
        made = faults.supervised(learner, text=f"{DEVICE}[fallback]\nkind = '{kind}'\n")
        made.policy.begin()
        last = 0.0
        for k in range(12):
            broken = k >= 3
            _, action = made.policy.predict([np.nan if broken else 0.01, 0.01], True)
            if Driver.of(made.policy.info()["mode"]) is Driver.FALLBACK:
                assert action[0] == pytest.approx(last if expected is None else expected, abs=1e-7)
                assert Cause.of(made.policy.info()["mode"]) is Cause.SENSOR
            last = float(action[0])
            made.policy.update(1.0)
        # Three good ones, hold_steps = 5 bridged, then the fallback.
        assert made.policy.counters()["fallback_steps"] == 4


def test_going_back_takes_a_dwell_and_good_steps_and_too_many_switches_lock() -> None:
    made = faults.supervised(
        small(),
        "supervisor.dwell_steps=10",
        "supervisor.recovery_steps=4",
        "supervisor.max_switches=3",
        "sensor.x.hold_steps=0",
        text=DEVICE + PD,
    )
    made.policy.begin()

    def step(good: bool = True) -> Cause:
        made.policy.predict([0.01 if good else np.nan, 0.01], True)
        made.policy.update(1.0)
        return Cause.of(made.policy.info()["mode"])

    assert [step() for _ in range(3)] == [Cause.NONE] * 3
    assert step(False) is Cause.SENSOR
    assert [step() for _ in range(10)] == [Cause.DWELL] * 9 + [Cause.NONE]
    assert step(False) is Cause.SENSOR
    # A bad step late in the dwell: four good ones in a row after it.
    assert [step(k != 8) for k in range(14)] == [Cause.DWELL] * 8 + [Cause.SENSOR] + [Cause.DWELL] * 3 + [
        Cause.NONE
    ] * 2
    assert step(False) is Cause.SENSOR
    assert [step() for _ in range(10)][-1] is Cause.NONE
    assert step(False) is Cause.LOCKED
    assert {step() for _ in range(200)} == {Cause.LOCKED}
    assert made.supervisor.locked and made.policy.counters()["switches"] == 4


def test_a_fatal_observation_ends_the_run() -> None:
    with linked() as link:
        made = faults.supervised(small(), "sensor.theta={min=-0.1, max=0.1, on_range='stop'}", text=DEVICE + PD)
        # Without a balancing controller: the fallback is not needed until then.
        result = Loop(link, made.policy, LoopConfig(steps=5000, session=1)).run()
    assert result.reason is StopReason.SENSOR and result.confirmed
    assert result.counters["sensor_stops"] == 1


C_FALLBACK = """
#include "native/bindings/c/rtu_edge_fallback.h"
int push(const float *x, size_t n, int first, float *u, size_t m) {
    static int step;
    step = first ? 0 : step + 1;
    if (n != 2 || m != 1 || step == 5) return 1;
    u[0] = 3.0f + x[0] + (float)step;
    return 0;
}
"""


def test_a_fallback_in_c(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    (tmp_path / "push.c").write_text(C_FALLBACK)
    library = tmp_path / "push.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{root}", "-o", str(library), str(tmp_path / "push.c")], check=True)
    text = f"{DEVICE}[supervisor]\nmode = 'off'\n[fallback]\nkind = 'c'\nlibrary = '{library}'\nsymbol = 'push'\n"
    made = faults.supervised(small(), text=text)
    made.policy.begin()
    forces = [10 * float(made.policy.predict([0.5, 0], True)[1][0]) for _ in range(7)]
    # The sixth call fails: the last action is held.
    assert forces == pytest.approx([3.5, 4.5, 5.5, 6.5, 7.5, 7.5, 9.5], abs=1e-5)
    assert made.policy.counters()["fallback_failures"] == 1
    with pytest.raises(ConfigError, match="no function named pull"):
        faults.supervised(small(), "fallback.symbol='pull'", text=text)
    with pytest.raises(ConfigError, match="cannot open"):
        faults.supervised(small(), "fallback.library='/nowhere.so'", text=text)


def broken_controller(x: Any, first: bool) -> list[float]:
    if not first:
        raise ZeroDivisionError("mine")
    return [2.0]


def test_a_fallback_in_python_and_only_in_simulation() -> None:
    text = (
        f"{DEVICE}[supervisor]\nmode = 'off'\n[fallback]\nkind = 'python'\nfunction = '{__name__}:broken_controller'\n"
    )
    made = faults.supervised(small(), text=text)
    made.policy.begin()
    forces = [10 * float(made.policy.predict([0.5, 0], True)[1][0]) for _ in range(3)]
    assert forces == pytest.approx([2.0] * 3, abs=1e-5)
    error = made.fallback_error()
    assert isinstance(error, ZeroDivisionError) and str(error) == "mine" and made.fallback_error() is None
    with pytest.raises(ConfigError, match="only for simulated devices"):
        supervise(parse_config(text), small().core.policy(), faults.SHEET, faults.LIMITS, simulated=False)


def test_a_frozen_policy_as_fallback(tmp_path: Path) -> None:
    other = small(3)
    path = tmp_path / "other.rtu"
    other.save(path)
    text = f"{DEVICE}[supervisor]\nmode = 'off'\n[fallback]\nkind = 'checkpoint'\ncheckpoint = '{path}'\n"
    rig = faults.Rig(faults.supervised(small(), text=text).policy, 3)
    alone = faults.Rig(other.core.policy(), 3)
    for _ in range(20):
        assert rig.tick()[0] == alone.tick(explore=False)[0]


def test_a_controller_beside_a_learner_of_levels_keeps_its_fractions() -> None:
    """The same forces as with a continuous learner, up to rounding of the unit conversion; the learner takes the
    levels.
    """
    continuous = faults.Rig(faults.supervised(small(), "supervisor.mode=off", text=DEVICE + PD).policy, 3)
    learner: Any = rtu.StreamAC(observation_size=2, n_actions=3, units=8, hidden=[8], seed=0)
    levels = faults.Rig(faults.supervised(learner, "supervisor.mode=shadow", text=DEVICE + PD).policy, 3)
    for _ in range(20):
        assert continuous.tick()[0] == pytest.approx(levels.tick()[0], abs=1e-3)
    driven = faults.Rig(faults.supervised(learner, text=DEVICE + PD).policy, 3)
    assert {driven.tick()[0] for _ in range(15)} <= {-10.0, 0.0, 10.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("sensor.thta={}",),
            'sensor.thta: the device has no such observation; it has x, theta; did you mean "theta"?',
        ),
        (("supervisor.residual={torque=0.1}",), "supervisor.residual.torque: the device has no such actuator"),
        (("fallback.pd.force.p={y=1.0}",), "fallback.pd.force.p.y: the device has no such observation"),
        (("fallback.kind=pd", "fallback.pd={}"), 'fallback.pd: missing; kind = "pd" needs it'),
        (("fallback.kind=rest",), 'fallback.pd: only with kind = "pd", not "rest"'),
        (("supervisor.mode=residual",), "supervisor.residual: missing"),
        (("sensor.x={min=1, max=-1}",), "sensor.x.min = 1: must be below sensor.x.max = -1"),
        (("reward.min=1", "reward.max=0"), "reward.min = 1: must be below reward.max = 0"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        faults.supervised(small(), *overrides, text=DEVICE + PD)
    assert message in str(caught.value)


# ------------------------------------------------------------------ other triggers of the learner monitor


def test_actions_at_one_end_for_too_long() -> None:
    agent = small()
    faults.one(100.0, "actor.head.bias")(agent)
    made = faults.supervised(agent, "learner_monitor.saturated_steps=20", text=DEVICE + PD)
    rig = faults.Rig(made.policy, 3)
    found = []
    for _ in range(20):
        if rig.tick()[1]:
            rig.reset()
        found.append(MonitorFlag(made.policy.info()["learner_monitor"]))
    assert not any(found[:19]) and found[19] == MonitorFlag.SATURATED | MonitorFlag.ROLLED_BACK


def test_the_fallback_too_often() -> None:
    made = faults.supervised(
        small(),
        "learner_monitor.rate_window=50",
        "learner_monitor.rate=0.3",
        "sensor.x.hold_steps=0",
        "learner_monitor.max_rollbacks=0",
        text=DEVICE + PD,
    )
    made.policy.begin()
    for k in range(50):
        assert not made.supervisor.frozen
        made.policy.predict([np.nan if k in (10, 11) else 0.0, 0.0], True)
        made.policy.update(0.0)
    # Two bad steps and a dwell of 50 from there: 40 of 50 steps.
    assert made.supervisor.frozen and made.policy.counters()["monitor_fallback_rate"] == 1
    assert (
        made.policy.info()["learner_monitor"]
        == MonitorFlag.FALLBACK_RATE | MonitorFlag.ROLLED_BACK | MonitorFlag.FROZEN
    )


def test_a_snapshot_that_is_not_finite_is_not_kept() -> None:
    """A trace that nothing reads while the learner only drives, in a state that the scan takes long to go through."""
    agent: Any = rtu.StreamAC(observation_size=2, action_size=1, units=256, hidden=[64], body="separate", seed=0)
    made = faults.supervised(agent, "learner_monitor.scan_kib=1", "learner_monitor.snapshot_steps=8", text=DEVICE + PD)
    made.policy.begin()
    made.policy.predict([0.0, 0.0], False)
    faults.one(np.nan, "actor.cell.trace.T2")(agent)
    good = made.supervisor.snapshot()
    for _ in range(8):
        made.policy.predict([0.0, 0.0], False)
    counters = made.policy.counters()
    assert (counters["snapshots"], counters["snapshots_refused"], counters["rollbacks"]) == (0, 1, 1)
    assert made.supervisor.snapshot() == good and np.isfinite(agent.core.get("actor.cell.trace.T2")).all()


# ------------------------------------------------------------------ commands to the device


class Scripted:
    """A policy with arbitrary bit patterns as output, through the same policy table."""

    def __init__(self, bits: list[int]) -> None:
        self.values = [struct.unpack("<f", struct.pack("<I", each))[0] for each in bits]
        self.at = 0
        self.made = _core.PyFunctionPolicy(self, 2, faults.LIMITS)

    def __call__(self, x: Any, first: bool) -> list[float]:
        self.at += 1
        return [self.values[self.at % len(self.values)]]


SPECIAL = [
    0x7F800000,
    0xFF800000,
    0x7FC00000,
    0x7F800001,
    0x7F7FFFFF,
    0xFF7FFFFF,
    1,
    0x80000001,
    0x7E967699,
    0x41200000,
]
BITS = st.lists(st.one_of(st.sampled_from(SPECIAL), st.integers(0, 2**32 - 1)), min_size=3, max_size=40)


def commands(sent: bytes) -> list[float]:
    """The forces in the frames of a run."""
    decoder = protocol.Decoder()
    messages = [protocol.unpack(frame) for frame in decoder.feed(sent)]
    assert decoder.errors == 0
    return [message.u[0] for message in messages if isinstance(message, protocol.Cmd)]


@pytest.fixture(scope="module")
def shared_link() -> Iterator[Link]:
    with linked(capture_bytes=1 << 22) as link:
        yield link


@pytest.mark.hazard("command-out-of-limits")
@settings(max_examples=60, deadline=None)
@given(bits=BITS, supervised=st.booleans())
def test_any_action_is_finite_in_range_and_limited_on_the_wire(
    shared_link: Link, bits: list[int], supervised: bool
) -> None:
    """Through the real loop, with and without the supervisor; compares the bytes."""
    policy = Scripted(bits).made.policy()
    if supervised:
        config = parse_config(DEVICE, ["supervisor.mode=off"])
        chosen = options(config, faults.SHEET, faults.LIMITS)
        policy = _core.Supervisor(small().core.policy(), policy, chosen).policy()
    loop = LoopConfig(
        limits=[Limits(-8, 6, slew_per_s=150.0, accel_per_s2=5000.0)], steps=40, max_bad_actions=1000, learn=False
    )
    looped = Loop(shared_link, policy, loop)
    result = looped.run()
    # A fallback with five consecutive non-finite outputs ends the run.
    assert result.reason is StopReason.STEPS or (supervised and result.reason is StopReason.POLICY)
    forces = np.array(commands(shared_link.captured[0]))
    records = looped.drain()
    acted = records[(records["flags"] & RecordFlag.ACTED) != 0]
    assert len(forces) == len(acted) and (len(acted) == 40 or result.reason is StopReason.POLICY)
    assert np.isfinite(forces).all() and forces.min() >= -8 and forces.max() <= 6
    # 150 N/s at 50 Hz are 3 N in a step, 5000 N/s^2 are 2 N of change in that; each episode begins at rest, at 0.
    for episode in np.unique(acted["episode"]):
        changes = np.diff(forces[acted["episode"] == episode], prepend=0.0)
        assert np.abs(changes).max() <= 3 + 1e-5
        assert np.abs(np.diff(changes, prepend=0.0)).max() <= 2 + 1e-5
