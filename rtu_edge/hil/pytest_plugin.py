"""The pytest plugin: users' tests against a simulated device, the firmware process, an emulated board, or their own
board.

    def test_the_pump_stops_when_the_line_is_dead(rtu_device, rtu_loop, rtu_fault):
        rtu_loop(gain=[[-8, 8]]).start()
        rtu_device.wait_for(DeviceState.ARMED)
        with rtu_fault("drop", rate=1.0):
            rtu_device.wait_for(DeviceState.SAFE)
        assert rtu_device.state.u == (0.0,)

Pytest loads this file in every environment with the package: nothing of rtu_edge is imported before a test needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rtu_edge.hil.bridge import FaultBridge, Injection
    from rtu_edge.hil.case import Result
    from rtu_edge.hil.faults import Fault
    from rtu_edge.hil.run import Report
    from rtu_edge.hil.suite import Suite
    from rtu_edge.hil.targets import Target
    from rtu_edge.loop import Link, Loop

_SIMULATED = ("sim", "process", "qemu")
_MARKERS = (
    "rtu_hardware: only on real hardware, with --rtu-target=PATH --rtu-confirm; skipped otherwise",
    "rtu_realtime: depends on wall-clock time; never two of them at once under pytest-xdist with --dist loadgroup",
    "rtu_faults(*names, suite=None): once for each fault of a suite, of these names or kinds; the test takes "
    "rtu_result",
)


# ---------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("rtu_edge", "hardware in the loop (rtu_edge)")
    group.addoption(
        "--rtu-target",
        metavar="TARGET",
        help="target of the tests: sim, process, qemu, or the path or URL of a port  [default: process]",
    )
    group.addoption("--rtu-confirm", action="store_true", help="confirm that real hardware at --rtu-target may move")
    group.addoption("--rtu-firmware", metavar="PATH", help="executable for process, or image for qemu")
    group.addoption(
        "--rtu-report", metavar="FOLDER", help="folder for junit.xml, results.json and report.html of the faults"
    )
    parser.addini("rtu_target", "the target without --rtu-target", default="process")
    parser.addini("rtu_plant", "the simulated plant; default: the suite's, or servo", default="")
    parser.addini("rtu_plant_source", "C file of your own plant, with which the firmware is built", default="")
    parser.addini("rtu_suite", "the suite: its faults by name, its loop, limits and controller", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers; refuse unconfirmed real hardware."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    target = _target(config)
    if target in _SIMULATED:
        return
    if "/" not in target and "://" not in target:
        raise pytest.UsageError(
            f"--rtu-target {target}: must be one of {', '.join(_SIMULATED)}, or the path or URL of a port such as "
            "/dev/ttyACM0"
        )
    if not config.getoption("--rtu-target"):
        raise pytest.UsageError(
            f"rtu_target = {target}: a port is named on the command line, never in a file: --rtu-target {target}"
        )
    if config.rootpath in Path(target).parents:
        # Before it knows these options, pytest takes a separate word for a test folder, and finds no ini file there.
        raise pytest.UsageError(f"--rtu-target {target}: write it as one word, --rtu-target={target}")
    if not config.getoption("--rtu-confirm"):
        raise pytest.UsageError(
            f"--rtu-target {target}: may be real hardware, and the tests will arm it and disturb it. "
            "Add --rtu-confirm when the plant's reach is clear of people and an emergency stop is at hand"
        )


def _target(config: pytest.Config) -> str:
    return str(config.getoption("--rtu-target") or config.getini("rtu_target"))


def _is_real(config: pytest.Config) -> bool:
    return _target(config) not in _SIMULATED


def _is_confirmed(config: pytest.Config) -> bool:
    return bool(config.getoption("--rtu-confirm"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip hardware tests; serialise timing tests."""
    skip = pytest.mark.skip(reason="for real hardware: give --rtu-target=PATH --rtu-confirm")
    for item in items:
        if item.get_closest_marker("rtu_hardware") is not None and not _is_real(config):
            item.add_marker(skip)
        if item.get_closest_marker("rtu_realtime") is not None and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("rtu_realtime"))


# ---------------------------------------------------------------- the suite's faults, a test each


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each fault that a marker names."""
    marker = metafunc.definition.get_closest_marker("rtu_faults")
    if marker is None:
        return
    from rtu_edge._base.errors import ConfigError

    if "rtu_result" not in metafunc.fixturenames:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: marked rtu_faults, so it has to take the fixture rtu_result"
        )
    try:
        suite = _load_suite(metafunc.config, marker.kwargs.get("suite"), metafunc.definition.path.parent)
        chosen = suite.chosen(marker.args)
    except ConfigError as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from error
    cases = [(suite, fault) for fault in chosen]
    metafunc.parametrize("rtu_result", cases, ids=[fault.title for fault in chosen], indirect=True)


def _load_suite(config: pytest.Config, path: Any = None, beside: Path | None = None) -> Suite:
    """The suite of a marker (relative to its file or to the root), of the ini file, or the standard one."""
    from rtu_edge.hil.suite import load_suite

    if path is not None and beside is not None and (beside / path).is_file():
        return load_suite(beside / path)
    named = path if path is not None else config.getini("rtu_suite")
    return load_suite(config.rootpath / named if named else None)


@pytest.fixture
def rtu_result(request: pytest.FixtureRequest, rtu_report: Report) -> Result:
    """Result of a fault (rtu_edge.hil.case.Result); the test is marked rtu_faults."""
    from rtu_edge.hil.case import run_case

    if not hasattr(request, "param"):
        raise pytest.UsageError(f"{request.node.nodeid}: rtu_result needs the marker rtu_faults")
    suite, fault = request.param
    folder = request.config.getoption("--rtu-report")
    logs = Path(folder) / "logs" if folder else request.getfixturevalue("tmp_path")
    result = run_case(
        suite, fault, _maker(request, suite.config.device.plant), armed=_is_confirmed(request.config), logs=logs
    )
    rtu_report.results.append(result)
    for name in ("response", "detected_ms", "safe_ms", "safe_limit_ms", "accepted_after", "recovery_ms"):
        request.node.user_properties.append((name, getattr(result, name)))
    if result.skipped:
        pytest.skip(f"{result.name}: {result.skipped}")
    return result


# ---------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def rtu_plant(request: pytest.FixtureRequest) -> str:
    """Name of the simulated plant: the ini file's, the suite's, or "servo". Override it for another plant."""
    config = request.config
    if named := str(config.getini("rtu_plant")):
        return named
    return _load_suite(config).config.device.plant if config.getini("rtu_suite") else "servo"


@pytest.fixture(scope="session")
def rtu_firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The executable or image of the target: --rtu-firmware, or built with rtu_plant_source; None for the package's."""
    config = request.config
    if given := config.getoption("--rtu-firmware"):
        return Path(given)
    source = str(config.getini("rtu_plant_source"))
    if not source or _is_real(config):
        return None
    if _target(config) != "process":
        pytest.skip(f"your own plant runs as a process: --rtu-target process, not {_target(config)}; or --rtu-firmware")
    from rtu_edge.device.firmware import build_firmware

    return build_firmware(config.rootpath / source, tmp_path_factory.mktemp("rtu-firmware") / "tl_firmware")


@pytest.fixture(scope="session")
def _rtu_port(request: pytest.FixtureRequest) -> Iterator[Target | None]:
    """The real port, opened once: opening it resets many boards."""
    if not _is_real(request.config):
        yield None
        return
    from rtu_edge.hil.targets import PortTarget

    with PortTarget(_target(request.config), _load_suite(request.config).config.device.baud) as target:
        yield target


def _maker(request: pytest.FixtureRequest, plant: str = "") -> Callable[[], AbstractContextManager[Target]]:
    """Creates the target of one test, or lends the port."""
    from contextlib import nullcontext

    from rtu_edge.hil.targets import make_target

    port = request.getfixturevalue("_rtu_port")
    if port is not None:
        return lambda: nullcontext(port)
    name, firmware = _target(request.config), request.getfixturevalue("rtu_firmware")
    simulated = plant or request.getfixturevalue("rtu_plant")
    return lambda: make_target(name, simulated, firmware=firmware)


@pytest.fixture
def rtu_target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The device under test (rtu_edge.hil.Target): a new one for each test, or the named port."""
    with _maker(request)() as target:
        yield target


@pytest.fixture
def rtu_device(request: pytest.FixtureRequest, rtu_target: Target) -> Iterator[FaultBridge]:
    """The line to the device (rtu_edge.hil.FaultBridge): its port, the trace, and the state reported by the device."""
    from rtu_edge.device import protocol
    from rtu_edge.hil.bridge import FaultBridge

    with FaultBridge(rtu_target) as bridge:
        if not bridge.hello().caps & protocol.Cap.SIMULATED and not _is_confirmed(request.config):
            pytest.fail(
                f"{rtu_target.name}: a real plant, its data sheet does not say simulated; the tests arm it and disturb "
                "it. "
                "Add --rtu-confirm when the plant's reach is clear of people and an emergency stop is at hand"
            )
        yield bridge


@pytest.fixture
def rtu_link(rtu_device: FaultBridge) -> Iterator[Link]:
    """The host's end (rtu_edge.loop.Link), open and after the handshake."""
    from rtu_edge.device.ports import open_port
    from rtu_edge.loop import Link

    with open_port(rtu_device.port) as port, Link(port) as opened:
        opened.handshake()
        yield opened


@pytest.fixture
def rtu_loop(request: pytest.FixtureRequest, rtu_link: Link) -> Iterator[Callable[..., Loop]]:
    """Make loops: `rtu_loop(agent)` for a learner, `rtu_loop(gain=[[...]], bias=[...])` for action = bias + gain x.

    Other arguments are fields of LoopConfig; the default clock is the device's, unlike there. A loop that still runs at
    the end of the test is stopped. Real hardware (a device without SIMULATED) needs `limits` and --rtu-confirm.
    """
    from rtu_edge import _testing
    from rtu_edge.loop import Clock, Loop, LoopConfig
    from rtu_edge.loop.permission import Permission

    loops: list[Loop] = []
    permission = Permission("what is at --rtu-target", rtu_link.hello.simulated, "--rtu-confirm and limits")
    if _is_confirmed(request.config):
        permission.grant()

    def make(agent: Any = None, *, gain: Any = None, bias: Any = None, **settings: Any) -> Loop:
        permission.require()
        if agent is not None:
            policy = agent.core.policy()
        else:
            hello = rtu_link.hello
            policy = _testing.LinearPolicy(
                hello.observation_size, bias or [0.0] * hello.action_size, gain or []
            ).policy()
        config = LoopConfig(**{"clock": Clock.DEVICE, "handle_signals": False, **settings})
        loops.append(Loop(rtu_link, policy, config))
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()


@pytest.fixture
def rtu_fault(
    request: pytest.FixtureRequest, rtu_device: FaultBridge
) -> Callable[..., AbstractContextManager[Injection]]:
    """Inject a fault: `with rtu_fault("drop", rate=0.2):` by kind, by its name in the suite, or `rtu_fault(object)`."""
    from rtu_edge.hil.faults import KINDS, Fault

    def find(what: str | Fault, settings: dict[str, Any]) -> Fault:
        import msgspec

        if isinstance(what, Fault):
            return msgspec.structs.replace(what, **settings) if settings else what
        if what in KINDS:
            return msgspec.convert(settings, KINDS[what])
        named = {entry.title: entry for entry in _load_suite(request.config).faults}
        if what not in named:
            known = ", ".join(sorted(KINDS))
            raise ValueError(f"fault {what!r}: no kind ({known}) and no fault of the suite is called that")
        return msgspec.structs.replace(named[what], **settings)

    return lambda what, **settings: rtu_device.inject(find(what, settings))


@pytest.fixture(scope="session")
def rtu_report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """All results of rtu_faults so far (rtu_edge.hil.run.Report); written to --rtu-report at the end of the session."""
    import time

    from rtu_edge.hil.run import Report
    from rtu_edge.record import host_facts

    config = request.config
    begin_s = time.monotonic()
    started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    suite = _load_suite(config)
    report = Report(
        suite=suite.name, seed=suite.seed, started=started, ttl_ms=float(suite.config.loop.ttl_ms), host=host_facts()
    )
    yield report
    report.seconds = round(time.monotonic() - begin_s, 1)
    folder = config.getoption("--rtu-report")
    if not folder or not report.results:
        return
    from rtu_edge.hil.report import write_report

    worker = getattr(config, "workerinput", {}).get("workerid", "")  # pytest-xdist: each has its own
    write_report(report, Path(folder) / worker)
