"""The learner's checkpoint in the flash of an emulated micro:bit, with the power cut while it is written.

Every write of it, on a model of flash memory: tests/firmware/test_store.c. Every write in the emulator: `python -m
benchmarks.board_power_cut`.
"""

from __future__ import annotations

import pytest
from toolchain import ROOT

from rtu_edge._base.errors import ConfigError
from rtu_edge.device.boards import build_learner


def test_after_a_power_cut_the_board_has_one_checkpoint_and_learns_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first page, two words of the data, the last ten operations: with the host's bits."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.board_power_cut import NEW, OLD, cut

    operations, ends, wrong = cut(every=600)
    assert wrong == []
    assert operations > 1000  # 8 pages, and the words
    assert set(ends) == {OLD, NEW} and ends[OLD] > 20
    assert 1 <= ends[NEW] <= 2  # the last word makes it valid


def test_a_board_without_a_learner_is_refused() -> None:
    with pytest.raises(ConfigError, match="board 'uno': it has no firmware with a learner; must be microbit"):
        build_learner("uno")
