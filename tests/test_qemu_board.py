"""The commands that show the emulated board: under control in real time and in lockstep, and learning on the board; in
short form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from toolchain import ROOT


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The benchmarks, as imported from the root of the repository."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import board, board_learner

    return {"board": board, "learner": board_learner}


@pytest.mark.timing
@pytest.mark.alone
def test_a_hundred_hertz_and_never_stale(
    commands: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    """Fails if stale in both attempts. The achieved rate is only reported: an emulator on a shared host can be slow."""
    done = CliRunner().invoke(commands["board"].main, ["--seconds", "4", "--steps", "0"])
    record_property("table", done.output)
    assert "pass  4 s at 100 Hz, TTL 50 ms: never stale" in done.output, done.output
    assert "silences 0" in done.output and "and it was 100 Hz" in done.output


def test_lockstep_without_a_damaged_frame(commands: dict[str, Any]) -> None:
    done = CliRunner().invoke(commands["board"].main, ["--seconds", "0", "--steps", "2000"])
    assert done.exit_code == 0, done.output
    assert "pass  2000 lockstep steps, 0 damaged frames" in done.output
    assert "retries" in done.output and "timeouts" in done.output


def test_stale_is_what_it_says(commands: dict[str, Any]) -> None:
    """A run that ended in time, but whose device went safe, refused a command, or got damaged frames."""
    from rtu_edge.loop import StopReason

    board = commands["board"]
    counted = dict.fromkeys(board.COUNTERS, 0)

    class Result:
        reason = StopReason.STEPS
        counters = {"crc_errors": 0, "framing_errors": 0}  # noqa: RUF012

    def run(**device: int) -> Any:
        return board.Run(Result(), {**counted, **device}, None)

    assert not board.stale(run()) and board.damaged(run()) == 0
    assert board.stale(run(silences=1)) and board.stale(run(refused=1))
    assert board.damaged(run(crc_errors=1, overlong=2)) == 3
    Result.reason = StopReason.DEVICE_SAFE
    assert board.stale(run())


def test_the_boards_learner_is_shown(commands: dict[str, Any]) -> None:
    """300 steps are too few to learn; everything else is checked. tests/test_qemu_learner.py tests learning."""
    done = CliRunner().invoke(commands["learner"].main, ["--steps", "300"])
    assert done.exit_code == 1, done.output
    lines = [line for line in done.output.splitlines() if line.startswith(("pass", "FAIL"))]
    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL  475 of 500 on the board after None steps",
        *(line for line in lines if line.startswith("FAIL  and continues")),
    ]
    assert any("300 steps against the host's scalar path: 0.0e+00 apart" in line for line in lines)
    assert "instructions of a control step: median" in done.output
