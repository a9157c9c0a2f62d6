"""Take-over by a person: what is learned from it, who drives when, the way back, sources that fail, replay."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import config_of, run
from test_learners import pair, same, sampled

import rtu_edge as rtu
from rtu_edge._base.errors import ConfigError
from rtu_edge.device.schema import Channel, DataSheet
from rtu_edge.loop import Cause, Driver, RecordFlag
from rtu_edge.loop.take_over import TakeOver
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import Batch, read_log
from rtu_edge.report.timeline import COLUMNS, features
from rtu_edge.run.cloning import demonstration_of
from rtu_edge.run.promotion import evidence
from rtu_edge.run.replay import DifferenceFlag, verify

PD = (
    "fallback={kind='pd', pd={force={p={x=-1.0, theta=-35.0}, d={x=-2.5, theta=-6.0}}}}",
    "supervisor.dwell_steps=10",
    "supervisor.recovery_steps=5",
)
SHEET = DataSheet(
    0.02,
    tuple(Channel(name, "", -100.0, 100.0) for name in "xyz"),
    tuple(Channel(name, "N", -4.0, 2.0, actuator=True) for name in "uv"),
)


def small(**settings: Any) -> rtu.StreamAC:
    return rtu.StreamAC(2, 1, units=4, hidden=4, body="separate", actor_warmup=0, seed=0, **settings)


def weights(agent: rtu.StreamAC) -> dict[str, Any]:
    agent.core.flush()
    return {name: value.copy() for name, value in agent.parameters.items()}


def moved(before: dict[str, Any], agent: rtu.StreamAC) -> set[str]:
    """Whose weights have changed: "actor", "critic"."""
    return {name.split(".")[0] for name, value in weights(agent).items() if (value != before[name]).any()}


# ---------------------------------------------------------------- in a loop of your own


@pytest.mark.hazard("person-learned-as-own")
@pytest.mark.parametrize("actions", [{}, {"n_actions": 3}], ids=["continuous", "discrete"])
def test_the_actor_never_takes_the_persons_action_for_its_own(actions: dict[str, int]) -> None:
    """A person who does what the actor would have chosen, against the float64 reference, which has the score of no
    such action; 1e-9 of a tensor's largest entry, as in test_learners.py.
    """
    agent, slow = pair(3, **actions)
    rng, back, steps = np.random.default_rng(4), 3, itertools.count()
    sheet = SHEET if not actions else DataSheet(SHEET.period_s, SHEET.observations, SHEET.actuators[:1])
    limits = [rtu.Limits(row.min, row.max) for row in sheet.actuators]

    def imitator(x: Any) -> Any:
        if next(steps) % 20 < 12:
            return None
        share = (np.atleast_1d(agent.copy().predict(x)) + (0 if actions else 1)) / 2
        return [row.min + part * (row.max - row.min) for row, part in zip(sheet.actuators, share, strict=True)]

    hands = TakeOver(agent, imitator, sheet, limits, back_s=back * sheet.period_s)
    x = rng.standard_normal(3).astype(np.float32)
    hands.reset(x)
    slow.reset(x, sampled(agent))
    since, persons = 99, 0
    for _ in range(150):
        since = 0 if hands.by_person else since + 1
        persons += hands.by_person
        x, reward = rng.standard_normal(3).astype(np.float32), float(rng.standard_normal())
        hands.step(x, reward)
        slow.step(x, reward, sampled(agent), overridden=since < back)
    same(agent, slow)
    assert persons > 50


def test_rows_clone_and_the_command_of_each_driver() -> None:
    held = [True]
    with rtu.connect("cartpole") as robot:
        agent = small()
        hands = robot.take_over(agent, lambda x: [6.0] if held[0] else None, back_s=0.2)
        rows: list[tuple[Any, ...]] = []
        for episode in range(4):
            held[0] = episode % 2 == 0
            x, _ = robot.reset(seed=episode)
            command, result = hands.reset(x), (x, 0.0, False, False, {})
            while True:
                if held[0]:
                    assert command.tolist() == [6.0] and hands.by_person
                    rows.append((result[0], 0.6, result[1], False))
                result = robot.step(command)
                command = hands.step(*result)
                if result[2] or result[3]:
                    break
            if held[0]:
                rows.append((result[0], 0.6, result[1], True))
        shown = hands.demonstration
        assert shown is not None
        x, u, rewards, ends = (np.array(column) for column in zip(*rows, strict=True))
        np.testing.assert_array_equal(shown["observations"], x)
        np.testing.assert_allclose(shown["actions"][:, 0], u, atol=1e-6)
        np.testing.assert_array_equal(shown["rewards"], rewards)
        np.testing.assert_array_equal(shown["terminated"], ends)
        np.testing.assert_array_equal(shown["demonstrated"], ~ends)
        other = agent.copy()
        other.clone(**shown, passes=2)
        hands.clone(passes=2)
        assert agent.state_hash() == other.state_hash() and hands.demonstration is None
        with pytest.raises(ConfigError, match="no person has driven"):
            hands.clone()


def test_a_source_that_fails_in_a_loop_of_your_own_changes_nothing() -> None:
    given: list[Any] = [None]
    with rtu.connect("cartpole") as robot:
        agent = small()
        hands = robot.take_over(agent, lambda x: given[0])
        result = robot.step(hands.reset(*robot.reset(seed=1)))
        before = agent.state_hash()
        for bad, text in (([math.nan], "is not finite"), ([1.0, 2.0], r"shape \(2,\)"), ("on", "real numbers")):
            given[0] = bad
            with pytest.raises(ConfigError, match=text):
                hands.step(*result)
            assert agent.state_hash() == before
        given[0] = [1e9]
        assert hands.step(*result).tolist() == [10.0]
        with pytest.raises(ConfigError, match=r"back_s = -1: expected a number from 0 to 60"):
            robot.take_over(agent, lambda x: None, back_s=-1)
        with pytest.raises(ConfigError, match="source = 3"):
            robot.take_over(agent, 3)  # type: ignore[arg-type]


# ---------------------------------------------------------------- in the native loop


def drive(source: Any, steps: int, *changes: str, agent: Any = None, **options: Any) -> tuple[Any, Any]:
    """A run of the cart-pole in lockstep; its records and result."""
    taken: list[Any] = []
    with rtu.connect("cartpole") as robot:
        result = robot.run(
            small() if agent is None else agent, steps, take_over=source, supervisor=config_of(*PD, *changes),
            on_progress=lambda status, records: taken.append(records), progress=False, **options,
        )  # fmt: skip
    return np.concatenate(taken), result


def drivers(records: Any) -> list[Driver]:
    return [Driver.of(int(word)) for word in records["mode"]]


def causes(records: Any) -> list[Cause]:
    return [Cause.of(int(word)) for word in records["mode"]]


@pytest.mark.hazard("person-learned-as-own")
def test_in_a_run_only_the_critic_learns_from_the_person() -> None:
    """Wide noise: half of the samples are clipped to an end, and the person is at that end."""
    agent = small(sigma_floor=3.0)
    before = weights(agent)
    records, result = drive(lambda x: [10.0], 300, agent=agent)
    assert set(drivers(records)) == {Driver.PERSON} and moved(before, agent) == {"critic"}
    assert result.counters["person_steps"] >= 300 == result.steps and result.counters["learned"] == 300
    assert result.counters["fallback_steps"] == result.counters["learner_steps"] == 0
    acted = (records["flags"] & RecordFlag.ACTED) != 0
    assert (records["u"][acted] == 10.0).all() and ((records["flags"] & RecordFlag.PERSON) != 0).all()
    # The same through the rule of 1e-4 alone: the hole that would be there.
    with rtu.connect("cartpole") as robot:
        agent.reset(robot.reset(seed=1)[0])
        before = weights(agent)
        for step in range(30):
            x, reward, terminated, truncated, _ = robot.step([10.0])
            agent.predict(x)
            agent.update(reward, terminated, truncated, applied=np.array([1.0]))
            if terminated or truncated:
                agent.reset(robot.reset(seed=step)[0])
    assert moved(before, agent) == {"actor", "critic"}


@pytest.mark.hazard("person-silent")
def test_the_stages_of_the_way_back_and_the_jump_at_each() -> None:
    """Person, fallback for its dwell, learner. With back_s = 0.5 s, 25 steps, the first command is within 20 / 25 N of
    the person's last, plus what the controller itself changes; without a way back the jump is that to the controller.
    """
    for back_s, bounded in ((0.5, True), (0.0, False)):
        steps = itertools.count()
        records, _ = drive(
            lambda x, steps=steps: [8.0 if x[1] > 0.0 else -8.0] if 3 <= next(steps) < 7 else None, 60,
            take_over_back_s=back_s,
        )  # fmt: skip
        ended = np.append(np.flatnonzero(records["flags"] & RecordFlag.TERMINATED), len(records))
        records = records[: ended[0]]
        who, u = np.array(drivers(records)), records["u"][:, 0]
        expected = [Driver.LEARNER] * 3 + [Driver.PERSON] * 4 + [Driver.FALLBACK] * 9 + [Driver.LEARNER] * 4
        assert who[:20].tolist() == expected
        x = records["x"].astype(float)
        pd = np.clip(x @ [1.0, 35.0] + np.diff(x, axis=0, prepend=x[:1]) @ [2.5, 6.0] / 0.02, -10.0, 10.0)
        jump, direct = abs(u[7] - u[6]), abs(pd[7] - u[6])
        assert direct > 1.0 and jump == pytest.approx(direct / 25 if bounded else direct, rel=1e-3)
        assert not bounded or abs(u[16] - u[15]) <= 20 / 25 + 1e-5  # fallback to learner
        shared = who != Driver.LEARNER
        shared[16 : 16 + 24 * bounded] = True
        overridden = (records["flags"] & RecordFlag.OVERRIDDEN) != 0
        np.testing.assert_array_equal(overridden[1:], shared[:-1])


@pytest.mark.hazard("person-silent")
def test_in_lockstep_a_source_may_be_silent_out_of_range_or_raise() -> None:
    steps = itertools.count()
    said = {1: [math.nan], 2: [math.inf], 3: [math.nan], 4: [1e30], 5: [-1e30], 6: [3]}
    records, result = drive(lambda x: said.get(next(steps)), 30)
    why, u = causes(records), records["u"][:, 0]
    assert why[1:4] == [Cause.SILENT] * 3 and set(drivers(records[1:4])) == {Driver.FALLBACK}
    assert why[4:7] == [Cause.PERSON] * 3 and u[4:7].tolist() == [10.0, -10.0, 3.0]
    assert why[7:16] == [Cause.DWELL] * 9 and why[0] is why[16] is Cause.NONE
    assert result.counters["limiter_range"] >= 2 and result.counters["switches"] == 0

    def breaks(x: Any) -> Any:
        raise ValueError("unplugged")

    for source, error, text in (
        (breaks, ValueError, "unplugged"),
        (lambda x: [1.0, 2.0], ConfigError, r"take_over: returned values of shape \(2,\); expected \(1,\), or None"),
        (lambda x: np.ma.masked_array([1.0], [True]), ConfigError, "expected 1 real numbers, or None"),
    ):
        agent = small()
        with pytest.raises(error, match=text):
            drive(source, 100, agent=agent)
        agent.reset([0.0, 0.0])  # it can be used afterwards


def test_what_a_take_over_needs() -> None:
    with rtu.connect("cartpole") as robot:
        for options, text in (
            ({"take_over": 3}, r"take_over = 3: expected a function"),
            ({"take_over": "nowhere:leader"}, "take_over.function: cannot import nowhere:leader"),
            ({"take_over": breakpoint, "supervisor": False}, "take_over: needs a supervisor"),
            ({"take_over": breakpoint, "take_over_back_s": -1.0}, "take_over_back_s = -1.0: expected a number from 0"),
            ({"take_over": breakpoint, "take_over_silence_ms": 5}, "take_over_silence_ms = 5: expected a number from"),
        ):
            with pytest.raises(ConfigError, match=text):
                robot.run(small(), 10, progress=False, **options)
    with pytest.raises(ConfigError, match=r'take_over.function = "leader": must be MODULE:NAME'):
        config_of('take_over.function="leader"')
    with pytest.raises(ConfigError, match=r"take_over.silence_ms"):
        config_of("take_over.silence_ms=1.0")


@pytest.mark.hazard("person-silent")
@pytest.mark.timing
def test_in_real_time_a_source_that_does_not_return_is_silent() -> None:
    """The source hangs from its 20th question on: after 100 ms the fallback drives, to the end."""
    asked, taken = itertools.count(), []

    def hangs(x: Any) -> Any:
        if next(asked) == 20:
            time.sleep(0.9)
        return [1.0]

    config = config_of(*PD, 'loop.clock="device"')
    with rtu.connect("cartpole", clock="device") as robot:
        result = robot.run(
            small(), take_over=hangs, take_over_silence_ms=100.0, seconds=1.2, ttl_ms=1000, supervisor=config,
            on_progress=lambda status, records: taken.append(records), progress=False,
        )  # fmt: skip
    why = causes(np.concatenate(taken))
    last = max(step for step, cause in enumerate(why) if cause is Cause.PERSON)
    assert set(why[last + 1 :]) == {Cause.SILENT} and result.counters["person_steps"] == why.count(Cause.PERSON)
    with rtu.connect("cartpole", clock="device") as robot, pytest.raises(ConfigError, match="asked every 20 ms"):
        robot.run(small(), 10, take_over=hangs, take_over_silence_ms=30.0, progress=False)


# ---------------------------------------------------------------- logs

_asked = itertools.count()


def by_turns(x: Any) -> Any:
    """Off, on, silent, out of range, in steps of different lengths."""
    step = next(_asked)
    if step % 97 < 20:
        return [20.0 * x[0] + 30.0 * x[1]]
    if step % 97 < 24:
        return [math.nan]
    return [-50.0] if step % 211 == 7 else None


@pytest.mark.parametrize(
    "mode",
    [
        ("supervisor.mode='learn'",),
        ("supervisor.mode='residual'", "supervisor.residual={force=0.2}"),
        ("supervisor.mode='shadow'", "fallback={kind='hold'}"),
        ("learner.actions='discrete'", "learner.levels=5", "learner.previous_action=true"),
    ],
    ids=["learn", "residual", "hold", "discrete"],
)
def test_a_run_with_a_person_replays_to_the_bit(tmp_path: Path, mode: tuple[str, ...]) -> None:
    changes = (*PD, *mode, 'take_over={function="test_take_over:by_turns", back_s=0.3}', "sensor.x.stuck_steps=8")
    config = config_of(*changes)
    with RunFolder.create(tmp_path, "run") as folder:
        kept, _ = run(folder, config, supervised=True, steps=800)
        log = read_log(folder.log(""))
    who = np.array(drivers(kept.records))
    assert {Driver.PERSON, Driver.FALLBACK} <= set(who.tolist()) and (who == Driver.PERSON).sum() > 100
    replayed = verify(log)
    assert replayed.difference is None, str(replayed.difference)
    assert replayed.final_equal and replayed.hashes > 5
    # Another driver than that of the record is found where it is.
    at = int(np.flatnonzero(who == Driver.PERSON)[30])
    log.records = log.records.copy()
    log.records["flags"][at] ^= int(RecordFlag.PERSON)
    found = verify(log).difference
    assert found is not None and found.sequence == at and found.what & DifferenceFlag.DECISION


def test_a_log_shows_the_persons_steps_to_clone_and_not_to_promote(tmp_path: Path) -> None:
    config = config_of(*PD, 'take_over.function="test_take_over:by_turns"')
    with RunFolder.create(tmp_path, "run") as folder:
        kept, agent = run(folder, config, supervised=True, steps=600)
        log = read_log(folder.log(""))
    shown = demonstration_of(log, config, agent)
    who = np.array(drivers(kept.records))
    acted = (kept.records["flags"] & RecordFlag.ACTED) != 0
    np.testing.assert_array_equal(shown.demonstrated, acted & (who == Driver.PERSON))
    np.testing.assert_allclose(shown.actions[shown.demonstrated], kept.records["u"][shown.demonstrated] / 10, atol=1e-6)
    row = features(kept.records)[:, COLUMNS.index("person")]
    np.testing.assert_array_equal(row, acted & (who == Driver.PERSON))
    records = kept.records.copy()
    whole = evidence([Batch(records, kept.episodes)])
    records["mode"] &= ~np.uint32(0xFF0)  # as if the learner had driven alone
    assert len(whole.learner) < len(evidence([Batch(records, kept.episodes)]).learner)


def test_a_run_shows_the_episodes_with_a_person() -> None:
    episodes = itertools.count()
    on = [False]

    def source(x: Any) -> Any:
        return [1.0] if on[0] else None

    def watch(status: Any, records: Any) -> None:
        next(episodes)

    with rtu.connect("cartpole") as robot:
        agent = small()
        assert robot.run(agent, 50, take_over=source, progress=False).demonstration is None
        on[0] = True
        result = robot.run(agent, 50, take_over=source, progress=False, on_progress=watch)
        shown = result.demonstration
        assert shown is not None and shown["demonstrated"].sum() == 50
        np.testing.assert_allclose(shown["actions"][shown["demonstrated"]], 0.1, atol=1e-6)
        assert agent.clone(**shown, passes=1).steps == len(shown["rewards"])
