"""The plants: dynamics against double precision and Gymnasium, limits, energy, repeatability, compilation."""

from __future__ import annotations

import math
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from reference import plants_oracle as oracle

from rtu_edge.device import plants
from rtu_edge.device.schema import Safe

ffi, lib = plants.ffi, plants.lib
ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "firmware_bridge" / "plants").glob("*.c"))
ALL = plants.names()


class Raw:
    """A plant with access to its C state."""

    def __init__(self, name: str) -> None:
        self.plant = lib.tl_plant_find(name.encode())
        self.union = ffi.new("tl_plant_state *")
        self.state = getattr(self.union, name.removesuffix("-full"))
        self.x = ffi.new("float[]", self.plant.sheet.observation_size)
        self.plant.reset(self.union, 0)

    def step(self, u: float):
        return self.plant.step(self.union, ffi.new("float[]", [u]))

    def observe(self) -> list[float]:
        self.plant.observe(self.union, self.x)
        return list(self.x)


def float32(*values: float) -> list[float]:
    return [float(np.float32(v)) for v in values]


# ---------------------------------------------------------------- trigonometry


def test_sine_and_cosine_keep_their_stated_error():
    rng = np.random.default_rng(0)
    angles = np.concatenate(
        [
            np.linspace(-math.pi, math.pi, 100_001),
            rng.uniform(-1000, 1000, 200_000),
            np.arange(-400, 400) * (math.pi / 2),  # the quadrants' seams
            [0.0, 1e-30, -1e-30, 1e-3],
        ]
    ).astype(np.float32)
    got = np.array([(r.sin, r.cos) for r in map(lib.tl_sincos, angles.tolist())])
    exact = angles.astype(np.float64)
    assert np.abs(got[:, 0] - np.sin(exact)).max() <= 1.0e-7
    assert np.abs(got[:, 1] - np.cos(exact)).max() <= 1.0e-7


def test_wrap_angle_is_within_one_rounding():
    angles = np.linspace(-3 * math.pi, 3 * math.pi, 100_001).astype(np.float32)
    got = np.array([lib.tl_wrap_angle(a) for a in angles.tolist()])
    turns = (got - angles.astype(np.float64)) / (2 * math.pi)
    assert np.abs(turns - np.round(turns)).max() <= 1e-7  # 2e-7 rad is half a unit in the last place near pi
    assert np.abs(got).max() <= math.pi + 3e-7


# ---------------------------------------------------------------- one step against double precision


def test_cartpole_step_matches_double_precision():
    raw = Raw("cartpole-full")
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(20_000):
        start = oracle.CartPole(
            *float32(rng.uniform(-2.4, 2.4), rng.normal() * 3, rng.uniform(-0.2, 0.2), rng.normal() * 3)
        )
        (force,) = float32(rng.uniform(-12, 12))
        raw.plant.reset(raw.union, 0)
        raw.state.x_m, raw.state.v_m_s, raw.state.theta_rad, raw.state.omega_rad_s = start
        expected, reward, terminated = oracle.cartpole_step(start, force)
        result = raw.step(force)
        got = raw.observe()
        worst = max(worst, float(np.abs(np.array(got) - expected).max()))
        near_limit = abs(abs(expected.x) - 2.4) < 1e-5 or abs(abs(expected.theta) - math.radians(12)) < 1e-6
        assert (result.reward, result.truncated) == (reward, False)
        assert near_limit or result.terminated == terminated
    assert worst <= 2e-6  # values up to 10: two units in the last place


def test_pendulum_step_matches_double_precision():
    raw = Raw("pendulum-full")
    rng = np.random.default_rng(2)
    for _ in range(20_000):
        start = oracle.Pendulum(*float32(rng.uniform(-math.pi, math.pi), rng.uniform(-8, 8)))
        (torque,) = float32(rng.uniform(-3, 3))
        raw.plant.reset(raw.union, 0)
        raw.state.theta_rad, raw.state.omega_rad_s = start
        expected, reward = oracle.pendulum_step(start, torque)
        result = raw.step(torque)
        assert result.reward == pytest.approx(reward, abs=3e-6)  # up to 16.3
        assert abs(oracle.wrap(raw.state.theta_rad - expected.theta)) <= 1e-6
        assert raw.observe() == pytest.approx(
            [math.cos(expected.theta), math.sin(expected.theta), expected.omega], abs=1.5e-6
        )


def test_servo_step_matches_double_precision():
    raw = Raw("servo-full")
    rng = np.random.default_rng(3)
    for case in range(5_000):
        omega = 0.0 if case % 3 == 0 else rng.uniform(-60, 60)
        start = oracle.Servo(*float32(rng.uniform(-2.5, 2.5), omega, rng.uniform(-1, 1)))
        (voltage,) = float32(rng.uniform(-12, 12))
        raw.plant.reset(raw.union, 0)
        raw.state.theta_rad, raw.state.omega_rad_s, raw.state.current_a = start
        target = raw.state.target_rad
        expected = oracle.servo_substeps(start, voltage)
        result = raw.step(voltage)
        got = (raw.state.theta_rad, raw.state.omega_rad_s, raw.state.current_a)
        # Stopping one substep earlier or later moves the speed by h tau_c / J = 0.036 rad/s; all else is rounding.
        assert got[0] == pytest.approx(expected.theta, abs=2e-5)
        assert got[1] == pytest.approx(expected.omega, abs=0.04 if abs(expected.omega) < 0.1 else 1e-4)
        assert got[2] == pytest.approx(expected.current, abs=2e-4 if abs(expected.omega) < 0.1 else 1e-6)
        applied = min(max(voltage, -10.0), 10.0)
        assert result.reward == pytest.approx(-((got[0] - target) ** 2 + 1e-4 * applied**2), abs=3e-6)


def test_servo_is_near_the_differential_equation():
    raw = Raw("servo-full")
    rng = np.random.default_rng(4)
    for _ in range(3):
        raw.plant.reset(raw.union, int(rng.integers(2**32)))
        s = oracle.Servo(raw.state.theta_rad, 0.0, 0.0)
        for step in range(100):
            if step % 10 == 0:
                voltage = float(rng.uniform(-3, 3))
            raw.step(voltage)
            s = oracle.servo_step(s, voltage)
        # 1 s of a motor that turns by several radians: the integration's error, not rounding (measured: 0.016 and 0.18)
        assert raw.state.theta_rad == pytest.approx(s.theta, abs=0.02)
        assert raw.state.omega_rad_s == pytest.approx(s.omega, abs=0.2)


def test_servo_numbers_follow_from_its_data_sheet():
    sheet = plants.sheet("servo")
    value = {p.name: p.value for p in sheet.parameters}
    resistance, inductance, h = value["terminal resistance"], value["rotor inductance"], value["substep"]
    text = (ROOT / "firmware_bridge/plants/servo.c").read_text()
    defined = dict(
        line.split()[1:3] for line in text.splitlines() if line.startswith("#define") and len(line.split()) > 2
    )
    x = resistance * h / inductance
    assert float(defined["DECAY"].rstrip("f")) == pytest.approx(math.exp(-x), rel=1e-7)
    assert float(defined["DECAY_MEAN"].rstrip("f")) == pytest.approx((1 - math.exp(-x)) / x, rel=1e-7)
    assert int(defined["SUBSTEPS"]) * h == pytest.approx(sheet.period_s)
    inertia = next(p.value for p in sheet.parameters if p.name.startswith("inertia"))
    assert inertia == pytest.approx(oracle.SERVO_J, rel=1e-6)


# ---------------------------------------------------------------- Gymnasium's own environments


def test_cartpole_follows_gymnasium():
    env = gymnasium.make("CartPole-v1").unwrapped
    raw = Raw("cartpole-full")
    rng = np.random.default_rng(5)
    for seed in range(20):
        env.reset(seed=seed)
        raw.plant.reset(raw.union, seed)
        env.state = (raw.state.x_m, raw.state.v_m_s, raw.state.theta_rad, raw.state.omega_rad_s)
        for _ in range(200):
            force = float(rng.uniform(-10, 10))
            env.force_mag = abs(force)
            observation, reward, terminated, _, _ = env.step(int(force > 0))
            result = raw.step(force)
            # Single against double precision along one unstable episode: the difference grows, but an episode is short.
            assert raw.observe() == pytest.approx(observation.tolist(), abs=2e-5)
            assert (result.reward, result.terminated) == (reward, terminated)
            if terminated:
                break
        assert terminated


def test_pendulum_follows_gymnasium():
    env = gymnasium.make("Pendulum-v1").unwrapped
    raw = Raw("pendulum-full")
    rng = np.random.default_rng(6)
    for seed in range(10):
        env.reset(seed=seed)
        raw.plant.reset(raw.union, seed)
        for step in range(200):
            # From the same state each step: 200 steps of a swinging pendulum amplify a rounding beyond any tolerance.
            env.state = np.array([raw.state.theta_rad, raw.state.omega_rad_s])
            torque = float(np.float32(rng.uniform(-2, 2)))
            observation, reward, terminated, truncated, _ = env.step(np.array([torque], dtype=np.float32))
            result = raw.step(torque)
            assert raw.observe() == pytest.approx(observation.tolist(), abs=1.5e-6)
            assert result.reward == pytest.approx(float(reward), abs=3e-6)
            assert (result.terminated, terminated, truncated) == (False, False, False)
            assert result.truncated == (step == 199)


def test_data_sheets_agree_with_gymnasium():
    for name, full, env_id in (
        ("cartpole", "cartpole-full", "CartPole-v1"),
        ("pendulum", "pendulum-full", "Pendulum-v1"),
    ):
        env = gymnasium.make(env_id)
        for sheet in (plants.sheet(name), plants.sheet(full)):
            assert sheet.max_steps == env.spec.max_episode_steps
            assert sheet.period_s == (env.unwrapped.tau if name == "cartpole" else env.unwrapped.dt)


# ---------------------------------------------------------------- energy and limits


def test_free_pendulum_keeps_its_energy():
    raw = Raw("pendulum-full")
    for theta, omega in ((2.0, 0.0), (3.0, 2.0), (-2.5, 1.0)):
        raw.plant.reset(raw.union, 0)
        raw.state.theta_rad, raw.state.omega_rad_s = theta, omega
        start = oracle.pendulum_energy(oracle.Pendulum(theta, omega))
        energies = []
        for _ in range(200):
            raw.step(0.0)
            energies.append(oracle.pendulum_energy(oracle.Pendulum(raw.state.theta_rad, raw.state.omega_rad_s)))
        # Semi-implicit Euler at 50 ms: the energy swings by several per cent of its range (10 J) and does not drift.
        assert max(abs(e - start) for e in energies) < 1.5
        assert abs(np.mean(energies[:60]) - np.mean(energies[-60:])) < 0.2


def test_free_cartpole_gains_energy_only_by_the_size_of_the_euler_step():
    raw = Raw("cartpole-full")
    raw.state.x_m, raw.state.v_m_s, raw.state.theta_rad, raw.state.omega_rad_s = 0.0, 0.3, 0.05, 0.0
    start = oracle.cartpole_energy(oracle.CartPole(*raw.observe()))
    for _ in range(15):
        raw.step(0.0)
    assert oracle.cartpole_energy(oracle.CartPole(*raw.observe())) == pytest.approx(start, rel=0.01)


def test_unpowered_servo_loses_energy_and_stays():
    raw = Raw("servo-full")
    raw.state.theta_rad, raw.state.omega_rad_s = -2.0, 40.0
    kinetic = math.inf
    for _ in range(300):
        raw.step(0.0)
        assert raw.state.current_a == 0.0 or abs(raw.state.current_a) >= 1e-12  # decaying to 0, never subnormal
        now = raw.state.omega_rad_s**2
        assert now <= kinetic
        kinetic = now
    assert (raw.state.omega_rad_s, raw.state.current_a) == (0.0, 0.0)
    theta = raw.state.theta_rad
    raw.step(0.29)  # below the dead zone of 0.3 V
    assert raw.state.theta_rad == theta
    raw.step(0.33)
    raw.step(0.33)
    assert raw.state.theta_rad > theta


def test_servo_at_its_end_stop_draws_the_stall_current():
    raw = Raw("servo-full")
    for _ in range(100):
        raw.step(10.0)
    assert raw.state.theta_rad == np.float32(2.5)
    assert raw.state.omega_rad_s == 0.0
    assert raw.state.current_a == pytest.approx(10 / 8.4, rel=1e-6)


def bang_bang(name: str, rule, seeds: int) -> np.ndarray:
    """The largest observations, as a share of their range, under a rule of extreme actuator values."""
    raw = Raw(name)
    rows = [raw.plant.sheet.rows[i] for i in range(raw.plant.sheet.observation_size)]
    reach = np.array([max(-row.min, row.max) for row in rows])
    worst = np.zeros(len(rows))
    limit = raw.plant.sheet.rows[raw.plant.sheet.observation_size].max
    for seed in range(seeds):
        raw.plant.reset(raw.union, seed)
        rng = np.random.default_rng(seed)
        held = rng.uniform(-1, 1, 5)
        while True:
            result = raw.step(limit * rule(raw.observe(), held, rng))
            worst = np.maximum(worst, np.abs(raw.observe()) / reach)
            if result.terminated or result.truncated:
                break
    return worst


@pytest.mark.parametrize("name", [n for n in ALL if n.endswith("-full")])
@pytest.mark.parametrize(
    "rule",
    [
        lambda x, held, rng: math.copysign(1.0, rng.normal()),
        lambda x, held, rng: math.copysign(1.0, held[0]),
        lambda x, held, rng: math.copysign(1.0, float(np.dot(held[: len(x)], x)) + 1e-9),
        # the cart's fastest: lean the pole and accelerate along it
        lambda x, held, rng: float(np.clip(40 * (x[-2] - 0.19 * np.sign(held[0])) + 6 * x[-1], -1, 1)),
    ],
    ids=["random", "constant", "linear", "lean"],
)
def test_observations_stay_in_their_ranges(name, rule):
    assert bang_bang(name, rule, 60).max() <= 1.0


def test_cartpole_velocities_keep_a_margin():
    # A search over linear feedback for the fastest cart and pole: ranges must not be reached.
    worst = np.zeros(4)
    for gain in (10, 40, 160):
        for lean in (0.12, 0.17, 0.2):
            worst = np.maximum(
                worst,
                bang_bang(
                    "cartpole-full",
                    lambda x, held, rng, gain=gain, lean=lean: float(
                        np.clip(gain * (x[2] - lean) + gain / 5 * x[3], -1, 1)
                    ),
                    5,
                ),
            )
    assert worst[1] <= 0.7
    assert worst[3] <= 0.7


# ---------------------------------------------------------------- episodes, actuators, starts


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits_other_seed_other_start(name):
    def run(seed: int) -> list[bytes]:
        plant = plants.Plant(name)
        plant.reset(seed)
        rng = np.random.default_rng(7)
        top = plant.sheet.actuators[0].max
        states = [plant.state_bytes]
        for _ in range(300):
            plant.step([float(rng.uniform(-top, top)) * 0.2])
            states.append(plant.state_bytes)
        return states

    assert run(11) == run(11)
    assert run(11)[0] != run(12)[0]


def test_starts_are_uniform_in_their_ranges():
    plant = plants.Plant("cartpole-full")
    starts = np.array([plant.reset(seed)[0] for seed in range(4000)])
    assert np.abs(starts).max() <= 0.05
    # mean of 4000 uniforms: standard error 0.05 / sqrt(3 * 4000) = 4.6e-4
    assert np.abs(starts.mean(axis=0)).max() < 2.5e-3
    assert np.abs(starts.std(axis=0) - 0.05 / math.sqrt(3)).max() < 1e-3
    assert np.abs(np.corrcoef(starts.T) - np.eye(4)).max() < 0.06
    # neighbouring seeds are unrelated
    assert np.abs(np.corrcoef(starts[:-1, 0], starts[1:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize("name", ALL)
def test_actuator_is_clamped_and_what_is_not_finite_counts_as_safe(name):
    raw = Raw(name)
    row = raw.plant.sheet.rows[raw.plant.sheet.observation_size]
    assert (row.min, row.max, row.safe, row.safe_value) == (-row.max, row.max, Safe.OFF, 0.0)

    def after(u: float) -> bytes:
        raw.plant.reset(raw.union, 3)
        raw.step(u)
        return bytes(ffi.buffer(raw.union, raw.plant.state_bytes))

    assert after(row.max * 3) == after(row.max) != after(0.0)
    assert after(-row.max * 3) == after(row.min) != after(0.0)
    for strange in (math.nan, math.inf, -math.inf, 1e-40, -1e-13):
        assert after(strange) == after(0.0)


@pytest.mark.parametrize("name", ALL)
def test_episode_is_truncated_held_and_started_again(name):
    plant = plants.Plant(name, max_steps=3)
    plant.reset(5)
    zero = [0.0]
    flags = [plant.step(zero)[2:4] for _ in range(3)]
    assert flags == [(False, False), (False, False), (False, True)]
    held = plant.state_bytes
    observation, reward, terminated, truncated, _ = plant.step([plant.sheet.actuators[0].max])
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert plant.state_bytes == held
    assert np.array_equal(observation, plant.observe())
    plant.reset(5)
    assert plant.step(zero)[2:4] == (False, False)


def test_terminated_and_truncated_are_apart():
    plant = plants.Plant("cartpole")
    plant.reset(0)
    steps = 0
    while True:
        _, reward, terminated, truncated, _ = plant.step([10.0])
        steps += 1
        assert reward == 1.0
        if terminated or truncated:
            break
    assert (terminated, truncated) == (True, False)
    both = plants.Plant("cartpole", max_steps=steps)
    both.reset(0)
    for _ in range(steps):
        result = both.step([10.0])
    assert result[2:4] == (True, True)


def test_continuing_servo_never_ends_and_draws_targets():
    plant = plants.Plant("servo", max_steps=0)
    plant.reset(1)
    targets, held = [], []
    for _ in range(3000):
        x, _, terminated, truncated, _ = plant.step([0.0])
        assert not terminated
        assert not truncated
        if not targets or x[1] != targets[-1]:
            targets.append(x[1])
            held.append(0)
        held[-1] += 1
    assert 15 <= len(targets) <= 30
    assert all(100 <= h <= 200 for h in held[1:-1])


def test_velocities_suffice_for_plain_controllers():
    cart = plants.Plant("cartpole-full")
    for seed in range(5):
        x, _ = cart.reset(seed)
        total = 0.0
        while True:
            x, reward, terminated, truncated, _ = cart.step([float(np.dot([1.0, 2.0, 30.0, 4.0], x))])
            total += reward
            if terminated or truncated:
                break
        assert (total, truncated) == (500.0, True)
    servo = plants.Plant("servo-full", max_steps=0)
    for seed in range(5):
        x, _ = servo.reset(seed)
        target = x[1]
        for _ in range(99):
            x, *_ = servo.step([20.0 * (target - x[0]) - 0.6 * x[2]])
        assert abs(x[0] - target) < 0.02  # the dead zone of 0.3 V over the gain of 20


# ---------------------------------------------------------------- data sheets and arguments


@pytest.mark.parametrize("name", ALL)
def test_data_sheet_is_complete(name):
    sheet = plants.sheet(name)
    assert sheet.name == name
    assert sheet.title
    assert sheet.reward
    assert sheet.source
    assert sheet.parameters
    assert all(p.name and p.unit and p.source for p in sheet.parameters)
    assert all(row.name and row.unit and row.min < row.max for row in sheet.observations + sheet.actuators)
    assert all(row.safe is Safe.NONE for row in sheet.observations)
    assert all(row.safe is not Safe.NONE for row in sheet.actuators)
    assert len(sheet.observations) <= lib.TL_PLANT_OBS_MAX
    assert len(sheet.actuators) <= lib.TL_PLANT_ACT_MAX
    assert lib.tl_plant_find(name.encode()).state_bytes <= ffi.sizeof("tl_plant_state")
    full = plants.sheet(name if name == "joint" else name.removesuffix("-full") + "-full")
    names = [row.name for row in full.observations]
    assert [row.name for row in sheet.observations if row.name not in names] == []
    assert [replace(row, index=0) for row in sheet.actuators] == [replace(row, index=0) for row in full.actuators]


@pytest.mark.parametrize("name", ALL)
def test_documentation_has_the_numbers_of_the_data_sheet(name):
    text = (ROOT / "docs" / "plants.md").read_text(encoding="utf-8")
    sheet = plants.sheet(name)
    assert f"`{name}`" in text
    for row in sheet.observations + sheet.actuators:
        assert f"| `{row.name}` | {row.unit} | {row.min:g} | {row.max:g} |" in text
    for p in sheet.parameters:
        assert f"| {p.name} | {p.value:g} | {p.unit} | {p.source} |" in text
    assert sheet.reward in " ".join(text.split())
    assert sheet.source in " ".join(text.split())  # also where its line is wrapped


def test_safe_numbers_have_one_home():
    text = (ROOT / "firmware_bridge/protocol/safe.h").read_text()
    for safe in Safe:
        assert f"TL_SAFE_{safe.name} = {safe.value}" in text


def test_arguments_are_taken_as_numpy_has_them():
    plant = plants.Plant(np.str_("servo"), max_steps=np.array(5))
    assert type(plant.max_steps) is int and plant.max_steps == 5
    assert (plant.reset(np.uint32(7))[0] == plants.Plant("servo").reset(7)[0]).all()
    other = plants.Plant("servo")
    other.reset(7)
    assert plant.step(np.array([1], np.int8))[1] == other.step([np.float16(1)])[1]


@pytest.mark.parametrize("value", [5.0, np.float64(5), True, np.True_, "5", -1, 2**32, np.array([5]), 10**400])
def test_what_is_no_seed_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^seed = "):
        plants.Plant("servo").reset(value)
    with pytest.raises(ValueError, match=r"^max_steps = "):
        plants.Plant("servo", max_steps=value)


@pytest.mark.parametrize("name", ["cartpole\0x", b"cartpole", 5, None, "\udc80"])
def test_what_is_no_plant_is_refused_by_name(name):
    with pytest.raises(ValueError, match=r"^plant .* is unknown; there are cartpole, "):
        plants.Plant(name)


@pytest.mark.parametrize("u", [np.ma.masked_array([1.0], mask=True), [1 + 2j], [10**400], ["a"], [1e39], [None]])
def test_what_is_no_command_is_refused_by_name(u):
    plant = plants.Plant("servo")
    before = plant.state_bytes
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"^u "):
        warnings.simplefilter("error")
        plant.step(u)
    assert plant.state_bytes == before


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"plant 'cartpol' is unknown; there are cartpole, "):
        plants.Plant("cartpol")
    with pytest.raises(ValueError, match=r"max_steps = -1: expected an integer from 0"):
        plants.Plant("servo", max_steps=-1)
    plant = plants.Plant("servo")
    before = plant.state_bytes
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(1,\)"):
        plant.step([1.0, 2.0])
    with pytest.raises(ValueError, match="not finite"):
        plant.step([math.nan])
    with pytest.raises(ValueError, match="seed = 4294967296"):
        plant.reset(2**32)
    assert plant.state_bytes == before
    assert lib.tl_plant_at(lib.tl_plant_count()) == ffi.NULL


# ---------------------------------------------------------------- compilation

STRICT = [
    "-std=c99",
    "-pedantic",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Werror",
    "-ffp-contract=off",
    f"-I{ROOT}",
]


@pytest.mark.parametrize(
    "compiler",
    [
        ["gcc"],
        ["arm-none-eabi-gcc", "-ffreestanding", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"],
    ],
    ids=["host", "cortex-m4"],
)
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_compiles_without_a_warning_and_needs_no_library(compiler, source, tmp_path):
    assert shutil.which(compiler[0]), f"{compiler[0]} is missing"
    built = tmp_path / "plant.o"
    done = subprocess.run([*compiler, *STRICT, "-O2", "-c", source, "-o", built], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    nm = shutil.which(compiler[0].replace("gcc", "nm"))
    undefined = subprocess.run([nm, "-u", built], capture_output=True, text=True, check=True).stdout.split()
    allowed = {"U", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert {s for s in undefined if not s.startswith("tl_")} <= allowed


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O3"])
def test_every_optimisation_gives_the_recorded_bits(level, tmp_path):
    program = tmp_path / "test_plants"
    done = subprocess.run(
        ["gcc", *STRICT, level, ROOT / "tests/firmware/test_plants.c", *SOURCES, "-o", program],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
