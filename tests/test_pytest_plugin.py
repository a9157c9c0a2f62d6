"""The pytest plugin, as in a user's session; and the example repository, copied and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import rtu_edge.device.firmware

# Loaded here, so that the sessions inside this process do not each load them again.
import rtu_edge.device.lock
import rtu_edge.device.ports
import rtu_edge.device.simulated
import rtu_edge.hil.case
import rtu_edge.hil.report
import rtu_edge.loop

pytest_plugins = ("pytester",)

PROJECT = Path(__file__).resolve().parent.parent / "examples" / "hil_project"
SUITE = """
name = "small"
[device]
plant = "cartpole"
[loop]
ttl_ms = 190 # no multiple of the period: a tick that comes a little early must not cost another one
[controller]
gain = [[0.5, 6.0]]
[[fault]]
name = "cut"
kind = "drop"
both = true
rate = 1.0
for_s = 0.4
expect = "goes_safe"
[[fault]]
name = "flips"
kind = "flip"
rate = 0.02
for_s = 0.2
"""


def test_fixtures_reach_a_device(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from rtu_edge.hil.faults import Drop
        from rtu_edge.loop import Clock, StopReason
        from rtu_edge.device.protocol import DeviceState

        def test_line(rtu_device, rtu_target):
            assert rtu_device.target is rtu_target
            assert rtu_device.state.state == DeviceState.DISARMED
            assert rtu_device.hello().observation_size == 2

        def test_link(rtu_link):
            assert rtu_link.hello.period_us == 10_000 and rtu_link.describe().actuators[-1].name == "voltage"

        def test_loop(rtu_loop):
            assert rtu_loop(gain=[[-0.05, 0.05]], clock=Clock.LOCKSTEP, steps=50).run().reason is StopReason.STEPS

        def test_fault_by_kind_and_by_object(rtu_device, rtu_loop, rtu_fault):
            rtu_loop(ttl_ms=100).start()
            rtu_device.wait_for(DeviceState.ARMED)
            with rtu_fault("duplicate", rate=1.0) as acting:
                pass
            assert acting.fault.rate == 1.0
            with rtu_fault(Drop(rate=1.0)):
                rtu_device.wait_for(DeviceState.SAFE)
        """
    )
    for target in ("sim", "process"):
        pytester.runpytest("--rtu-target", target).assert_outcomes(passed=4)


@pytest.mark.timing
def test_a_suite_is_a_test_for_each_fault_and_leaves_a_report(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", suite=SUITE)
    pytester.makeini("[pytest]\nrtu_suite = suite.toml\nrtu_target = sim\n")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.rtu_faults
        def test_all(rtu_result):
            assert rtu_result.passed, rtu_result.why

        @pytest.mark.rtu_faults("cut", suite="suite.toml")
        def test_one(rtu_result, rtu_report):
            assert rtu_result in rtu_report.results and rtu_result.safe_ms is not None
            assert not rtu_result.passed, "so that a failure is seen too"
        """
    )
    done = pytester.runpytest("-v", "--rtu-report", "out")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["*test_all?cut? PASSED*", "*test_all?flips? PASSED*", "*test_one?cut? FAILED*"])
    names = [case.get("name") for case in ET.parse(pytester.path / "out" / "junit.xml").iter("testcase")]
    assert names == ["cut", "flips", "cut"]
    assert (pytester.path / "out" / "report.html").is_file()


def test_what_is_asked_wrongly_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.rtu_hardware
        def test_bench(rtu_device):
            raise AssertionError("must not run")

        def test_unknown(rtu_fault):
            with pytest.raises(ValueError, match="no kind .*drop.* is called that"):
                rtu_fault("earthquake")
        """
    )
    pytester.runpytest("--rtu-target", "sim", "-rs").assert_outcomes(skipped=1, passed=1)
    for arguments, message in (
        (["--rtu-target", "procss"], "*must be one of sim, process, qemu, or the path*"),
        (["--rtu-target", "/dev/null"], "*as one word*"),
        (["--rtu-target=/dev/ttyACM0"], "*may be real hardware*--rtu-confirm*"),
        (["-o", "rtu_target=/dev/ttyACM0", "--rtu-confirm"], "*named on the command line, never in a file*"),
    ):
        done = pytester.runpytest_subprocess(*arguments)
        assert done.ret == pytest.ExitCode.USAGE_ERROR
        done.stderr.fnmatch_lines([message])


def test_a_marker_that_does_not_fit_stops_the_collection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_unknown="""
        import pytest

        @pytest.mark.rtu_faults("earthquake")
        def test_it(rtu_result):
            pass
        """,
        test_missing="""
        import pytest

        @pytest.mark.rtu_faults
        def test_it():
            pass
        """,
    )
    done = pytester.runpytest_subprocess("test_unknown.py")
    assert done.ret != 0 and "no fault is called" in done.stdout.str() + done.stderr.str()
    done = pytester.runpytest_subprocess("test_missing.py")
    assert done.ret != 0 and "has to take the fixture rtu_result" in done.stdout.str() + done.stderr.str()


def test_a_port_that_is_named_and_confirmed_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from rtu_edge.device.protocol import DeviceState

        @pytest.mark.rtu_hardware
        def test_bench(rtu_device, rtu_target):
            rtu_device.wait_for(DeviceState.DISARMED)  # there is no STATE before the first one
            assert rtu_device.state.x and not rtu_target.abilities

        @pytest.mark.rtu_hardware
        def test_again(rtu_link):
            assert rtu_link.hello.simulated
        """
    )
    with rtu_edge.device.simulated.SimulatedDevice("servo") as simulated:
        pytester.runpytest(f"--rtu-target={simulated.port}", "--rtu-confirm").assert_outcomes(passed=2)


@pytest.mark.timing
def test_the_example_passes_far_from_here(tmp_path: Path) -> None:
    """A user's repository with its own plant, suite and tests, and only the installed package."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__", "build", ".pytest_cache"))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rtu-report", "report"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RTU_EDGE_"))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed, 1 skipped" in done.stdout
    assert (folder / "report" / "report.html").is_file() and (folder / "report" / "junit.xml").is_file()


def test_the_readme_of_the_example_is_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 25


@pytest.mark.hazard("real-plant-called-simulated")
def test_a_process_around_a_real_machine_moves_only_when_confirmed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = (PROJECT.parents[1] / "tests" / "firmware" / "driver_plant.c").read_text()
    (pytester.path / "driver.c").write_text(plant)
    monkeypatch.setenv("TL_TEST_DRIVER", str(pytester.path / "driver"))
    firmware = rtu_edge.device.firmware.build_firmware(pytester.path / "driver.c", pytester.path / "firmware")
    pytester.makeini("[pytest]\nrtu_plant = driver\n")
    pytester.makepyfile("def test_line(rtu_device):\n    assert not rtu_device.hello().caps & 1\n")
    refused = pytester.runpytest(f"--rtu-firmware={firmware}")
    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(["*process: a real plant, its data sheet does not say simulated*--rtu-confirm*"])
    pytester.runpytest(f"--rtu-firmware={firmware}", "--rtu-confirm").assert_outcomes(passed=1)


def test_every_name_that_the_plugin_adds_has_the_prefix(pytester: pytest.Pytester) -> None:
    """Fixtures, options and markers of other plugins (device, link, fault) are not shadowed."""
    listed = pytester.runpytest("--fixtures").stdout.str()
    ours = listed.split("fixtures defined from rtu_edge.hil.pytest_plugin")[1].split("\n---")[0]
    names = re.findall(r"^(\w+)(?: \[\w+ scope\])? -- ", ours, re.MULTILINE)
    assert len(names) >= 9 and all(name.startswith("rtu_") for name in names), ours
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def device():
            return "of another plugin"
        """
    )
    pytester.makepyfile("def test_it(device):\n    assert device == 'of another plugin'\n")
    pytester.runpytest().assert_outcomes(passed=1)
