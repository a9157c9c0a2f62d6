"""A synthetic run from formulas, for tests of the report and of inspect."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtu_edge.device.schema import Channel
from rtu_edge.record import Check, RunFolder, Stage, Summary
from rtu_edge.record.old_formats import TELEMETRY

RECORD = np.dtype(
    [
        ("step", "u8"), ("t_ns", "i8"), ("device_us", "u4"), ("episode", "u2"), ("episode_step", "u4"), ("flags", "u1"),
        ("command_limiter", "u1"), ("reward", "f4"), ("value", "f4"), ("delta", "f4"), ("step_size_actor", "f4"),
        ("step_size_critic", "f4"), ("lateness_ns", "i4"), ("predict_ns", "u4"), ("update_ns", "u4"),
        ("round_trip_ns", "u4"), ("x", "f4", (2,)), ("u", "f4", (1,)), ("applied", "f4", (1,)),
    ]
)  # fmt: skip
EPISODE = np.dtype(
    [
        ("episode", "u2"),
        ("steps", "u4"),
        ("total_steps", "u8"),
        ("total_return", "f4"),
        ("terminated", "u1"),
        ("t_ns", "i8"),
    ]
)


def curve(rng: np.random.Generator, steps: int, ceiling: float) -> np.ndarray:
    lengths = []
    total = 0
    while total < steps:
        level = 20 + (ceiling - 20) / (1 + np.exp(-(total - 0.4 * steps) / (0.06 * steps)))
        lengths.append(int(np.clip(rng.gamma(6.0) / 6.0 * level, 9, 500)))
        total += lengths[-1]
    episodes = np.zeros(len(lengths), EPISODE)
    episodes["steps"], episodes["total_return"] = lengths, lengths
    episodes["episode"] = np.arange(1, len(lengths) + 1)
    episodes["total_steps"] = np.cumsum(lengths)
    return episodes


def records(rng: np.random.Generator, steps: int) -> np.ndarray:
    found = np.zeros(steps, RECORD)
    time_s = np.arange(steps) * 0.02
    found["step"], found["episode"] = np.arange(steps), 3 + np.arange(steps) // 500
    found["x"][:, 0] = 0.4 * np.sin(0.9 * time_s) + 0.02 * rng.standard_normal(steps)
    found["x"][:, 1] = 0.03 * np.sin(5 * time_s) + 0.01 * rng.standard_normal(steps)
    found["applied"][:, 0] = np.clip(6 * rng.standard_normal(steps), -10, 10)
    found["lateness_ns"] = 60_000 * rng.lognormal(0, 0.5, steps)
    found["predict_ns"] = 3_000 * rng.lognormal(0, 0.2, steps)
    found["update_ns"] = 9_000 * rng.lognormal(0, 0.2, steps)
    found["round_trip_ns"] = 110_000 * rng.lognormal(0, 0.4, steps)
    return found


def save(folder: RunFolder, arrays: dict[str, np.ndarray]) -> None:
    """The telemetry.npz of an earlier version."""
    np.savez_compressed(folder.file(TELEMETRY), **arrays)


def make(path: Path, *, passed: bool = True, seed: int = 0) -> RunFolder:
    """A folder with everything but checkpoint and export."""
    rng = np.random.default_rng(seed)
    folder = RunFolder.create(path, "made-up")
    folder.event("start", seed=seed)
    save(
        folder,
        {
            "learning_episodes": curve(rng, 46_000, 700.0),
            "control_episodes": curve(rng, 46_000, 90.0),
            "realtime": records(rng, 1000),
            "realtime_episodes": curve(rng, 1000, 500.0)[:0],
        },
    )
    folder.file(RunFolder.CONFIG).write_text('[device]\nplant = "cartpole"\n\n[learner]\nunits = 32\n')
    stage = Stage(steps=46_000, episodes=300, seconds=6.1, reason="target", mean_return=481.0)
    folder.save_summary(
        Summary(
            name="made-up",
            title="Position-only cart-pole over a serial port",
            headline="Learned from scratch in 46,000 steps to balance the pole, from position and angle alone.",
            started="2026-11-22 10:00:00 UTC",
            seconds=93.0,
            seed=seed,
            period_s=0.02,
            target_return=475.0,
            reached_after_steps=46_000,
            config_hash="0123456789abcdef",
            state_hash="9f86d081884c7d65",
            onnx_difference=3.1e-7,
            device={"port": "/dev/pts/3", "firmware": "1.0", "plant": "cartpole"},
            observations=[Channel("position", "m", -2.4, 2.4), Channel("angle", "rad", -0.2095, 0.2095)],
            actuators=[Channel("force", "N", -10.0, 10.0)],
            learner={"cell": "linear", "units": 32, "hidden": [32], "actor": {"step_size": 1.0, "kappa": 3.0}},
            learner_bytes=53_248,
            host={"processor": "a <processor> & more", "cores": "2"},
            stages={
                "learning": stage,
                "realtime": Stage(steps=1000, seconds=20.0, counters={"missed": 0, "skipped": 2}),
            },
            checks=[
                Check("learns", passed, "481.0 of 500 after 46,000 steps", "mean of 20 episodes at least 475"),
                Check("resumes to the bit", True, "equal", "same bytes on the wire, same state"),
            ],
        )
    )
    return folder
