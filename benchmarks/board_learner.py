"""Learning on the emulated microcontroller itself, monitored; then the host resumes the board's learner.

    python -m benchmarks.board_learner                 # position-only cart-pole to 475 of 500, half a minute
    python -m benchmarks.board_learner --seed 3 --steps 60000

The firmware tl_stm32f405_learner runs in QEMU (docs/firmware_learner.md): stream AC over recurrent trace units, 2
inputs, 16 units, 16 hidden, ObGD, with a cart-pole that reports position and angle only. Printed: the agent's flash and
RAM, instructions per control step, the learning curve, the difference from the host's scalar kernels over 300 steps,
and the performance of the downloaded agent on the host.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console

import rtu_edge as rtu
from rtu_edge.hil.learner import SETTINGS, BoardLearner
from rtu_edge.hil.qemu import QemuBoard

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import qemu  # noqa: E402  tools of the tests
import toolchain  # noqa: E402

TARGET, WINDOW = 475.0, 20
RAM_LIMIT, FLASH_LIMIT = 16_896, 26 * 1024
COUNTED_STEPS, COMPARED_STEPS, HOST_STEPS = 200, 300, 12_000

# The package's agent on its scalar kernels, for comparison on the same host; also used by test_qemu_learner.py.
SCALAR = ROOT / "tests/firmware/cortex/scalar_host.py"


def images() -> tuple[Path, Path, Path]:
    """The image with the learner, the one without, and the host's program that knows the arena."""
    folder = toolchain.build("cortex-m4", "tl_stm32f405", "tl_stm32f405_learner")
    host = toolchain.build("release", "cortex_learner_host") / "cortex_learner_host"
    return folder / "tl_stm32f405_learner.elf", folder / "tl_stm32f405.elf", host


def sizes(image: Path, without: Path) -> tuple[int, int]:
    """Bytes of flash and of RAM for the agent, without the bridge."""
    more, less = toolchain.sections(image, qemu.PREFIX), toolchain.sections(without, qemu.PREFIX)
    return sum(more[name] - less[name] for name in (".text", ".rodata")), more[".bss"] - less[".bss"]


def as_checkpoint(host: Path, arena: bytes, seed: int, path: Path) -> rtu.StreamAC:
    """The board's memory as an agent of this host, loaded from the checkpoint at `path`."""
    rtu.StreamAC(**SETTINGS, seed=seed).save(path)
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<I", raw, 12)
    path.with_suffix(".text").write_bytes(raw[40 : 40 + length])
    path.with_suffix(".arena").write_bytes(arena)
    toolchain.run(host, "pack", path.with_suffix(".arena"), path.with_suffix(".text"), path)
    agent = rtu.load(path)
    assert isinstance(agent, rtu.StreamAC)
    return agent


def difference(image: Path, host: Path, seed: int, folder: Path) -> float:
    """Largest difference of any value of the learner state between the board and the package's scalar path, after some
    steps.
    """
    with QemuBoard(image) as board, BoardLearner(board.port) as learner:
        learner.init(seed)
        list(learner.run(COMPARED_STEPS))
        ours = as_checkpoint(host, learner.download(), seed, folder / "board.rtu").state
    environment = {**os.environ, "RTU_EDGE_ISA": "scalar"}
    command = [sys.executable, str(SCALAR), str(seed), str(COMPARED_STEPS), str(folder / "host.rtu")]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    theirs = rtu.load(folder / "host.rtu").state
    assert ours.keys() == theirs.keys()
    numbers = [(ours[name].astype(float), theirs[name].astype(float)) for name in ours]
    return max(float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0)) for a, b in numbers)


def learn(console: Console, image: Path, seed: int, steps: int) -> tuple[int | None, bytes]:
    """Monitor one run on the board; return the steps to the goal, and its memory."""
    reached, began, said = None, time.monotonic(), 0.0
    with QemuBoard(image) as board, BoardLearner(board.port) as learner:
        learner.init(seed)
        for status in learner.run(steps):
            now = time.monotonic() - began
            if reached is None and status.episodes >= WINDOW and status.mean_return >= TARGET:
                reached = status.steps
            if now - said >= 1 or reached == status.steps or not status.running:
                said = now
                bar = "█" * round(status.mean_return / 500 * 30)
                mean = f"mean of {WINDOW} {status.mean_return:6.1f}"
                console.print(f"  {now:5.1f} s {status.steps:>7} steps {status.episodes:>5} episodes  {mean}  {bar}")
            if reached is not None:
                learner.stop()
                break
    # Again, up to the exact step: a stop takes effect some steps later.
    with QemuBoard(image) as board, BoardLearner(board.port) as learner:
        learner.init(seed)
        list(learner.run(reached or steps))
        return reached, learner.download()


@click.command()
@click.option("--seed", default=2, show_default=True, help="Of the board's learner.")
@click.option("--steps", default=60_000, show_default=True, help="At most so many control steps.")
def main(seed: int, steps: int) -> None:
    """Learn on the emulated board; exit code 1 unless every goal is met."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    image, without, host = images()
    goals: list[tuple[str, bool]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flash, ram = sizes(image, without)
        goals.append((f"the agent's flash {flash / 1024:.1f} KB, limit {FLASH_LIMIT // 1024}", flash <= FLASH_LIMIT))
        goals.append((f"the agent's RAM {ram / 1024:.1f} KB, limit {RAM_LIMIT // 1024}", ram <= RAM_LIMIT))
        counted = qemu.count_learner(image, seed, COUNTED_STEPS, folder)
        median, most = counted.median()[0], max(counted.instructions)
        console.print(f"instructions of a control step: median {median}, most {most}; stack {counted.stack} bytes")
        apart = difference(image, host, seed, folder)
        goals.append((f"{COMPARED_STEPS} steps against the host's scalar path: {apart:.1e} apart", apart <= 1e-6))
        console.print(f"learning on the board, seed {seed}:")
        reached, arena = learn(console, image, seed, steps)
        goals.append((f"{TARGET:g} of 500 on the board after {reached} steps", reached is not None))
        agent = as_checkpoint(host, arena, seed, folder / "learned.rtu")
        agent.save(folder / "again.rtu")
        same = (folder / "again.rtu").read_bytes() == (folder / "learned.rtu").read_bytes()
        goals.append(("the host's agent saves what was downloaded, to the byte", same))
        returns = agent.learn(rtu.Plant("cartpole"), HOST_STEPS, progress=False, seed=1).returns
        mean = sum(returns[:WINDOW]) / WINDOW
        goals.append((f"and continues: mean of {WINDOW} episodes {mean:.0f}", mean >= TARGET))
    for goal, met in goals:
        console.print(f"{'pass' if met else 'FAIL'}  {goal}")
    sys.exit(0 if all(met for _, met in goals) else 1)


if __name__ == "__main__":
    main()
