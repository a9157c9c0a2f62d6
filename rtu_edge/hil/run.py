"""Runs a whole suite against one or several targets, with results in order."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from rtu_edge._base.errors import ConfigError, SafetyStop
from rtu_edge._base.strict import quoted
from rtu_edge._base.version import __version__
from rtu_edge.device import plants, protocol
from rtu_edge.device.simulated import firmware_path
from rtu_edge.hil.abort import Abort
from rtu_edge.hil.bridge import FaultBridge
from rtu_edge.hil.case import Result, run_case
from rtu_edge.hil.faults import Fault
from rtu_edge.hil.suite import Suite
from rtu_edge.hil.targets import NAMES, PortTarget, Target, make_target
from rtu_edge.record import host_facts

__all__ = ["Report", "check_chosen", "is_simulated", "lend", "run_suite"]


class Report(msgspec.Struct, kw_only=True):
    """All results of a run of a suite.

    Args:
        suite, seed, started, seconds: identify the run.
        ttl_ms: of a command; plus a period, the bound of the time to safe.
        results: in execution order.
        host: description of the host.
        stopped: why it ended early on real hardware; "" if it did not.
    """

    suite: str
    seed: int
    started: str
    ttl_ms: float
    seconds: float = 0.0
    version: str = __version__
    host: dict[str, str] = {}
    results: list[Result] = []
    stopped: str = ""

    @property
    def passed(self) -> bool:
        """Every fault that could be run had its expected outcome."""
        if self.stopped:
            return False
        return bool(self.results) and all(result.passed or bool(result.skipped) for result in self.results)

    def of(self, target: str) -> list[Result]:
        """The results of one target."""
        return [result for result in self.results if result.target == target]

    @property
    def targets(self) -> list[str]:
        """In the order in which they were run."""
        return list(dict.fromkeys(result.target for result in self.results))


def run_suite(
    suite: Suite,
    targets: Sequence[str],
    *,
    only: Sequence[str] = (),
    seed: int | None = None,
    firmware: str | os.PathLike[str] | None = None,
    armed: Collection[str] = (),
    abort: Abort | None = None,
    logs: Path | None = None,
    watch: Callable[[Result], None] | None = None,
) -> Report:
    """Run a suite.

    Args:
        suite: the suite.
        targets: names as for make_target; a simulated one is recreated for each fault, a port is opened once.
        only: names or kinds of faults; default: all.
        seed: of the faults; default: the suite's.
        firmware: an image for the target "qemu".
        armed: targets that may move although they are not simulated: requested and confirmed by the caller.
        abort: a request to end a suite on real hardware; report.stopped is then the reason.
        logs: folder for the traces of failures.
        watch: called with each result.

    Raises:
        ConfigError: unknown fault or plant; nothing has been run.
        DeviceError: a target cannot be made.
    """
    begin_s = time.monotonic()
    report = Report(
        suite=suite.name,
        seed=suite.seed if seed is None else seed,
        started=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        ttl_ms=float(suite.config.loop.ttl_ms),
        host=host_facts(),
    )
    faults = check_chosen(suite, targets, only, firmware)
    try:
        for name in targets:
            with lend(name, suite, firmware) as make:
                for fault in faults:
                    made = functools.partial(make, fault.plant)
                    real = name in armed
                    result = run_case(suite, fault, made, seed=report.seed, armed=real, abort=abort, logs=logs)
                    result.target = result.target or name
                    report.results.append(result)
                    if watch is not None:
                        watch(result)
    except SafetyStop as error:
        report.stopped = str(error)
    report.seconds = round(time.monotonic() - begin_s, 1)
    return report


def check_chosen(
    suite: Suite, targets: Sequence[str], only: Sequence[str] = (), firmware: str | os.PathLike[str] | None = None
) -> Sequence[Fault]:
    """The faults to run; arguments as for run_suite().

    Raises:
        ConfigError: unknown fault or plant.
    """
    _check_plant(suite, targets, firmware is not None)
    chosen = suite.chosen(only)
    for fault in chosen:
        if fault.plant and fault.plant not in plants.names():
            known = ", ".join(plants.names())
            raise ConfigError(f"{fault.title}: plant = {quoted(fault.plant)}: must be one of {known}")
    return chosen


def is_simulated(name: str, suite: Suite, firmware: str | os.PathLike[str] | None = None) -> bool:
    """Whether a target that is created here is simulated; a user's plant may not be.

    Args:
        name: one of NAMES.
        suite, firmware: as for run_suite().

    Raises:
        DeviceError: it cannot be created.
    """
    own = _own_firmware(suite) if name == "process" else name.startswith("qemu") and firmware is not None
    if not own:
        return True
    with lend(name, suite, firmware) as make, make("") as target, FaultBridge(target) as bridge:
        return bool(bridge.hello().caps & protocol.Cap.SIMULATED)


def _own_firmware(suite: Suite) -> bool:
    """Whether the target `process` runs an executable other than the package's."""
    return bool(suite.config.device.firmware or os.environ.get("RTU_EDGE_FIRMWARE"))


def _check_plant(suite: Suite, targets: Sequence[str], image: bool) -> None:
    """Checks the plant's name if it is one of the package's; an image or a user's firmware has its own."""
    known, name = plants.names(), suite.config.device.plant

    def built_in(target: str) -> bool:
        return target in NAMES and not (_own_firmware(suite) if target == "process" else image and target != "sim")

    if name not in known and any(built_in(target) for target in targets):
        raise ConfigError(
            f"device.plant = {quoted(name)}: must be one of {', '.join(known)}; for a plant of your own build its "
            "firmware"
            " (`rtu-edge firmware`) and name it in device.firmware, or name a port with --target"
        )


@contextlib.contextmanager
def lend(
    name: str, suite: Suite, firmware: str | os.PathLike[str] | None
) -> Iterator[Callable[[str], contextlib.AbstractContextManager[Target]]]:
    """Supplies the target for one fault, by the plant that it needs; "": the suite's. Arguments as for run_suite()."""
    if name in NAMES:
        given = suite.config.device.firmware
        image = firmware if name.startswith("qemu") else firmware_path(given) if given else None
        yield lambda plant: make_target(name, plant or suite.config.device.plant, firmware=image)
        return
    with PortTarget(name, suite.config.device.baud) as target:
        yield lambda plant: contextlib.nullcontext(target)
