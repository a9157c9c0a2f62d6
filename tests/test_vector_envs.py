"""Vector environments of the plants: the bits of single environments in each autoreset mode, and what is refused."""

from __future__ import annotations

import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from rtu_edge._bridge import lib

from rtu_edge import envs

N = 5


def vector(name: str = "rtu_edge/CartPole-v0", n: int = N, **kwargs: Any) -> envs.PlantVectorEnv:
    return gymnasium.make_vec(name, num_envs=n, vectorization_mode="vector_entry_point", **kwargs)


def sync(name: str, mode: AutoresetMode, n: int = N, **kwargs: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: envs.PlantEnv(envs.IDS[name], **kwargs)] * n, autoreset_mode=mode)


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    """The same types, shapes and bits, within tuples and dictionaries too."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, tuple) or getattr(ours, "dtype", None) == np.dtype(object):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif ours is not None:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        assert ours.tobytes() == theirs.tobytes(), f"{where}: {ours} {theirs}"


def compare(
    name: str, mode: AutoresetMode, actions: str | int, seed: int, steps: int, max_steps: int, n: int = N
) -> int:
    """Step a vector and a SyncVectorEnv alike; return how many episodes ended."""
    ours = vector(name, n, actions=actions, max_steps=max_steps, autoreset_mode=mode)
    theirs = sync(name, mode, n, actions=actions, max_steps=max_steps)
    assert ours.action_space == theirs.action_space and ours.observation_space == theirs.observation_space
    assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
    rng = np.random.default_rng(seed)
    ends = 0
    for _ in range(steps):
        if isinstance(actions, int):
            given_actions = rng.integers(0, actions, n)
        else:
            given_actions = (rng.uniform(-1.5, 1.5, (n, 1)) * ours.single_action_space.high).astype(np.float32)
        got = ours.step(given_actions)
        assert_same(got, theirs.step(given_actions))
        ended = got[2] | got[3]
        ends += int(ended.sum())
        if mode is AutoresetMode.DISABLED and ended.any():
            assert_same(ours.reset(options={"reset_mask": ended}), theirs.reset(options={"reset_mask": ended.copy()}))
    assert ours.np_random_seed == theirs.np_random_seed
    assert [g.integers(2**32) for g in ours.np_random] == [g.integers(2**32) for g in theirs.np_random]
    return ends


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("name", envs.IDS)
def test_bits_are_those_of_single_environments(name: str, mode: AutoresetMode) -> None:
    assert compare(name, mode, "unit", seed=2**32 - 2, steps=40, max_steps=15) >= 5


@pytest.mark.parametrize("mode", AutoresetMode)
def test_blocks_of_neighbours_give_the_same_bits(mode: AutoresetMode) -> None:
    """Cart-poles are stepped sixteen at a time: two blocks and a rest, with ends by angle, by track and by time."""
    assert compare("rtu_edge/CartPole-v0", mode, "unit", seed=3, steps=60, max_steps=25, n=37) >= 60
    assert compare("rtu_edge/CartPolePosition-v0", mode, 2, seed=3, steps=25, max_steps=0, n=32) >= 20


@pytest.mark.parametrize("n", [3, 16])
def test_plants_whose_episode_is_over_hold_still(n: int) -> None:
    """In C; the environment itself asks for a reset before."""
    env = vector(n=n, autoreset_mode="Disabled", max_steps=2)
    env.reset(seed=0)
    env.step(np.ones((n, 1), np.float32))
    observations, *_ = env.step(np.ones((n, 1), np.float32))
    assert lib.tl_plant_batch_step(env._batch.c) == 0
    assert np.array_equal(env._batch.x, observations)
    assert not env._batch.reward.any() and env._batch.truncated.all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(envs.IDS)),
    mode=st.sampled_from(list(AutoresetMode)),
    actions=st.sampled_from(["unit", "physical", 2, 7]),
    seed=st.integers(0, 2**40),
    max_steps=st.sampled_from([0, 1, 2, 9]),
    n=st.sampled_from([1, 4, 16, 19]),
)
def test_random_actions_give_the_same_bits(name, mode, actions, seed, max_steps, n) -> None:
    compare(name, mode, actions, seed, steps=12, max_steps=max_steps, n=n)


def test_seeds_masks_and_options() -> None:
    ours, theirs = vector(autoreset_mode="Disabled"), sync("rtu_edge/CartPole-v0", AutoresetMode.DISABLED)
    assert_same(ours.reset(seed=[7, 1, 0, 2**40, 7]), theirs.reset(seed=[7, 1, 0, 2**40, 7]))
    assert_same(ours.reset(), theirs.reset())
    assert_same(ours.reset(seed=[1, 2, 3, None, None]), theirs.reset(seed=[1, 2, 3, None, None]))
    mask = np.array([False, True, False, False, True])
    options = {"reset_mask": mask}
    assert_same(ours.reset(seed=9, options=options), theirs.reset(seed=9, options={"reset_mask": mask.copy()}))
    assert list(options) == ["reset_mask"]
    observation, infos = ours.reset(seed=np.int64(4))
    assert infos["plant_seed"].tolist() == [4, 5, 6, 7, 8]
    assert np.array_equal(observation[2], envs.PlantEnv("cartpole-full").reset(seed=6)[0])


def test_unseeded_vectors_differ() -> None:
    first, second = vector().reset()[0], vector().reset()[0]
    assert not np.array_equal(first, second) and len(np.unique(first[:, 0])) == N


def test_last_observation_and_infos_of_an_episode() -> None:
    env = vector(autoreset_mode=AutoresetMode.SAME_STEP, max_steps=1)
    env.reset(seed=0)
    observations, rewards, terminations, truncations, infos = env.step(np.zeros((N, 1), np.float32))
    assert truncations.all() and not terminations.any() and (rewards == 1.0).all()
    for i in range(N):
        single = envs.PlantEnv("cartpole-full", max_steps=1)
        single.reset(seed=i)
        assert np.array_equal(infos["final_obs"][i], single.step(np.zeros(1, np.float32))[0])
        assert np.array_equal(observations[i], single.reset(seed=int(infos["plant_seed"][i]))[0])
    assert "applied" not in infos and infos["final_info"]["applied"].shape == (N, 1)


def test_copies_and_one_array() -> None:
    for copy in (True, False):
        env = vector(copy=copy)
        first, _ = env.reset(seed=0)
        kept = first.copy()
        second = env.step(np.ones((N, 1), np.float32))
        third = env.step(np.ones((N, 1), np.float32))
        assert (second[0] is third[0]) is (not copy)
        assert np.array_equal(first, kept) is copy
        assert all(a is not b for a, b in zip(second[1:4], third[1:4], strict=True))


def test_actions_of_other_types_mean_the_same() -> None:
    values = np.linspace(-1, 1, N).reshape(N, 1)
    results = []
    for given_actions in (values.astype(np.float32), values, values.tolist(), np.asfortranarray(values)[::1]):
        env = vector()
        env.reset(seed=0)
        results.append(env.step(given_actions))
    for other in results[1:]:
        assert_same(other, results[0])
    levels = []
    for chosen in (np.array([0, 1, 2, 1, 0]), np.array([0, 1, 2, 1, 0], np.uint8), [0, 1, 2, 1, 0]):
        env = vector(actions=3)
        env.reset(seed=0)
        levels.append(env.step(chosen))
    assert_same(levels[1], levels[0])
    assert_same(levels[2], levels[0])
    assert levels[0][4]["applied"][:, 0].tolist() == [-10.0, 0.0, 10.0, 0.0, -10.0]


@pytest.mark.parametrize(
    ("actions", "bad", "message"),
    [
        ("unit", np.zeros(N, np.float32), r"actions has shape \(5,\), expected \(5, 1\)"),
        ("unit", np.zeros((N, 2)), r"actions has shape \(5, 2\), expected \(5, 1\)"),
        ("unit", np.array([[0], [0], [np.nan], [0], [0]], np.float32), r"actions\[2\] = \[nan\] is not in Box"),
        ("physical", np.array([[0], [0], [0], [0], [1e300]]), r"actions\[4\] = \[1e\+300\]"),
        ("unit", np.ma.zeros((N, 1), np.float32), "expected real numbers"),
        ("unit", [["a"]] * N, "expected real numbers"),
        ("unit", np.full((N, 1), "1"), "expected real numbers"),
        ("unit", np.full((N, 1), 1j), "expected real numbers"),
        (3, np.array([0, 1, 2, 3, 0]), r"actions\[3\] = 3 is not in Discrete\(3\)"),
        (3, np.array([0, -1, 2, 0, 0]), r"actions\[1\] = -1 is not"),
        (3, np.zeros(N), "expected integers of shape"),
        (3, np.zeros((N, 1), np.int64), "expected integers of shape"),
        (3, np.array([0, 0, 0, 0, 2**63], np.uint64), r"actions\[4\]"),
    ],
)
def test_bad_actions_move_nothing(actions: str | int, bad: Any, message: str) -> None:
    env, twin = vector(actions=actions), vector(actions=actions)
    good = np.zeros(N, np.int64) if actions == 3 else np.zeros((N, 1), np.float32)
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(bad)
    assert_same(env.step(good), twin.step(good))


@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("actions", ["unit", 3])
def test_ignored_actions_are_not_checked(actions: str | int, n: int) -> None:
    env = vector(n=n, actions=actions, max_steps=1)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    ignored = np.full(n, 10**9) if actions == 3 else np.full((n, 1), np.nan, np.float32)
    observations, rewards, _, truncations, infos = env.step(ignored)
    assert not rewards.any() and not truncations.any() and infos["_plant_seed"].all() and "applied" not in infos
    assert np.isfinite(observations).all()


def test_steps_that_need_a_reset() -> None:
    zeros = np.zeros((N, 1), np.float32)
    env = vector(autoreset_mode="Disabled", max_steps=2)
    with pytest.raises(ResetNeeded, match="before the first reset"):
        env.step(zeros)
    some = np.arange(N) == 1
    with pytest.raises(ResetNeeded, match="the first reset"):
        env.reset(options={"reset_mask": some})
    env.reset(seed=0)
    env.step(zeros)
    env.reset(options={"reset_mask": some})
    assert env.step(zeros)[3].tolist() == [True, False, True, True, True]
    with pytest.raises(ResetNeeded, match=r"environments \[0, 2, 3, 4\]: the episode has ended"):
        env.step(zeros)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"seed": [1, 2]}, ValueError, "2 seeds for 5 environments"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"seed": 2**128 - 3}, ValueError, "seed = "),
        ({"seed": [0, 1, 2, 3, 1.5]}, ValueError, "seed = 1.5"),
        ({"options": {"reset_mask": [True] * N}}, TypeError, "expected a numpy array of bool"),
        ({"options": {"reset_mask": np.ones(N)}}, TypeError, "expected a numpy array of bool"),
        ({"options": {"reset_mask": np.zeros(N, bool)}}, ValueError, "at least one True"),
        ({"options": {"reset_mask": np.ones(N + 1, bool)}}, ValueError, r"expected shape \(5,\)"),
    ],
)
def test_bad_resets_change_nothing(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    env, twin = vector(), vector()
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(error, match=message):
        env.reset(**kwargs)
    assert_same(env.reset(), twin.reset())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"num_envs": 0}, ValueError, "num_envs = 0"),
        ({"autoreset_mode": "Never"}, ValueError, "Never"),
        ({"render_mode": "human"}, TypeError, "render_mode = 'human': expected None or one of rgb_array"),
        ({"copy": "yes"}, ValueError, "copy = 'yes'"),
        ({"actions": 1}, ValueError, "actions: 1 is neither"),
        ({"plant": "cartpol"}, ValueError, "plant 'cartpol' is unknown"),
    ],
)
def test_bad_arguments_are_named(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        envs.PlantVectorEnv(**{"plant": "cartpole", "num_envs": 2, **kwargs})


def test_gymnasiums_vector_wrappers_take_it() -> None:
    env = RecordEpisodeStatistics(NormalizeObservation(vector(max_steps=3)))
    env.reset(seed=0)
    for _ in range(3):
        observations, *_, infos = env.step(env.action_space.sample())
    assert observations.shape == (N, 4) and infos["episode"]["r"].tolist() == [3.0] * N
    assert vector().metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert gymnasium.make_vec(vector().spec).num_envs == N
    env.close()


def test_vectors_step_in_threads_of_their_own() -> None:
    """The call holds no lock and shares nothing."""
    expected = vector(n=64)
    expected.reset(seed=0)
    action = np.full((64, 1), 0.3, np.float32)
    last = [expected.step(action) for _ in range(50)][-1]
    found: list[Any] = [None] * 4

    def run(i: int) -> None:
        env = vector(n=64)
        env.reset(seed=0)
        found[i] = [env.step(action) for _ in range(50)][-1]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found:
        assert_same(result, last)
