"""Suites end to end: a short form of the standard one, failing cases, and the command line."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from rtu_edge._base.errors import CheckFailed, ConfigError
from rtu_edge.cli.hil import command
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState
from rtu_edge.device.schema import Limits, Safe
from rtu_edge.hil import FaultBridge, SimTarget, TapPoint, Target, attempts, faults, make_target, measure
from rtu_edge.hil.case import Result, run_case
from rtu_edge.hil.faults import Response
from rtu_edge.hil.host import HostStatus, ProcessHost
from rtu_edge.hil.run import run_suite
from rtu_edge.hil.suite import load_suite
from rtu_edge.hil.trace import FrameRecord, Trace

# The device goes safe in real time.
pytestmark = pytest.mark.timing

SHORT = {
    "sim": [
        "bit flips in virtual time",
        "a stall, then a burst of old commands",
        "another data sheet than the rows say",
        "a disarm from elsewhere reaches the driver",
        "a sensor is stuck while the plant is brought to its start",
    ],
    "process": [
        "one command in five is lost",
        "unplugged, and back",
        "unplugged for 0.2 s, and the host may resume",
        "a stall, then old commands, and the host may resume",
        "half a frame, then silence",
        "the device's clock wraps",
        "a sensor reports only NaN",
        "the host is killed",
        "the device hangs for longer than TTL",
        "an actuator has no effect",
        "beyond the end of an axis only back in",
        "the brake engages at an emergency stop from elsewhere",
    ],
    "qemu": [
        "no command arrives",
        "the device restarts",
        "old commands come again",
        "a second device hangs",
        "unplugged for 0.2 s, and the host may resume",
        "an emergency stop from elsewhere reaches the driver",
        "the pose is outside the start region before arming",
        "a winding that is too hot",
    ],
}


@contextmanager
def sim() -> Iterator[Target]:
    with SimTarget("servo") as target:
        yield target


def run(fault: faults.Fault, logs: Path | None = None) -> Result:
    result = run_case(load_suite(), fault, sim, logs=logs)
    # On a loaded host a failure comes with the remark that each attempt was disturbed.
    result.why = [why for why in result.why if not why.startswith("no verdict")]
    return result


def failing(fault: faults.Fault, logs: Path | None = None) -> Result:
    """A fault that has to fail: few and quick attempts on a busy host, and without its remark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "_ATTEMPTS", 3)
        patch.setattr(attempts, "_QUIET_S", 1.0)
        result = run(fault, logs)
    result.why = [why for why in result.why if not why.startswith("no verdict")]
    return result


@pytest.mark.parametrize("target", SHORT)
def test_the_standard_suite_in_short(target: str) -> None:
    report = run_suite(load_suite(), [target], only=SHORT[target])
    assert [result.name for result in report.results if not result.passed] == [], [r.why for r in report.results]
    assert len(report.results) == len(SHORT[target])
    for result in report.results:
        if result.response == Response.GOES_SAFE.value:
            assert result.accepted_after == 0
            assert result.safe_ms is not None and result.safe_ms <= result.safe_limit_ms  # type: ignore[operator]


def test_a_false_trip_fails(tmp_path: Path) -> None:
    result = failing(faults.Drop(rate=1.0, name="gone"), tmp_path)
    assert not result.passed
    assert "goes safe, expected rides through" in result.why
    log = [json.loads(line) for line in Path(result.log).read_text().splitlines()]
    assert {"begins: gone", "ends: gone"} <= {line.get("note") for line in log}


def test_a_missed_one_fails() -> None:
    result = failing(faults.Duplicate(rate=0.5, expect=Response.GOES_SAFE))
    assert not result.passed and "rides through, expected goes safe" in result.why


def test_a_bound_that_is_not_kept_fails() -> None:
    result = failing(
        faults.Drop(rate=1.0, expect=Response.GOES_SAFE, safe_within_ms=50, detect_within_ms=1, reasons=("steps",))
    )
    assert not result.passed and result.response == Response.GOES_SAFE.value
    said = "; ".join(result.why)
    assert "allowed 50 ms" in said and "allowed 1 ms" in said and "expected steps" in said


def test_a_fault_that_never_acts_fails() -> None:
    result = failing(faults.Flip(rate=0.0))
    assert not result.passed and "the fault never acted" in result.why


def test_a_command_accepted_after_the_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = FaultBridge.counters
    count = iter(range(1000))

    def one_more(bridge: FaultBridge, timeout_s: float = 2.0) -> dict[str, int]:
        return asked(bridge, timeout_s) | {"accepted": next(count)}

    monkeypatch.setattr(FaultBridge, "counters", one_more)
    result = failing(faults.Drop(rate=1.0, expect=Response.GOES_SAFE))
    assert "1 commands accepted after the end" in result.why


def test_what_nobody_commanded_fails() -> None:
    class Liar(faults.Actuator, frozen=True, kw_only=True):
        kind = "liar"

    result = failing(Liar(value=3.0))
    assert not result.passed and "the device applied values that were not commanded" in result.why[0]


@pytest.mark.hazard("driver-not-told")
def test_a_driver_that_is_not_told_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE reports 0 V, but the register still has the command."""
    told = SimTarget.driver
    held: list[tuple[float, ...]] = []

    def stuck(target: SimTarget) -> tuple[float, ...]:
        held.append(told(target))
        return (9.5,)

    monkeypatch.setattr(SimTarget, "driver", stuck)
    result = failing(faults.Driver(expect=Response.GOES_SAFE))
    assert not result.passed and held[-1] == (0.0,)
    assert "the driver's register holds [9.5], STATE reports [0.0]" in result.why


def test_what_a_target_cannot_do_is_not_run() -> None:
    @contextmanager
    def bare() -> Iterator[Target]:
        with SimTarget("servo") as target:
            target.abilities = frozenset()
            yield target

    result = run_case(load_suite(), faults.Reset(), bare)
    assert result.skipped == "the target cannot reset" and not result.passed
    result = run_case(load_suite(), faults.Flip(only=("qemu",)), bare)
    assert result.skipped == "only for qemu"


def test_a_device_that_is_not_simulated_is_not_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from rtu_edge.device import protocol

    asked = FaultBridge.hello

    def real(bridge: FaultBridge, timeout_s: float = 3.0) -> protocol.Hello:
        return dataclasses.replace(asked(bridge, timeout_s), caps=protocol.Cap.RESET)

    monkeypatch.setattr(FaultBridge, "hello", real)
    result = failing(faults.Flip())
    assert result.response == "error" and "only with --arm" in result.why[0]


def test_the_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(command, ["list"], catch_exceptions=False)
    assert listed.exit_code == 0 and "no command arrives" in listed.output
    kinds = runner.invoke(command, ["kinds"], catch_exceptions=False)
    assert kinds.exit_code == 0 and all(kind in kinds.output for kind in faults.KINDS)
    done = runner.invoke(
        command,
        ["run", "--target", "sim", "--only", "duplicate", "--out", str(tmp_path), "--seed", "5"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0 and "1 of 1 as expected" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "results.json"]
    failing = tmp_path / "suite.toml"
    failing.write_text('[controller]\nbias = [0.0]\n[[fault]]\nkind = "drop"\nrate = 1.0\n')
    with pytest.raises(CheckFailed, match="1 fault did not produce the expected result"):
        runner.invoke(command, ["run", str(failing), "--target", "sim", "--out", str(tmp_path)], catch_exceptions=False)
    assert list((tmp_path / "logs").iterdir())


def test_a_port_is_not_armed_without_being_asked_for(tmp_path: Path) -> None:
    runner = CliRunner()
    with pytest.raises(ConfigError, match="give --arm"):
        runner.invoke(command, ["run", "--target", "/dev/ttyACM9"], catch_exceptions=False)
    with pytest.raises(ConfigError, match="answer on a terminal, or give --yes"):
        runner.invoke(command, ["run", "--target", "/dev/ttyACM9", "--arm"], catch_exceptions=False)
    failing = tmp_path / "suite.toml"
    failing.write_text('[controller]\nbias = [0.0]\n[[fault]]\nkind = "drop"\n')
    with pytest.raises(ConfigError, match="limits: missing"):
        runner.invoke(
            command, ["run", str(failing), "--target", "/dev/ttyACM9", "--arm", "--yes"], catch_exceptions=False
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "dorp"], "no fault is called"),
        (["--target", "sim", "--set", "device.plant=servoo"], "must be one of"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_asked(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    given = ["run", "--target", "/dev/ttyACM9", "--arm", "--yes", "--out", str(tmp_path), *arguments]
    result = CliRunner().invoke(command, given)
    assert isinstance(result.exception, ConfigError) and words in str(result.exception)
    assert result.output == ""


@pytest.mark.parametrize("limit", ["slew_per_s", "accel_per_s2"])
def test_real_hardware_is_asked_for_with_each_limit(tmp_path: Path, limit: str) -> None:
    suite = tmp_path / "suite.toml"
    limits = {"min": -1, "max": 1, "slew_per_s": 5.0, "accel_per_s2": 7.0, limit: "inf"}
    text = "\n".join(f"{name} = {value}" for name, value in limits.items())
    suite.write_text(f'[limits.voltage]\n{text}\n[controller]\nbias = [0.0]\n[[fault]]\nkind = "drop"\n')
    arguments = ["run", str(suite), "--target", "/dev/nowhere", "--arm", "--yes", "--out", str(tmp_path)]
    shown = " ".join(CliRunner().invoke(command, arguments).output.split())
    slew, accel = ("at most 5/s", "at most 7/s^2")
    expected = ("no slew limit", accel) if limit == "slew_per_s" else (slew, "no acceleration limit")
    assert f"voltage: -1 to 1, {', '.join(expected)}" in shown, shown


@pytest.mark.parametrize("target", ["sim", "process", "qemu"])
def test_a_plant_that_nobody_knows_is_refused_before_any_fault(target: str) -> None:
    tried: list[Result] = []
    with pytest.raises(ConfigError, match=r'device.plant = "servoo": must be one of cartpole, .*servo-full'):
        run_suite(load_suite(None, ["device.plant=servoo"]), [target], watch=tried.append)
    assert tried == []


def test_a_target_of_another_name() -> None:
    from rtu_edge._base.errors import DeviceError

    with pytest.raises(DeviceError, match=r"must be one of sim, process, qemu, .*or the path"):
        make_target("simm")


def test_the_devices_own_clock_wraps() -> None:
    report = run_suite(load_suite(), ["sim"], only=["the device's own clock wraps"])
    (result,) = report.results
    assert result.passed and result.acted == 1, result.why


def test_a_device_that_accepts_an_earlier_session_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    only = ["commands of the session before come again"]
    (result,) = run_suite(load_suite(), ["sim"], only=only).results
    assert result.passed and result.acted > 50 and result.accepted_after == 0, result.why
    asked = FaultBridge.counters
    monkeypatch.setattr(FaultBridge, "counters", lambda *given: asked(*given) | {"refused": 0})
    (result,) = run_suite(load_suite(), ["sim"], only=only).results
    assert not result.passed and "commands of an earlier session accepted" in "; ".join(result.why)


def test_a_fallback_in_a_host_process_is_seen(tmp_path: Path) -> None:
    with (
        SimTarget("servo") as target,
        FaultBridge(target, seed=1) as bridge,
        ProcessHost(load_suite().run_config(bridge.port, str(tmp_path))) as host,
    ):
        host.start()
        bridge.wait_for(DeviceState.ARMED, timeout_s=20.0)
        time.sleep(0.5)
        assert host.status() == HostStatus(True)
        with bridge.inject(faults.Sensor(how=faults.Failure.NAN)):
            give_up_s = time.monotonic() + 3.0
            while not host.status().fallback and time.monotonic() < give_up_s:
                time.sleep(0.01)
        assert host.status().fallback == ("sensor",)


# ---------------------------------------------------------------- the data sheet, and checks before ARM


@pytest.mark.hazard("data-sheet-lies")
@pytest.mark.parametrize("lie", list(faults.Lie))
def test_a_row_that_lies_is_refused(lie: faults.Lie) -> None:
    result = run(faults.Rows(lie=lie, expect=Response.REFUSES))
    assert result.passed and result.acted and result.accepted_after == 0, result.why


@pytest.mark.hazard("device-exchanged")
@pytest.mark.parametrize(
    "fault",
    [
        faults.Swap(expect=Response.REFUSES, error="another device"),
        faults.Restart(expect=Response.REFUSES, error="restarted"),
    ],
    ids=["swap", "restart"],
)
def test_another_device_than_was_asked_is_not_armed(fault: faults.Fault) -> None:
    result = run(fault)
    assert result.passed and result.acted == 1, result.why


def test_an_error_without_the_words_fails() -> None:
    result = failing(faults.Schema(expect=Response.REFUSES, error="phase of the moon"))
    assert not result.passed and "does not contain" in result.why[0] and "schema" in result.why[0]


def limited(*commands: float, between: protocol.Message | None = None) -> str:
    """Findings in commands of a host with a slew limit of 20 V/s, 0.2 V per period."""
    trace = Trace()

    def add(tap: TapPoint, message: protocol.Message) -> None:
        trace.add(FrameRecord(0.0, tap, protocol.pack(message)))

    add(
        TapPoint.DEVICE_OUT,
        protocol.Channel("voltage", "V", -10.0, 10.0, index=2, actuator=True, safe=int(Safe.OFF), slew=math.inf),
    )
    add(TapPoint.HOST_OUT, protocol.Arm(False, 1))
    for u in commands:
        add(TapPoint.HOST_OUT, protocol.Cmd(1, 0, 50, (u,)))
        if between is not None:
            add(TapPoint.HOST_OUT, between)
    return measure.beyond_limits(trace, {"voltage": Limits(min=-10.0, max=10.0, slew_per_s=20.0)}, 0.01)


def test_commands_beyond_the_hosts_own_limits_are_found() -> None:
    assert limited(5.0, 5.2, 5.0) == ""
    assert limited(5.0, 5.3) == "command 5.3 after 5: more than 20 a second"
    assert limited(10.1) == "command 10.1 out of -10 to 10"
    assert limited(math.nan) == "command nan out of -10 to 10"
    assert limited(0.0, 9.0, between=protocol.Reset(1, 1, 0)) == ""
    assert limited(0.0, 9.0, between=protocol.Ping(1)) != ""


def test_a_host_that_jumps_fails() -> None:
    """Against limits tighter than those that it has."""
    suite = load_suite(None, ["limits.voltage.slew_per_s=inf", "controller.gain=[[-0.5, 0.5]]"])
    fault = faults.Duplicate(rate=0.5, for_s=0.2)
    with pytest.MonkeyPatch.context() as patch:
        tighter = {"voltage": Limits(min=-10.0, max=10.0, slew_per_s=1.0)}
        asked = measure.beyond_limits
        patch.setattr(measure, "beyond_limits", lambda trace, limits, period_s: asked(trace, tighter, period_s))
        result = run_case(suite, fault, sim)
    assert not result.passed and "more than 1 a second" in result.why[0], result.why
