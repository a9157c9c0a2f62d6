"""What a learner takes on a Cortex-M4F: memory exactly, flash, instructions and cycles by a model fitted to counts.

The firmware is that of docs/firmware_learner.md, in one of its two forms. Its memory is the sum of the learner's
arrays, without gaps. Instructions and cycles are linear in the work of a step; `python -m benchmarks.board_size` builds
and counts 48 sizes of each form, 1 to 54 inputs, 1 to 64 units and 1 to 128 hidden, fits the coefficients to one half
of them and predicts the other half, 2.2 % off at most. A test compares the model with the counts that are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.footprint import Footprint

__all__ = ["BRIDGE_FLASH", "BRIDGE_RAM", "UNROLLED", "OnBoard", "on_board", "unrolled", "work"]

# Of the image without a learner; of the learner's firmware without its memory; of the deepest stack. Bytes.
BRIDGE_FLASH, BRIDGE_RAM = 29_476, 5_360
_REPORT_RAM, _STACK = 592, 1_912
_STACK_RESERVED = 8 * 1024  # by the linker, unless tl_stack_bytes is defined
# By the number of inputs, 1 to 5: the compiler unrolls their loops. The last is for more.
_FLASH = {
    "separate": (25_220, 25_390, 25_770, 25_970, 26_450, 25_380),
    "shared": (24_480, 24_960, 25_480, 25_860, 26_580, 24_780),
}
UNROLLED = len(_FLASH["separate"])

# Per unit of work(): instructions, cycles.
_MODEL: dict[str, tuple[tuple[float, float], ...]] = {
    "separate": (
        (3464.91, 7292.35),
        (821.08, 1409.33),
        (93.62, 190.8),
        (146.35, 413.02),
        (85.01, 158.88),
        (196.89, 363.26),
        (112.34, 242.92),
        (197.16, 309.97),
    ),
    "shared": (
        (2642.4, 5737.5),
        (467.88, 817.86),
        (67.06, 137.71),
        (133.56, 362.99),
        (79.66, 145.72),
        (169.53, 317.62),
        (103.78, 227.85),
        (190.75, 294.28),
    ),
}
_OBSERVATIONS = 54  # with one actuator: TL_VALUES_MAX of the protocol
_BLOCK = 8  # floats that the kernels load at once


@dataclass(frozen=True)
class OnBoard:
    """What a learner takes on the microcontroller.

    Attributes:
        ram: bytes of the learner, pointers and report included, without stack and bridge.
        flash: bytes of the learner, its protocol included, without the bridge.
        image_ram, image_flash: bytes of the whole image; RAM with the stack it uses.
        linked_ram: bytes of RAM without which the linker refuses the image: with the 8 KB that it reserves for the
            stack.
        instructions, cycles: of a control step, the simulated plant included; cycles by the table of the processor's
            manual, without wait states.
    """

    ram: int
    flash: int
    image_ram: int
    image_flash: int
    linked_ram: int
    instructions: int
    cycles: int


def work(inputs: int, units: int, hidden: int) -> tuple[int, ...]:
    """The terms that a step's counts are linear in: a constant; poles; their inputs; blocks of a layer's weights, and
    the weights beyond whole blocks; the layer's rows; inputs; the weights of an output beyond whole blocks.
    """
    blocks, rest = divmod(2 * units, _BLOCK)
    return 1, units, units * inputs, hidden * blocks, hidden * rest, hidden, inputs, hidden % _BLOCK


def unrolled(inputs: int) -> int:
    """Which flash size an image with so many inputs has, of UNROLLED."""
    return min(inputs, UNROLLED) - 1


def on_board(learner: Footprint) -> OnBoard:
    """What a learner of this footprint takes on a Cortex-M4F.

    Raises:
        ConfigError: the firmware has no such learner; with the parameter, its value and what it must be.
    """
    config, dtype = learner._native
    _check(learner.kind, config, dtype)
    memory = sum(
        math.prod(shape) * (8 if name in ("float64", "uint64") else 4)
        for section, name, shape, _ in learner.sections
        if section.rsplit(".", 1)[-1] not in ("y1", "y2")  # the firmware writes its output in place
    )
    memory = (memory + 7) // 8 * 8
    terms = work(config["observation_size"], config["units"], config["hidden"][0])
    model = _MODEL[config["body"]]
    instructions, cycles = (
        round(sum(term * factors[i] for term, factors in zip(terms, model, strict=True))) for i in range(2)
    )
    ram, flash = memory + _REPORT_RAM, _FLASH[config["body"]][unrolled(config["observation_size"])]
    image_ram, image_flash = ram + BRIDGE_RAM, flash + BRIDGE_FLASH
    return OnBoard(ram, flash, image_ram + _STACK, image_flash, image_ram + _STACK_RESERVED, instructions, cycles)


def _check(kind: str, config: dict[str, Any], dtype: str) -> None:
    if kind != "stream_ac":
        raise ConfigError(f"learner {kind}: the firmware has stream_ac only")
    if config["action_size"] is None:
        raise ConfigError("learner.actions = discrete: the firmware's learner has continuous")
    wanted: dict[str, tuple[Any, ...]] = {
        "cell": ("linear",),
        "activation": ("tanh",),
        "credit": ("rtrl",),
        "units_per_pole": (1,),
        "optimizer": ("obgd", "sgd"),
        "action_size": (1,),
        "encoder": ([],),
        "recompute": (False,),
        "previous_action": (False,),
        "previous_reward": (False,),
        "exploration_correlation": (0.0,),
    }
    if config["observation_size"] > _OBSERVATIONS:
        raise ConfigError(f"observations = {config['observation_size']}: the firmware takes 1 to {_OBSERVATIONS}")
    for name, allowed in wanted.items():
        if config[name] not in allowed:
            expected = " or ".join(map(str, allowed)) if allowed != ([],) else "left out"
            raise ConfigError(f"learner.{name} = {config[name]}: the firmware's learner has {expected}")
    if len(config["hidden"]) != 1 or dtype != "float32":
        raise ConfigError(f"learner.hidden = {config['hidden']}, {dtype}: the firmware has one layer, in float32")
