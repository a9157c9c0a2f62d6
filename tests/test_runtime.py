"""The Python interface of the loop, with the firmware on a pty."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from alloc_guard import run_guarded

import rtu_edge as rtu
from rtu_edge import _testing
from rtu_edge.device import plants
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Safe
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import (
    CallFlag,
    Cause,
    Clock,
    Driver,
    LimiterFlag,
    Limits,
    Link,
    LinkError,
    Loop,
    LoopConfig,
    MonitorFlag,
    RecordFlag,
    Reward,
    SensorFlag,
    StopReason,
    episode_seed,
)


@pytest.fixture
def link() -> Iterator[Link]:
    with SimulatedDevice("cartpole", boot_id=1) as device, open_port(device.port) as port, Link(port) as made:
        made.handshake()
        yield made


def controller() -> Any:
    return _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]]).policy()


def test_what_stands_twice_is_the_same() -> None:
    assert {flag.name: flag.value for flag in RecordFlag} == _testing.record_flags()
    assert {flag.name: flag.value for flag in CallFlag} == _testing.call_flags()
    assert {flag.name: flag.value for flag in LimiterFlag} == _testing.limiter_flags()
    assert {flag.name: flag.value for flag in SensorFlag} == _testing.sensor_flags()
    assert {flag.name: flag.value for flag in MonitorFlag} == _testing.monitor_flags()
    assert {word.name: word.value for word in Driver} == _testing.drivers()
    assert {word.name: word.value for word in Cause} == _testing.causes()
    assert [reason.value for reason in StopReason] == _testing.stop_reasons()


def test_hello_and_data_sheet(link: Link) -> None:
    hello = link.hello
    assert (hello.observation_size, hello.action_size, hello.period_us, hello.boot_id) == (2, 1, 20000, 1)
    assert hello.simulated and hello.lockstep and hello.reward and hello.reset
    sheet = link.describe()
    assert [channel.actuator for channel in sheet.channels] == [False, False, True] and sheet.period_s == 0.02
    force = sheet.actuators[0]
    assert (force.min, force.max, force.unit, force.safe) == (-10.0, 10.0, "N", Safe.OFF)
    assert sheet.channels == plants.sheet("cartpole").channels, "what a device reports of a plant is its data sheet"


def test_a_lockstep_run_records_everything(link: Link) -> None:
    loop = Loop(link, controller(), LoopConfig(steps=2000, seed=5))
    seen = []
    result = loop.run(lambda status, records: seen.append((status.steps, records.copy())))
    assert result.reason is StopReason.STEPS and result.confirmed and result.steps == 2000
    records = np.concatenate([part for _, part in seen])
    episodes = loop.drain_episodes()
    assert len(records) == 2001 + len(episodes) and result.episodes == len(episodes)
    flags = records["flags"]
    acted = (flags & RecordFlag.ACTED) != 0
    first = (flags & RecordFlag.FIRST) != 0
    assert acted.sum() == 2000 and first.sum() == len(episodes) + 1
    assert ((flags & RecordFlag.LEARNED) != 0).sum() == 2000
    assert (np.diff(records["t_ns"]) > 0).all()
    assert (records["round_trip_ns"] > 0).all()
    # The applied action equals the command in the previous record, bit for bit.
    follows = ~first[1:]
    np.testing.assert_array_equal(records["applied"][1:][follows], records["u"][:-1][follows])
    assert (records["reward"][~first] == 1).all()
    assert episodes["steps"].sum() + result.counters["steps"] - episodes["total_steps"][-1] == 2000
    assert [int(seed) for seed in episodes["seed"]] == [
        episode_seed(5, number) for number in range(1, len(episodes) + 1)
    ]
    x = records["x"]
    np.testing.assert_allclose(records["u"][acted, 0], 10 * np.clip(x[acted] @ [0.5, 6.0], -1, 1), rtol=1e-5, atol=1e-4)


def test_equal_runs_put_equal_bytes_on_the_wire() -> None:
    said = []
    for seed in (3, 3, 4):
        with (
            SimulatedDevice("cartpole", boot_id=9) as device,
            open_port(device.port) as port,
            Link(port, capture_bytes=1 << 20) as link,
        ):
            link.handshake()
            result = Loop(link, controller(), LoopConfig(steps=1000, seed=seed, session=1)).run()
            said.append((result.sent_hash, result.received_hash, link.captured))
    # The received ones also when nothing had to be sent again, which a busy host cannot promise.
    assert said[0][0] == said[1][0] and said[0][2][0] == said[1][2][0]
    assert said[0][0] != said[2][0] and said[0][1] != said[2][1]
    sent, received = said[0][2]
    assert len(sent) > 25_000 and len(received) > 35_000


@pytest.mark.timing
@pytest.mark.alone
def test_real_time_ticked_by_the_device(link: Link) -> None:
    loop = Loop(link, controller(), LoopConfig(clock=Clock.DEVICE, seconds=1.0))
    result = loop.run()
    records = loop.drain()
    assert result.reason is StopReason.SECONDS and result.confirmed
    counted = result.steps + result.counters["skipped"] + result.counters["missed"] + result.episodes
    assert 40 <= counted <= 60
    assert (records["lateness_ns"] >= 0).all() and (records["round_trip_ns"] > 0).any()


@pytest.mark.hazard("no-limit-by-accident")
@pytest.mark.parametrize("seconds", [1e-9, 1e-10, 5e-324])
def test_no_time_above_zero_is_no_limit(link: Link, seconds: float) -> None:
    loop = Loop(link, controller(), LoopConfig(clock=Clock.DEVICE, seconds=seconds, steps=100))
    assert loop.run().reason is StopReason.SECONDS


def test_native_reward_forms_and_python_ones_agree(link: Link) -> None:
    form = Reward("form", 1.0, quadratic=[-0.5, -2.0], cosine=[0.0, 3.0], action=[-0.01], target=[0.1, -0.2])

    def slow(x: Any, u: Any) -> float:
        assert x.dtype == u.dtype == np.float32 and x.shape == (2,) and u.shape == (1,)
        x, u = x.astype(float), u.astype(float)
        x[0], x[1] = x[0] - np.float32(0.1), x[1] - np.float32(-0.2)
        return float(1.0 - 0.5 * x[0] ** 2 - 2.0 * x[1] ** 2 + 3.0 * np.cos(x[1]) - 0.01 * u[0] ** 2)

    got = []
    for reward in (form, Reward("callable", function=slow)):
        loop = Loop(link, controller(), LoopConfig(steps=200, seed=2, reward=reward))
        loop.run()
        got.append(loop.drain())
    np.testing.assert_allclose(got[0]["reward"], got[1]["reward"], rtol=1e-6)
    np.testing.assert_array_equal(got[0]["x"], got[1]["x"])


def test_a_reward_that_raises_stops_the_loop_and_is_passed_on(link: Link) -> None:
    calls = []

    def broken(x: Any, u: Any) -> float:
        calls.append(1)
        if len(calls) == 10:
            raise ZeroDivisionError("no such reward")
        return 0.0

    loop = Loop(link, controller(), LoopConfig(steps=1000, reward=Reward("callable", function=broken)))
    with pytest.raises(ZeroDivisionError, match="no such reward"):
        loop.run()
    assert loop.status().reason is StopReason.REWARD
    assert Loop(link, controller(), LoopConfig(steps=5)).run().reason is StopReason.STEPS  # disarmed, ready again


def test_a_progress_callback_that_raises_disarms(link: Link) -> None:
    def progress(status: Any, records: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Loop(link, controller(), LoopConfig()).run(progress, poll_s=0.01)
    assert Loop(link, controller(), LoopConfig(steps=5)).run().reason is StopReason.STEPS


def test_a_second_loop_on_a_link_is_refused_and_the_first_goes_on(link: Link) -> None:
    first = Loop(link, controller(), LoopConfig(clock=Clock.DEVICE))
    second = Loop(link, controller(), LoopConfig(clock=Clock.DEVICE))
    with first:
        first.start()
        while first.steps < 5 and not first.wait(0.01):
            pass
        with second, pytest.raises(ValueError, match="the link is in use by another running loop"):
            second.run()
        assert first.status().running and first.steps >= 5
        assert not first.wait(0.1)
        link.close()  # stops the running loop, not the refused one
        assert first.result().reason is StopReason.REQUEST and first.result().confirmed


def test_a_dry_run_writes_nothing(link: Link) -> None:
    loop = Loop(link, controller(), LoopConfig(clock=Clock.DEVICE, dry_run=True, steps=10))
    before = link.counters["bytes_sent"]
    result = loop.run()
    assert result.reason is StopReason.STEPS and result.steps == 10
    assert link.counters["bytes_sent"] == before
    assert (loop.drain()["applied"] == 0).all()


def test_stops_at_the_target_or_after_episodes(link: Link) -> None:
    result = Loop(link, controller(), LoopConfig(target_return=10.0, target_window=5)).run()
    assert result.reason is StopReason.TARGET and result.episodes >= 5 and result.mean_return >= 10
    assert Loop(link, controller(), LoopConfig(episodes=3)).run().episodes == 3


def test_learning_can_be_switched_off_and_on(link: Link) -> None:
    policy = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]])
    loop = Loop(link, policy.policy(), LoopConfig(steps=500, learn=False, explore=False))
    loop.run()
    assert policy.updates == 0 and policy.predictions > 500
    with pytest.raises(ValueError, match="explore"):
        loop.set_learning(True, False)


def test_discrete_levels(link: Link) -> None:
    for index, force in ((0, -10.0), (1, 10.0)):
        loop = Loop(link, _testing.LinearPolicy(2, [float(index)], n_levels=2).policy(), LoopConfig(steps=3))
        loop.run()
        assert loop.drain()["u"][0, 0] == force


def test_the_tighter_limit_wins(link: Link) -> None:
    policy = _testing.LinearPolicy(2, [1.0]).policy()
    for limits, force in ((Limits(-5, 5), 5.0), (Limits(-100, 100), 10.0), (Limits(-100, 3), 3.0)):
        loop = Loop(link, policy, LoopConfig(steps=2, limits=[limits]))
        loop.run()
        assert loop.drain()["u"][0, 0] == force
    loop = Loop(link, policy, LoopConfig(steps=3, limits=[Limits(-10, 10, slew_per_s=50.0)]))
    loop.run()
    records = loop.drain()
    np.testing.assert_allclose(records["u"][:3, 0], [1, 2, 3])
    assert (records["command_limiter"][:3] & LimiterFlag.SLEW).all()
    assert not (records["flags"] & RecordFlag.OVERRIDDEN).any()  # what the limiter makes of a choice is carried out


def plain_calls(agent: Any, records: Any, low: float, high: float) -> None:
    """Repeats the recorded calls of the policy by one Python call each."""
    for record in records:
        calls = CallFlag(int(record["calls"]))
        if CallFlag.BEGIN in calls:
            agent.begin()
        if CallFlag.PREDICT in calls:
            agent.predict(record["x"], deterministic=CallFlag.EXPLORE not in calls)
        if CallFlag.LEARN in calls:
            applied = (2 * record["applied"] - (low + high)) / (high - low) if CallFlag.APPLIED in calls else None
            terminated = bool(record["flags"] & RecordFlag.TERMINATED)
            truncated = bool(record["flags"] & RecordFlag.TRUNCATED) and not terminated
            agent.update(
                float(record["reward"]), terminated, truncated, applied, move_weights=CallFlag.WEIGHTS in calls
            )


def test_dropped_updates_give_the_bits_of_plain_calls_with_the_same_drops(link: Link) -> None:
    """In lockstep by a schedule: every third of 1500, and a burst of 100. tests/test_learners.py holds plain calls
    against the float64 oracle."""
    drops = sorted({*range(0, 1500, 3), *range(700, 800)})
    agents = [rtu.StreamAC(2, 1, seed=4, units=8, hidden=8) for _ in range(2)]
    loop = Loop(link, agents[0].core.policy(), LoopConfig(steps=1500, seed=4, drop_updates=drops))
    result = loop.run()
    records = loop.drain()
    assert result.counters["updates_dropped"] == len(drops)
    learned = records[(records["flags"] & RecordFlag.LEARNED) != 0]
    assert [int(n) for n in np.flatnonzero(~learned["calls"] & CallFlag.WEIGHTS)] == drops
    assert agents[1].state_hash() != agents[0].state_hash()
    plain_calls(agents[1], records, -10.0, 10.0)
    assert agents[1].state_hash() == agents[0].state_hash()
    never = rtu.StreamAC(2, 1, seed=4, units=8, hidden=8)
    records["calls"] |= np.uint32(CallFlag.WEIGHTS)
    plain_calls(never, records, -10.0, 10.0)
    assert never.state_hash() != agents[0].state_hash()


@pytest.mark.timing
@pytest.mark.alone
@pytest.mark.parametrize("clock", [Clock.DEVICE, Clock.HOST])
def test_updates_are_dropped_when_time_is_short_and_can_be_repeated(link: Link, clock: Clock) -> None:
    """A reward that takes longer than the period, occasionally: no time is left for the update."""
    count = 0

    def slow(x: Any, u: Any) -> float:
        nonlocal count
        count += 1
        if count % 10 == 0:
            time.sleep(0.025)
        return 1.0

    agents = [rtu.StreamAC(2, 1, seed=4, units=8, hidden=8) for _ in range(2)]
    config = LoopConfig(clock=clock, steps=60, ttl_ms=500, reward=Reward("callable", function=slow))
    loop = Loop(link, agents[0].core.policy(), config)
    result = loop.run()
    records = loop.drain()
    dropped = ((records["flags"] & RecordFlag.LEARNED) != 0) & ((records["calls"] & CallFlag.WEIGHTS) == 0)
    assert 4 <= result.counters["updates_dropped"] == dropped.sum() < 30
    assert result.counters["skipped"] >= 4
    plain_calls(agents[1], records, -10.0, 10.0)
    assert agents[1].state_hash() == agents[0].state_hash()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoopConfig(drop_updates=[3, 1]), "drop_updates"),
        (LoopConfig(limits=[Limits(-1, 1), Limits(-1, 1)]), "limits: 2 given"),
        (LoopConfig(limits=[Limits(1, -1)]), r"limits\[0\]: min 1 must be below"),
        (LoopConfig(limits=[Limits(-1, 1, 0.0)]), r"limits\[0\].slew_per_s"),
        (LoopConfig(limits=[Limits(20, 30)]), "leaves nothing"),
        (LoopConfig(learn=True, explore=False), "explore"),
        (LoopConfig(realtime=True), "realtime"),
        (LoopConfig(session=0), "session"),
        (LoopConfig(first_episode=-1), "first_episode"),
        (LoopConfig(target_window=0), "target_window"),
        (LoopConfig(reward=Reward("form", quadratic=[1.0])), "reward.quadratic"),
        (LoopConfig(reward=Reward("form", quadratic=[1.0, 1.0], target=[1.0])), "reward.target: 1 number given"),
        (LoopConfig(reward=Reward("callable")), "reward.function"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(link: Link, config: LoopConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Loop(link, controller(), config)


@pytest.mark.hazard("no-limit-by-accident")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"command_limiter": None}, "command_limiter = None: expected True or False"),  # never "no limits" by accident
        ({"command_limiter": "no"}, "command_limiter = 'no': expected True or False"),
        ({"learn": 2.5}, "learn = 2.5"),
        ({"steps": True}, "steps: True, allowed: an integer"),
        ({"seconds": "1"}, "seconds = '1'"),
        ({"target_return": "1"}, "target_return = '1'"),
        ({"target_return": 10**400}, "target_return = 1000"),
        ({"retry_ms": math.nan}, "retry_ms = nan"),
        ({"returns": None}, "returns = None: expected a sequence"),
        ({"returns": [math.inf]}, r"returns\[0\] = inf"),
        ({"returns": [[1.0]]}, r"returns\[0\] = \[1.0\]"),
        ({"drop_updates": 5}, "drop_updates = 5"),
        ({"drop_updates": np.array([1.5])}, r"drop_updates\[0\]: .*1.5.*, allowed: an integer"),
        ({"limits": Limits(-1, 1)}, "limits = Limits"),
        ({"limits": [(-1, 1)]}, r"limits\[0\] = \(-1, 1\): expected Limits"),
        ({"limits": [Limits(-1, np.ma.masked)]}, r"limits\[0\].max"),
        ({"reward": "frame"}, "reward = 'frame': expected a Reward"),
        ({"reward": Reward("form", bias="1")}, "reward.bias = '1'"),
        ({"reward": Reward("form", quadratic=1.0)}, "reward.quadratic = 1.0: expected a sequence"),
        ({"reward": Reward("form", quadratic=[None, 1])}, r"reward.quadratic\[0\] = None"),
        ({"reward": Reward("form", action=[1e39])}, r"reward.action\[0\] = 1e\+39"),
        ({"clock": "lockstep"}, "clock = 'lockstep'"),
        ({"black_box": "box"}, "black_box = 'box'"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_name(link: Link, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Loop(link, controller(), LoopConfig(**values))


def test_a_configuration_is_taken_as_numpy_has_it(link: Link) -> None:
    limits = Limits(np.array(-4.0), np.float32(4), np.int64(100), rest=np.float16(0))  # type: ignore[arg-type]
    reward = Reward(np.str_("form"), np.float32(1), np.array([0.5, 2.0]), (), np.array([-1]))  # type: ignore[arg-type]
    config = LoopConfig(
        limits=np.array([limits]), reward=reward, steps=np.array(20), seed=np.uint64(3),  # type: ignore[arg-type]
        seconds=np.float32(60),  # type: ignore[arg-type]
        target_return=np.array(1e9), returns=np.array([1, 2]), drop_updates=np.array([1,  # type: ignore[arg-type]
        2]), command_limiter=np.True_, learn=1,  # type: ignore[arg-type]
    )  # fmt: skip
    loop = Loop(link, controller(), config)
    assert loop.config == LoopConfig(
        limits=[Limits(-4.0, 4.0, 100.0, rest=0.0)], reward=Reward("form", 1.0, [0.5, 2.0], [], [-1.0], []), steps=20,
        seed=3,
        seconds=60.0, target_return=1e9, returns=[1.0, 2.0], drop_updates=[1, 2],
    )  # fmt: skip
    assert type(loop.config.steps) is int and loop.config.command_limiter is True
    assert loop.run().steps == 20


def test_a_policy_of_another_size_is_refused(link: Link) -> None:
    with pytest.raises(ValueError, match="3 observations"):
        Loop(link, _testing.LinearPolicy(3, [0.0]).policy(), LoopConfig())
    with pytest.raises(ValueError, match="2 actuators"):
        Loop(link, _testing.LinearPolicy(2, [0.0, 0.0]).policy(), LoopConfig())


def test_a_port_without_a_device() -> None:
    import os
    import pty
    import tty

    master, slave = pty.openpty()
    tty.setraw(slave)
    with Link(slave) as link:
        with pytest.raises(LinkError, match="did not answer"):
            link.handshake(timeout_s=0.3)
        with pytest.raises(LinkError, match="handshake"):
            _ = link.hello
        assert link.estop(timeout_s=0.1) is False
    link.close()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("forever", [float("inf"), 1e300])
def test_a_time_without_end_is_no_time_at_all_ago(forever: float) -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        link.handshake(timeout_s=forever)
        with Loop(link, controller(), LoopConfig(steps=50)) as loop:
            loop.start()
            assert loop.wait(forever)
            assert loop.result().reason is StopReason.STEPS
        assert link.estop(timeout_s=forever)


def test_a_device_that_dies_ends_the_loop() -> None:
    with SimulatedDevice("cartpole") as device, open_port(device.port) as port, Link(port) as link:
        link.handshake()
        with Loop(link, controller(), LoopConfig(clock=Clock.DEVICE)) as loop:
            loop.start()
            loop.wait(0.2)
            device.close()
            assert loop.wait(5.0)
            result = loop.result()
            assert result.reason is StopReason.LINK_LOST and not result.confirmed


def test_telemetry_that_nobody_takes_is_dropped_and_counted(link: Link) -> None:
    loop = Loop(link, controller(), LoopConfig(steps=500, ring_records=64))
    result = loop.run()
    assert len(loop.drain()) == 64
    assert result.counters["records_dropped"] == 501 + result.episodes - 64


def test_the_learners_thread_does_not_allocate() -> None:
    """100 000 steps of the whole learner: no call of the allocator on the loop's thread; a planted one is seen."""
    run_guarded("""
import rtu_edge as rtu
from rtu_edge import loop as runtime
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.device.ports import open_port

def run(link, **config):
    agent = rtu.StreamAC(observation_size=2, action_size=1, seed=0, r_min=0.5, max_phase=0.6)
    return runtime.Loop(link, agent.core.policy(), runtime.LoopConfig(handle_signals=False, **config)).run()

with SimulatedDevice() as device, open_port(device.port) as port, runtime.Link(port) as link:
    link.handshake()
    assert run(link, steps=99).heap_calls is None
    result = run(link, steps=100_000)
    assert result.heap_calls == 0 and result.page_faults < 10, result
    planted = runtime.Reward("callable", function=lambda x, u: 1.0)
    assert run(link, steps=300, reward=planted).heap_calls > 0
""")


def test_nobody_counts_heap_calls_without_the_guard(link: Link) -> None:
    assert Loop(link, controller(), LoopConfig(steps=200)).run().heap_calls is None
