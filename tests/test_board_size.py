"""`rtu-edge size --board` against the counts that benchmarks.board_size keeps, and that these are of this firmware."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_qemu_learner import RECORDS
from toolchain import ROOT

import rtu_edge as rtu
from rtu_edge.hil.learner import SETTINGS, SHARED_SETTINGS
from rtu_edge.learn.on_board import OnBoard, on_board

KEPT: dict[str, dict[str, int]] = json.loads((ROOT / "benchmarks/results/board_size.json").read_text())
EXTREMES = (
    "54x4x4",
    "50x4x5 shared",
    "1x64x8",
    "1x60x8 shared",
    "2x8x64",
    "2x4x128",
    "16x16x16",
    "1x5x5 shared",
    "8x1x1",
)


def predicted(name: str) -> OnBoard:
    size, _, shared = name.partition(" ")
    inputs, units, hidden = map(int, size.split("x"))
    settings: dict[str, Any] = SHARED_SETTINGS if shared else SETTINGS
    return on_board(
        rtu.footprint("stream_ac", **{**settings, "observation_size": inputs, "units": units, "hidden": hidden})
    )


def test_prediction_is_within_five_percent_of_every_count() -> None:
    """The bound is that of docs/firmware_learner.md; memory is a sum and exact."""
    assert set(EXTREMES) < set(KEPT) and len(KEPT) >= 80
    for name, counted in KEPT.items():
        model = predicted(name)
        assert model.ram == counted["ram"], name
        for quantity in ("instructions", "cycles", "flash"):
            assert getattr(model, quantity) == pytest.approx(counted[quantity], rel=0.05), (name, quantity)


@pytest.mark.parametrize(("name", "image"), [*zip(("2x16x16", "2x16x16 shared"), RECORDS, strict=True)])
def test_the_kept_counts_are_those_of_this_firmware(name: str, image: str) -> None:
    """test_qemu_learner.py counts the image; a change of it beyond 1 % means `benchmarks.board_size --again`."""
    assert (KEPT[name]["instructions"], KEPT[name]["cycles"]) == pytest.approx(RECORDS[image], rel=0.01)


def test_more_observations_than_the_protocol_has_are_refused() -> None:
    assert predicted("54x4x4").ram > 0
    with pytest.raises(rtu.ConfigError, match=r"observations = 55: .* 1 to 54"):
        predicted("55x4x4")
