"""Bound buffers, chunks and halves: four interfaces for one step with identical bits; and the errors of each."""

from __future__ import annotations

import inspect
import sys
import threading
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from alloc_guard import run_guarded

import rtu_edge as rtu

D = 3
K = 200
KINDS: dict[str, Callable[..., Any]] = {
    "continuous": lambda **kw: rtu.StreamAC(D, 2, **({"units": 5, "hidden": 6} | kw)),
    "discrete": lambda **kw: rtu.StreamAC(D, n_actions=3, **({"units": 5, "hidden": (6, 4), "body": "shared"} | kw)),
    "nonlinear": lambda **kw: rtu.StreamAC(
        D, 1, **({"units": 5, "hidden": (), "cell": "nonlinear", "recompute": True} | kw)
    ),
    "memoryless": lambda **kw: rtu.StreamAC(D, 1, **({"hidden": 6, "cell": "none", "optimizer": "adam"} | kw)),
    "predictor": lambda **kw: rtu.TDPredictor(D, **({"units": 5} | kw)),
    "predictor-sgd": lambda **kw: rtu.TDPredictor(
        D, **({"units": 6, "units_per_pole": 2, "hidden": 4, "optimizer": "sgd", "normalize_observation": True} | kw)
    ),
    "regressor": lambda **kw: rtu.OnlineRegressor(D, 2, **({"units": 5, "hidden": 4} | kw)),
    "linear-cell": lambda **kw: rtu.LinearRTU(D, 5, **kw),
    "nonlinear-cell": lambda **kw: rtu.NonlinearRTU(D, 5, **kw),
}
AGENTS = ["continuous", "discrete", "nonlinear", "memoryless"]
LEARNERS = [*AGENTS, "predictor", "predictor-sgd", "regressor"]


class Stream:
    """A fixed stream in a learner's own dtype, with both kinds of episode ends."""

    def __init__(self, dtype: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((K, D)).astype(dtype)
        self.r = rng.standard_normal(K)
        self.targets = rng.standard_normal((K, 2)).astype(dtype)
        ends = np.arange(K) % 23 == 22
        self.terminated = ends & (np.arange(K) % 2 == 0)
        self.truncated = ends & ~self.terminated


def width(agent: rtu.StreamAC) -> int:
    return 1 if agent.discrete else int(agent.config["action_size"])


def by_steps(learner: Any, s: Stream) -> list[Any]:
    out: list[Any] = []
    if isinstance(learner, rtu.StreamAC):
        starts = True
        for i in range(K):
            ends = bool(s.terminated[i]), bool(s.truncated[i])
            out.append(learner.reset(s.x[i]) if starts else learner.step(s.x[i], s.r[i], *ends))
            assert not (starts and any(ends))
            starts = any(ends)
    elif isinstance(learner, rtu.TDPredictor):
        out = [learner.step(s.x[i], s.r[i]) for i in range(K)]
    elif isinstance(learner, rtu.OnlineRegressor):
        out = [(learner.predict(s.x[i]), learner.update(s.targets[i])) for i in range(K)]
    else:
        out = [learner.step(s.x[i]) for i in range(K)]
    return out


def by_halves(agent: rtu.StreamAC, s: Stream) -> list[Any]:
    out: list[Any] = []
    starts = True
    for i in range(K):
        if starts:
            agent.begin()
        out.append(agent.predict(s.x[i]))
        agent.update(s.r[i], bool(s.terminated[i]), bool(s.truncated[i]))
        starts = bool(s.terminated[i] or s.truncated[i])
    return out


def by_bound_steps(learner: Any, s: Stream) -> list[Any]:
    dtype = s.x.dtype
    x = np.zeros(D, dtype)
    out: list[Any] = []
    if isinstance(learner, rtu.StreamAC):
        action = np.zeros(width(learner), dtype)
        learner.bind(x, action)
        starts = True
        for i in range(K):
            x[:] = s.x[i]
            assert learner.reset_bound() is None if starts else True
            if not starts:
                assert learner.step_bound(s.r[i], s.terminated[i], truncated=s.truncated[i]) is None
            starts = s.terminated[i] or s.truncated[i]
            out.append(int(action[0]) if learner.discrete else action.copy())
    elif isinstance(learner, rtu.TDPredictor):
        learner.bind(x)
        for i in range(K):
            x[:] = s.x[i]
            out.append(learner.step_bound(s.r[i]))
    elif isinstance(learner, rtu.OnlineRegressor):
        y, target = np.zeros(2, dtype), np.zeros(2, dtype)
        learner.bind(x, y, target)
        for i in range(K):
            x[:], target[:] = s.x[i], s.targets[i]
            loss = learner.step_bound()
            out.append((y.copy(), loss))
    else:
        y = np.zeros(2 * learner.n_units, dtype)
        learner.bind(x, y)
        for i in range(K):
            x[:] = s.x[i]
            assert learner.step_bound() is None
            out.append(y.copy())
    return out


def by_chunks(learner: Any, s: Stream, chunks: tuple[int, ...] = (1, 7, 64, K)) -> list[Any]:
    out: list[Any] = []
    at = 0
    for size in chunks:
        rows = slice(at, min(at + size, K))
        at = rows.stop
        if isinstance(learner, rtu.StreamAC):
            actions = learner.run(s.x[rows], s.r[rows], s.terminated[rows], s.truncated[rows])
            assert actions.shape == (() if learner.discrete else (width(learner),)).__class__(
                (rows.stop - rows.start,) if learner.discrete else (rows.stop - rows.start, width(learner))
            )
            out += [int(a) for a in actions] if learner.discrete else list(actions)
        elif isinstance(learner, rtu.TDPredictor):
            out += [float(v) for v in learner.run(s.x[rows], s.r[rows])]
        else:
            y, losses = learner.run(s.x[rows], s.targets[rows])
            out += [(y[i], float(losses[i])) for i in range(len(y))]
    return out


def bits(answers: list[Any]) -> list[bytes]:
    return [b"".join(np.asarray(part).tobytes() for part in (a if isinstance(a, tuple) else (a,))) for a in answers]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_step_gives_the_same_bits(kind: str, dtype: str) -> None:
    s = Stream(dtype)
    ways: list[Callable[[Any, Stream], list[Any]]] = [by_bound_steps]
    if kind in LEARNERS:
        ways.append(by_chunks)
    if kind in AGENTS:
        ways.append(by_halves)
    reference = KINDS[kind](dtype=dtype, seed=3)
    wanted = bits(by_steps(reference, s))
    assert len(set(wanted)) > 2, "a stream on which something happens"
    for way in ways:
        learner = KINDS[kind](dtype=dtype, seed=3)
        assert bits(way(learner, s)) == wanted, way.__name__
        if kind in LEARNERS:
            assert learner.state_hash() == reference.state_hash(), way.__name__


@pytest.mark.parametrize("kind", AGENTS)
def test_a_log_with_executed_actions_is_learned_from_as_by_learn(kind: str) -> None:
    s = Stream("float32", 5)
    rng = np.random.default_rng(1)
    one, many = KINDS[kind](seed=1), KINDS[kind](seed=1)
    done: Any = rng.integers(0, 3, K) if one.discrete else rng.uniform(-1, 1, (K, width(one))).astype(np.float32)
    answers: list[Any] = []
    starts = True
    for i in range(K):
        if starts:
            one.begin()
        answers.append(one.predict(s.x[i]))
        one.update(s.r[i], bool(s.terminated[i]), bool(s.truncated[i]), applied=done[i])
        starts = bool(s.terminated[i] or s.truncated[i])
    actions = many.run(s.x, s.r, s.terminated, s.truncated, done)
    assert bits([a if not one.discrete else int(a) for a in actions]) == bits(answers)
    assert one.state_hash() == many.state_hash()


def test_run_takes_any_real_arrays_and_none() -> None:
    rows = [[0.25, 1, 2], [0.5, 1, 0]]
    exact = KINDS["continuous"]().run(np.array(rows, np.float32), np.array([0.0, 1.5]))
    assert exact.dtype == np.float32
    wide = np.zeros((2, 2 * D), np.float32)
    wide[:, ::2] = rows
    for x in (rows, np.array(rows), np.asfortranarray(rows), wide[:, ::2]):
        for r in ([0, 1.5], np.array([0, 1.5], np.float32)):
            np.testing.assert_array_equal(KINDS["continuous"]().run(x, r), exact)
    learner = KINDS["continuous"]()
    before = learner.state_hash()
    assert learner.run(np.zeros((0, D)), []).shape == (0, 2)
    assert KINDS["discrete"]().run(np.zeros((0, D)), []).shape == (0,)
    assert learner.state_hash() == before


# --- refusals ---


def strided(n: int, dtype: str) -> Any:
    return np.zeros(2 * n, dtype)[::2]


def misaligned(n: int, dtype: str) -> Any:
    return np.zeros(n * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype)


def read_only(n: int, dtype: str) -> Any:
    a = np.zeros(n, dtype)
    a.flags.writeable = False
    return a


def other(dtype: str) -> str:
    return "float32" if dtype == "float64" else "float64"


BAD_BUFFERS: dict[str, Callable[[int, str], Any]] = {
    "other precision": lambda n, dtype: np.zeros(n, other(dtype)),
    "integers": lambda n, dtype: np.zeros(n, np.int32),
    "big-endian": lambda n, dtype: np.zeros(n, np.dtype(dtype).newbyteorder(">")),
    "half": lambda n, dtype: np.zeros(n, np.float16),
    "too long": lambda n, dtype: np.zeros(n + 1, dtype),
    "too short": lambda n, dtype: np.zeros(n - 1, dtype),
    "matrix": lambda n, dtype: np.zeros((1, n), dtype),
    "scalar": lambda n, dtype: np.zeros((), dtype),
    "strided": strided,
    "backwards": lambda n, dtype: np.zeros(n, dtype)[::-1],
    "misaligned": misaligned,
    "list": lambda n, dtype: [0.0] * n,
    "bytes": lambda n, dtype: bytes(n * 4),
    "objects": lambda n, dtype: np.zeros(n, object),
    "dates": lambda n, dtype: np.zeros(n, "datetime64[s]"),
    "none": lambda n, dtype: None,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", BAD_BUFFERS)
def test_a_buffer_that_does_not_fit_is_refused_by_name(bad: str, dtype: str) -> None:
    make = BAD_BUFFERS[bad]
    x, u = np.zeros(D, dtype), np.zeros(2, dtype)
    agent = KINDS["continuous"](dtype=dtype)
    with pytest.raises(ValueError, match=r"^observation_buffer: expected a contiguous " + dtype):
        agent.bind(make(D, dtype), u)
    with pytest.raises(ValueError, match=r"^action_buffer: expected a contiguous " + dtype):
        agent.bind(x, make(2, dtype))
    with pytest.raises(RuntimeError, match=r"before bind"):
        agent.step_bound(0.0)
    with pytest.raises(ValueError, match=r"^x_buffer: "):
        KINDS["predictor"](dtype=dtype).bind(make(D, dtype))
    for at, name in enumerate(("x", "prediction", "target")):
        buffers = [x, u, u.copy()]
        buffers[at] = make(len(buffers[at]), dtype)
        with pytest.raises(ValueError, match=rf"^{name}_buffer: "):
            KINDS["regressor"](dtype=dtype).bind(*buffers)
    cell = KINDS["linear-cell"](dtype=dtype)
    with pytest.raises(ValueError, match=r"^y_buffer: "):
        cell.bind(x, make(10, dtype))


def test_read_only_arrays_may_be_read_but_not_written() -> None:
    agent = KINDS["continuous"]()
    x, u = read_only(D, "float32"), np.zeros(2, np.float32)
    agent.bind(x, u)
    agent.reset_bound()
    with pytest.raises(ValueError, match=r"^action_buffer: expected a writable array"):
        agent.bind(x, read_only(2, "float32"))
    assert agent.step_bound(0.0) is None, "a refused bind() leaves the old one"
    with pytest.raises(ValueError, match=r"^prediction_buffer: expected a writable array"):
        KINDS["regressor"]().bind(x, read_only(2, "float32"), u)
    with pytest.raises(ValueError, match=r"^y_buffer: expected a writable array"):
        KINDS["linear-cell"]().bind(x, read_only(10, "float32"))


def test_other_contiguous_memory_is_welcome() -> None:
    """The buffer protocol, not numpy: array.array, memoryview, a row of a matrix."""
    s = Stream("float32")
    wanted = KINDS["continuous"]()
    wanted.reset(s.x[0])
    for x, u in (
        (array("f", s.x[0]), array("f", [0, 0])),
        (memoryview(s.x[0].copy()), memoryview(np.zeros(2, np.float32))),
        (s.x[0], np.zeros((4, 2), np.float32)[1]),
    ):
        agent = KINDS["continuous"]()
        agent.bind(x, u)  # type: ignore[arg-type]
        agent.reset_bound()
        assert agent.state_hash() == wanted.state_hash()


def test_bound_arrays_are_kept_and_replaced() -> None:
    agent = KINDS["continuous"]()
    x, u = np.ones(D, np.float32), np.zeros(2, np.float32)
    before = sys.getrefcount(x), sys.getrefcount(u)
    agent.bind(x, u)
    assert (sys.getrefcount(x), sys.getrefcount(u)) > before
    agent.bind(x.copy(), u.copy())
    assert (sys.getrefcount(x), sys.getrefcount(u)) == before, "the new ones take their place"
    agent.reset_bound()
    step = agent.step_bound
    del agent
    assert step(0.5) is None, "the function keeps its learner"
    twin = KINDS["continuous"]()
    twin.bind(x, u)
    del twin
    assert (sys.getrefcount(x), sys.getrefcount(u)) == before


def test_a_bad_value_leaves_the_learner_as_it_was() -> None:
    agent = KINDS["continuous"]()
    x, u = np.ones(D, np.float32), np.full(2, 7, np.float32)
    agent.bind(x, u)
    with pytest.raises(RuntimeError, match="no episode"):
        agent.step_bound(0.0)
    x[1] = np.nan
    fresh = agent.state_hash()
    with pytest.raises(ValueError, match=r"observation\[1\] is nan: expected a finite number"):
        agent.reset_bound()
    assert agent.state_hash() == fresh
    x[1] = 1
    agent.reset_bound()
    u[:] = 7
    before = agent.state_hash()
    for reward in (np.nan, np.inf, -1e39, "1", None, 10**400, b"1"):
        with pytest.raises(ValueError, match=r"^reward = "):
            agent.step_bound(reward)
        with pytest.raises(ValueError, match=r"^reward = "):
            agent.step(x, reward)
    x[2] = -np.inf
    with pytest.raises(ValueError, match=r"observation\[2\] is -inf"):
        agent.step_bound(0.0)
    assert agent.state_hash() == before
    assert (u == 7).all(), "nothing is written either"
    x[2] = 0
    agent.step_bound(True, np.True_, 0)  # what a float() and a bool() take
    with pytest.raises(RuntimeError, match="no episode"):
        agent.step_bound(0.0)
    agent.reset_bound()
    agent.predict(x)
    with pytest.raises(RuntimeError, match="update\\(\\) comes between"):
        agent.step_bound(0.0)
    with pytest.raises(RuntimeError, match="update\\(\\) comes between"):
        agent.run(x[None], [0.0])

    model = KINDS["regressor"]()
    target = np.zeros(2, np.float32)
    model.bind(x, u, target)
    before = model.state_hash()
    target[1] = np.nan
    with pytest.raises(ValueError, match=r"target\[1\] is nan"):
        model.step_bound()
    assert model.state_hash() == before
    model.predict(x)
    with pytest.raises(RuntimeError, match="update\\(\\) comes between"):
        model.step_bound()
    v = KINDS["predictor"]()
    v.bind(x)
    with pytest.raises(ValueError, match=r"^cumulant = nan"):
        v.step_bound(np.nan)
    with pytest.raises(TypeError):
        v.step_bound()


def test_arguments_as_of_any_function() -> None:
    agent = KINDS["continuous"]()
    agent.bind(np.zeros(D, np.float32), np.zeros(2, np.float32))
    agent.reset_bound()
    agent.step_bound(truncated=False, reward=1, terminated=False)
    for arguments, keywords in (((), {}), ((1, 0, 0, 0), {}), ((1,), {"reward": 1}), ((1,), {"end": 1})):
        with pytest.raises(TypeError, match=r"step_bound\(\)"):
            agent.step_bound(*arguments, **keywords)
    for name in ("step_bound", "reset_bound"):
        declared = inspect.signature(getattr(rtu.StreamAC, name))
        assert [*inspect.signature(getattr(agent, name)).parameters] == [*declared.parameters][1:]
    with pytest.raises(RuntimeError, match="before bind"):
        agent.copy().step_bound(0.0)


@pytest.mark.parametrize(
    ("match", "change"),
    [
        (r"^observations: expected shape \(k, 3\), got \(4, 2\)", {"observations": np.zeros((4, 2))}),
        (r"^observations: expected shape \(k, 3\), got \(3,\)", {"observations": np.zeros(3)}),
        (r"^observations\[3, 1\] is nan", {"observations": np.where(np.arange(12) == 10, np.nan, 0).reshape(4, 3)}),
        (r"^observations\[0, 0\] is 1e\+39", {"observations": np.full((4, 3), 1e39)}),
        (r"^observations: expected real numbers", {"observations": np.zeros((4, 3), complex)}),
        (r"^observations: expected", {"observations": [[0, 0, 0], [0]]}),
        (r"^rewards: expected shape \(4,\), got \(3,\)", {"rewards": np.zeros(3)}),
        (r"^rewards\[2\] is inf", {"rewards": np.array([0, 0, np.inf, 0])}),
        (r"^rewards\[1\] is 1e\+39", {"rewards": np.array([0, 1e39, 0, 0])}),
        (r"^terminated: expected truth values", {"terminated": np.zeros(4)}),
        (r"^truncated: expected shape \(4,\)", {"truncated": np.zeros(5, bool)}),
        (r"^applied: expected shape \(4, 2\)", {"applied": np.zeros(4)}),
        (r"^applied\[1, 1\] is nan", {"applied": np.where(np.arange(8) == 3, np.nan, 0).reshape(4, 2)}),
    ],
)
def test_a_bad_chunk_is_refused_whole(match: str, change: dict[str, Any]) -> None:
    agent = KINDS["continuous"]()
    before = agent.state_hash()
    with pytest.raises(ValueError, match=match):
        agent.run(**({"observations": np.zeros((4, 3)), "rewards": np.zeros(4)} | change))
    assert agent.state_hash() == before


@pytest.mark.parametrize("bad", [3, -1, 0.5])
def test_executed_indices_are_in_range(bad: float) -> None:
    with pytest.raises(ValueError, match=r"applied\[2\] is .*: expected an integer from 0 to 2"):
        KINDS["discrete"]().run(np.zeros((4, 3)), np.zeros(4), applied=[0, 2, bad, 1])


def test_bad_chunks_of_signals_are_refused_whole() -> None:
    v, model = KINDS["predictor"](), KINDS["regressor"]()
    with pytest.raises(ValueError, match=r"^cumulants: expected shape \(2,\)"):
        v.run(np.zeros((2, D)), [0])
    with pytest.raises(ValueError, match=r"^targets: expected shape \(2, 2\)"):
        model.run(np.zeros((2, D)), np.zeros(2))
    model.predict(np.zeros(D))
    with pytest.raises(RuntimeError, match="update\\(\\) comes between"):
        model.run(np.zeros((2, D)), np.zeros((2, 2)))


class Slow:
    """Numbers with a slow conversion: another thread takes the learner meanwhile."""

    def __init__(self, values: Any, meanwhile: Callable[[], None]) -> None:
        self.values = values
        self.meanwhile = meanwhile

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.meanwhile()
        return np.asarray(self.values, dtype=dtype)


@pytest.mark.parametrize("call", ["run", "reset", "step", "predict"])
def test_a_thread_that_comes_first_while_arguments_are_converted_keeps_out_the_others(call: str) -> None:
    k = 300_000
    agent = KINDS["continuous"]()
    x = np.random.default_rng(0).normal(size=(k, D)).astype(np.float32)
    agent.reset(x[0])
    thread = threading.Thread(target=agent.run, args=(x, np.zeros(k)))

    def meanwhile() -> None:
        thread.start()
        while thread.is_alive():
            try:
                agent.state_hash()
            except RuntimeError:
                return

    calls: dict[str, Callable[[], Any]] = {
        "run": lambda: agent.run(Slow(x[:10], meanwhile), np.zeros(10)),
        "reset": lambda: agent.reset(Slow(x[0], meanwhile)),
        "step": lambda: agent.step(Slow(x[0], meanwhile), 0.0),
        "predict": lambda: agent.predict(Slow(x[0], meanwhile)),
    }
    try:
        with pytest.raises(RuntimeError, match="another thread"):
            calls[call]()
        assert thread.is_alive(), "it was over before the call could collide with it"
    finally:
        thread.join()


def test_other_threads_run_meanwhile_but_not_this_learner() -> None:
    """A chunk of about a second: this thread continues to count, and its calls are refused."""
    agent = rtu.StreamAC(16, 1, units=256, hidden=64)
    k = 20_000
    x = np.zeros((k, 16), np.float32)
    u = np.zeros(1, np.float32)
    agent.bind(x[0], u)
    thread = threading.Thread(target=agent.run, args=(x, np.zeros(k)))
    uses: list[Callable[[], Any]] = [
        lambda: agent.step(x[0], 0.0),
        lambda: agent.step_bound(0.0),
        agent.reset_bound,
        agent.begin,
        agent.state_hash,
        lambda: agent.parameters,
        lambda: agent.run(x[:1], [0.0]),
        agent.copy,
    ]
    refused = [0] * len(uses)
    thread.start()
    try:
        while thread.is_alive() and 0 in refused:
            for i, use in enumerate(uses):
                try:
                    use()
                except RuntimeError as error:
                    refused[i] += "another thread" in str(error)
    finally:
        thread.join()
    assert 0 not in refused


def test_denormals_are_flushed_inside_and_left_alone_outside() -> None:
    """A trace that has decayed below 1e-38 is zero in the learner; Python's own arithmetic keeps its denormals."""
    tiny = np.float32(1e-30)
    cell = rtu.LinearRTU(1, 4, r_min=0.5, r_max=0.5001)
    x, y = np.ones(1, np.float32), np.zeros(8, np.float32)
    cell.bind(x, y)
    cell.step_bound()
    x[:] = 0
    for _ in range(160):  # retention one half: denormal from 2^-126 on, zero below 2^-149
        cell.step_bound()
        state = np.concatenate([cell._core.get(name).ravel() for name, *_ in cell._core.sections() if name != "rng"])
        small = np.abs(state[state != 0].astype(np.float64))
        assert (small >= np.finfo(np.float32).tiny).all()
    assert (y == 0).all()
    for use in (
        lambda: KINDS["continuous"]().run(np.zeros((4, D)), np.zeros(4)),
        lambda: KINDS["continuous"]().reset(np.zeros(D)),
        lambda: KINDS["predictor"]().step(np.zeros(D), 0.0),
        lambda: KINDS["continuous"]().state_hash(),
        lambda: rtu.footprint("td_predictor", observation_size=2).calibrate(0.0),
    ):
        use()
        assert float(tiny * np.float32(1e-12)) > 0, "a denormal"
        assert 5e-324 * 1.0 > 0


# --- cost: counts, not times ---


@pytest.mark.parametrize("kind", LEARNERS)
def test_no_heap_call_and_no_page_fault_in_100_000_bound_steps(kind: str) -> None:
    print(
        run_guarded(f"""
import resource
from itertools import repeat
import numpy as np
import test_bound
from alloc_guard import calls, last

learner = test_bound.KINDS[{kind!r}]()
x, u, t = np.ones(test_bound.D, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
if hasattr(learner, "reset_bound"):
    learner.bind(x, u[: test_bound.width(learner)])
    learner.reset_bound()
elif hasattr(learner, "predict"):
    learner.bind(x, u, t)
else:
    learner.bind(x)
step = learner.step_bound
arguments = () if hasattr(learner, "predict") and not hasattr(learner, "reset_bound") else (0.25,)

def faults():
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_minflt + usage.ru_majflt

def go(n):
    for _ in repeat(None, n):
        step(*arguments)

def cost(n):
    counted, faulted = calls(), faults()
    go(n)
    faulted = faults() - faulted  # first: reading the other counter takes memory, occasionally a new page
    return calls() - counted, faulted

for _ in range(3):
    alone = cost(33)  # what reading the counters itself costs
# The interpreter takes memory of its own occasionally; a learner that took any would do so at every attempt.
attempts = [cost(99_900) for _ in range(3)]
assert min(attempts) <= (alone[0], 0) and min(faulted for _, faulted in attempts) == 0, (alone, attempts, last())
""")
    )
