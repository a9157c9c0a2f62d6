"""What a learner takes on a Cortex-M4F: memory exactly, flash, instructions and cycles by a model fitted to counts.

The firmware is that of docs/firmware_learner.md, in one of its two forms. Its memory is
the sum of the learner's arrays, without gaps. Instructions and cycles are linear in the work of a step; the
coefficients are a least-squares fit of relative errors to images of 12 sizes, counted in the emulator: 2 to 16 inputs,
8 to 32 units, 8 to 32 hidden; the fit is off by 1.7 % at most. On ten further sizes of up to 16 inputs it is off by 4 %
at most; with more inputs than that and few units it gives up to 17 % too much. Since then the scalars became floats and
the dense kernels take two rows at once: constant and blocks are those of two sizes counted again. A test compares the
model with counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rtu_edge._base.errors import ConfigError
from rtu_edge.learn.footprint import Footprint

__all__ = ["BRIDGE_FLASH", "BRIDGE_RAM", "OnBoard", "on_board", "work"]

# Of the image without a learner; of the learner's firmware without its memory; of the deepest stack. Bytes.
BRIDGE_FLASH, BRIDGE_RAM = 29_468, 5_360
_REPORT_RAM, _STACK = 544, 1_872
_STACK_RESERVED = 8 * 1024  # by the linker, unless tl_stack_bytes is defined
_FLASH = {"separate": 25_900, "shared": 25_400}

# Per unit of work(): instructions, cycles.
_MODEL: dict[str, tuple[tuple[float, float], ...]] = {
    "separate": (
        (3_475.2, 6_472.4),
        (828.76, 1512.02),
        (88.72, 184.64),
        (150.71, 408.09),
        (73.34, 134.15),
        (151.79, 319.1),
        (332.11, 483.9),
    ),
    "shared": (
        (2_533.8, 5_120.9),
        (484.65, 887.65),
        (64.01, 135.93),
        (134.94, 357.33),
        (73.81, 131.89),
        (144.6, 307.95),
        (236.37, 333.44),
    ),
}
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
    the weights beyond whole blocks; the layer's rows; inputs.
    """
    blocks, rest = divmod(2 * units, _BLOCK)
    return 1, units, units * inputs, hidden * blocks, hidden * rest, hidden, inputs


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
    ram, flash = memory + _REPORT_RAM, _FLASH[config["body"]]
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
    for name, allowed in wanted.items():
        if config[name] not in allowed:
            expected = " or ".join(map(str, allowed)) if allowed != ([],) else "left out"
            raise ConfigError(f"learner.{name} = {config[name]}: the firmware's learner has {expected}")
    if len(config["hidden"]) != 1 or dtype != "float32":
        raise ConfigError(f"learner.hidden = {config['hidden']}, {dtype}: the firmware has one layer, in float32")
