"""One fault on one target: drive, inject, monitor, measure, recover, evaluate."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.config import Config
from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState
from rtu_edge.hil import measure
from rtu_edge.hil.abort import Abort, RealRules
from rtu_edge.hil.attempts import DISTURBED_S, LATE_S, HostWatch, try_again
from rtu_edge.hil.bridge import FaultBridge, Injection
from rtu_edge.hil.evaluation import check_error, evaluate
from rtu_edge.hil.faults import Controller, Fault, Response, Second
from rtu_edge.hil.host import HostEnd, HostStatus, ProcessHost, Seen, ThreadHost
from rtu_edge.hil.result import Result
from rtu_edge.hil.second import second_device, still_armed, with_second
from rtu_edge.hil.suite import Suite
from rtu_edge.hil.targets import Target
from rtu_edge.hil.trace import Trace
from rtu_edge.loop import Clock
from rtu_edge.loop.permission import Permission

__all__ = ["Result", "run_case"]

_LOOK_S = 0.003
_DRIVING = 5  # accepted commands before a host counts as driving
_SILENCE_MS, _MARGIN_MS, _BUSY_MARGIN_MS = 1000.0, 100.0, 500.0  # lockstep: TL_SILENCE_US_DEFAULT, by the host's clock


def run_case(
    suite: Suite,
    fault: Fault,
    make: Callable[[], AbstractContextManager[Target]],
    *,
    seed: int | None = None,
    armed: bool = False,
    abort: Abort | None = None,
    logs: Path | None = None,
) -> Result:
    """Run one fault against a target.

    Args:
        suite: has plant, loop and controllers. fault: the fault. make: creates or lends the target.
        seed: of the fault; default: the suite's.
        armed: real hardware may move; requested and confirmed by the caller.
        abort: with `armed`: a request to end.
        logs: folder for the trace of a failure.

    Returns:
        The result; never raises for behaviour of the device or the host.

    Raises:
        SafetyStop: with `armed`: it was asked to end, or the device is in ESTOP. The device is not armed.
    """
    begin_s = time.monotonic()
    result = Result(name=fault.title, kind=fault.kind, target="", expected=fault.expect.value)
    for attempt in itertools.count(1):
        case = _Case(suite, fault, suite.seed if seed is None else seed, (abort or Abort()) if armed else None)
        with case.host:
            try:
                with make() as target:
                    result = case.run(target)
            except (DeviceError, ConfigError, OSError) as error:
                result = case.result
                result.why, case.refused = [str(error)], isinstance(error, ConfigError)
        result.attempts = attempt
        passed = result.passed or bool(result.skipped)
        if passed or not try_again(attempt, disturbed=case.disturbed, armed=armed):
            break
    if not passed and case.disturbed:
        result.why.append(f"no verdict: this host was disturbed in each of {attempt} attempts (docs/hil.md, A suite)")
    result.seconds = round(time.monotonic() - begin_s, 3)
    if logs is not None and not passed and case.trace is not None:
        logs.mkdir(parents=True, exist_ok=True)
        name = f"{result.target.strip('/').replace('/', '-')}-{result.name.replace('/', '-').replace(' ', '-')}"
        path = logs / f"{name}.jsonl"
        case.trace.save(path)
        result.log = str(path)
    return result


class _Case:
    def __init__(self, suite: Suite, fault: Fault, seed: int, abort: Abort | None) -> None:
        self.suite = suite
        self.fault = fault
        self.seed = seed
        self.armed = abort is not None
        self.refused = self.late = False  # late: a period was, by the device's report or by its arrival
        self.trace: Trace | None = None
        self.seen = Seen()
        self.second: FaultBridge | None = None
        self.before: dict[str, int] = {}
        self.clock = fault.clock or suite.config.loop.clock
        controller = fault.controller or suite.controller.kind
        self.linear = suite.controller
        self.process = "host process" in fault.needs
        self.controller = Controller.LEARNER if self.process else controller
        own = set(type(fault).__struct_fields__) - set(Fault.__struct_fields__) | {"clock", "controller"}
        plain = {key: value for key, value in msgspec.to_builtins(fault).items() if key in own and value is not None}
        self.result = Result(name=fault.title, kind=fault.kind, target="", expected=fault.expect.value, settings=plain)
        self.rules = RealRules(abort, suite, self.result)
        self.host = HostWatch()

    @property
    def disturbed(self) -> bool:
        """The host gave no processor when it was due; a late period alone is no evidence, a refusal needs none."""
        late = self.seen.overslept_s > DISTURBED_S or self.host.longest_s > (LATE_S if self.late else DISTURBED_S)
        return late and not self.refused

    def run(self, target: Target) -> Result:
        result = self.result
        result.target = target.name
        result.skipped = self.fault.left_out(target)
        if result.skipped:
            return result
        with (
            tempfile.TemporaryDirectory(prefix="rtu-hil-") as folder,
            FaultBridge(target, seed=self.seed) as bridge,
            second_device(self.fault, self.suite, self.seed) as self.second,
            self.rules.over(bridge),
        ):
            self.trace = bridge.trace
            hello = bridge.hello()
            self._check_permission(hello)
            if self.fault.plant:
                self.linear = self.linear.widened(hello.observation_size)
            if self.fault.twice:
                self._earlier(bridge, folder)
            self.before = bridge.counters()
            with self._injected(bridge) as whole:
                self._session(bridge, hello, folder, whole)
        return result

    def _check_permission(self, hello: protocol.Hello) -> None:
        permission = Permission(self.result.target, bool(hello.caps & protocol.Cap.SIMULATED))
        if self.armed:
            permission.grant()
        permission.require()
        if self.clock is Clock.LOCKSTEP and not hello.caps & protocol.Cap.LOCKSTEP:
            raise DeviceError('clock = "lockstep": the device does not offer it')

    def _earlier(self, bridge: FaultBridge, folder: str) -> None:
        """A session before."""
        host = ThreadHost(self._config(bridge, folder), self.controller, self.linear, self.armed)
        with host, self.rules.stoppable(bridge):
            host.start()
            self._wait_driving(bridge, host, 20.0)
        bridge.clear_port()

    @contextlib.contextmanager
    def _injected(self, bridge: FaultBridge) -> Iterator[Injection | None]:
        """A fault that is active throughout."""
        if not self.fault.whole:
            yield None
            return
        with bridge.inject(self.fault) as injection:
            self.seen.fault_s = time.monotonic()
            yield injection

    def _config(self, bridge: FaultBridge, folder: str) -> Config:
        config = self.suite.run_config(bridge.port, folder, self.clock, self.fault.settings)
        return config if self.second is None else with_second(config, self.second)

    def _where(self, bridge: FaultBridge) -> FaultBridge:
        """The line that the fault acts on."""
        return self.second if self.second is not None and self.fault.second is Second.FAILS else bridge

    def _host(self, bridge: FaultBridge, folder: str) -> ThreadHost | ProcessHost:
        config = self._config(bridge, folder)
        if self.process:
            return ProcessHost(config, self.armed)
        return ThreadHost(config, self.controller, self.linear, self.armed)

    def _session(self, bridge: FaultBridge, hello: protocol.Hello, folder: str, whole: Injection | None) -> None:
        host = self._host(bridge, folder)
        with host, self.rules.stoppable(bridge):
            try:
                host.start()
                self._wait_driving(bridge, host, 20.0)
            except (DeviceError, ConfigError) as error:
                self._refused(bridge, host, error, whole)
                return
            self._inject(bridge, host, whole)
            self._check_driver(bridge, hello)
            ended_s = time.monotonic()
            still = host.status()
            end = host.stop(ask=not self._ended(bridge))
            self._check_driver(bridge, hello)
        self._measure(bridge, hello, end, still, ended_s)
        self._recover(bridge, folder)
        evaluate(self.result, self.fault)

    def _wait_driving(self, bridge: FaultBridge, host: ThreadHost | ProcessHost, timeout_s: float) -> None:
        """Wait until the device has accepted some commands of a session."""
        since_s = time.monotonic()
        while time.monotonic() - since_s < timeout_s:
            self.rules.check(bridge)
            accepted = {s.last_cmd_seq for _, s in bridge.trace.states(since_s) if s.state == DeviceState.ARMED}
            if len(accepted) > _DRIVING:
                return
            status = host.status()
            if not status.running and (status.reason or self.process):
                raise DeviceError(f"the host did not begin to drive: {host.stop().message}")
            time.sleep(0.01)
        raise DeviceError(f"the host does not drive after {timeout_s:g} s")

    def _inject(self, bridge: FaultBridge, host: ThreadHost | ProcessHost, whole: Injection | None) -> None:
        """Apply the fault, and monitor before, during and after it."""
        seen, fault = self.seen, self.fault
        self._watch(bridge, host, fault.start_s)
        seen.baseline = dict(seen.last.counters)
        injection = whole
        seen.fault_s, seen.sign = time.monotonic(), None  # for one that is active throughout: since driving started
        if injection is None:
            injection = self._where(bridge).begin(fault, host)
        self._watch(bridge, host, fault.for_s)
        if whole is None:
            injection.bridge.end(injection)
        seen.ended_s = time.monotonic()
        self._watch(bridge, host, fault.watch_s)
        self.result.acted = injection.count

    def _watch(self, bridge: FaultBridge, host: ThreadHost | ProcessHost, seconds: float) -> None:
        seen = self.seen
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            time.sleep(min(_LOOK_S, until_s - now_s))
            self.rules.check(bridge)
            woke_s = time.monotonic()
            seen.overslept_s = max(seen.overslept_s, woke_s - now_s - _LOOK_S)
            status = host.status()
            seen.last = status
            if seen.fault_s and seen.sign is None:
                seen.sign = self._noticed(status, woke_s)
            if seen.fault_s and seen.at_safe is None and self._ended(bridge):
                with contextlib.suppress(DeviceError):  # a frozen device answers later
                    seen.at_safe = bridge.counters(0.5)
                    seen.at_safe_s = time.monotonic()

    def _check_driver(self, bridge: FaultBridge, hello: protocol.Hello) -> None:
        """The registers of actuators and brake hold what STATE reports, if the target can read them.

        Register and STATE are read one after the other, so each reading is compared with the STATEs around it. Ten
        mismatches in a row are an error.
        """
        target, period_s = bridge.target, hello.period_s
        if "show_driver" not in target.abilities:
            return
        for _ in range(10):
            since_s = time.monotonic() - 2 * period_s
            last = measure.outputs(bridge.trace, bridge.state)
            register = target.driver()[: len(last)]
            time.sleep(1.5 * period_s)
            states = bridge.trace.states(since_s)
            if register == last or register in [measure.outputs(bridge.trace, state) for _, state in states]:
                return
        why = f"the driver's register holds {list(register)}, STATE reports {list(last)}"
        if why not in self.result.why:
            self.result.why.append(why)

    def _noticed(self, status: HostStatus, now_s: float) -> tuple[float, str] | None:
        if not status.running and status.reason:
            return now_s, f"host: {status.reason}"
        for name in measure.WATCHED:
            if status.counters.get(name, 0) > self.seen.baseline.get(name, 0):
                return now_s, f"host: {name}"
        return None

    def _ended(self, bridge: FaultBridge) -> bool:
        last = bridge.trace.last_state
        state = last.message if last is not None and last.at_s >= self.seen.fault_s else None
        return isinstance(state, protocol.State) and state.state not in (DeviceState.ARMED, DeviceState.RESETTING)

    def _refused(
        self, bridge: FaultBridge, host: ThreadHost | ProcessHost, error: Exception, whole: Injection | None
    ) -> None:
        """The host did not start to drive."""
        result = self.result
        result.response, result.message = Response.REFUSES.value, str(error)
        result.reason = host.stop().reason
        result.acted = whole.count if whole is not None else 0
        armed = [state for _, state in bridge.trace.states() if state.state == DeviceState.ARMED]
        result.accepted_after = bridge.counters()["accepted"] - self.before["accepted"]
        result.timeline = measure.timeline(bridge.trace, self.seen.fault_s or bridge.trace.begin_s)
        if self.fault.expect is not Response.REFUSES:
            result.why.append(f"the host did not drive: {error}")
        elif armed:
            result.why.append("the device was armed nevertheless")
        if self.fault.whole and not result.acted:
            result.why.append("the fault never acted")
        check_error(self.result, self.fault)
        result.passed = not result.why

    def _measure(
        self, bridge: FaultBridge, hello: protocol.Hello, end: HostEnd, still: HostStatus, ended_s: float
    ) -> None:
        """Compute the measurements from the trace."""
        result, seen, fault = self.result, self.seen, self.fault
        trace = bridge.trace
        after = bridge.counters()
        lockstep = self.clock is Clock.LOCKSTEP
        safe = measure.safe_after(trace, seen.fault_s, lockstep)
        if safe is not None and safe.at.at_s > ended_s:
            safe = None
        sign = measure.first_sign(trace, seen.fault_s)
        signs = [s for s in (sign, seen.sign) if s is not None and seen.fault_s <= s[0] <= ended_s]
        if signs:
            result.detected_ms = round((min(signs)[0] - seen.fault_s) * 1e3, 2)
            result.detected_by = min(signs)[1]
        if safe is not None:
            result.response = Response.GOES_SAFE.value
            self._measure_safe(safe, hello, after, lockstep)
            again_s = measure.accepted_since(trace, safe.at.at_s)
            if still.running and again_s is not None and len(trace.sessions()) > 1:
                self._measure_resumed(trace, again_s, after)
        elif not still.running:
            result.response = "host ended"
        else:
            result.response = (Response.FALLS_BACK if still.fallback else Response.RIDES_THROUGH).value
            result.fallback = list(still.fallback)
            again_s = measure.accepted_since(trace, seen.ended_s - (fault.for_s if fault.whole else 0.0))
            result.recovery_ms = None if again_s is None else round(max(0.0, again_s - seen.ended_s) * 1e3, 2)
        if fault.twice and safe is None:
            result.accepted_after = measure.old_accepted(trace, after["refused"] - self.before["refused"])
        if not end.finite:
            result.why.append("the learner's numbers are not finite")
        result.reason, result.message = end.reason, end.message
        result.device_counters, result.host_counters = after, end.counters
        result.foreign = 0 if fault.kind in ("actuator", "measured") else measure.foreign(trace)
        limits = self.suite.run_config("", "", None, fault.settings).limits
        if beyond := measure.beyond_limits(trace, limits, hello.period_s):
            result.why.append(f"the host's {beyond}")
        if broken := measure.beyond_sheet(trace):
            result.why.append(f"the device's {broken}")
        result.fault_ms = round((seen.ended_s - seen.fault_s) * 1e3, 2)
        result.timeline = measure.timeline(trace, seen.fault_s)
        self.late = after["skipped"] > 0 and fault.kind != "freeze" and not (safe is not None and safe.restarted)
        if not lockstep and fault.acts_on != "device":  # a device or bridge that was itself delayed
            device_s, here_s = measure.largest_gaps(trace)
            period_s = hello.period_s
            self.late = self.late or device_s > 1.4 * period_s or here_s > 3.0 * period_s

    def _measure_safe(
        self, safe: measure.SafeEntry, hello: protocol.Hello, after: dict[str, int], lockstep: bool
    ) -> None:
        result, seen = self.result, self.seen
        ttl_ms = self.suite.config.loop.ttl_ms or max(3 * hello.period_us / 1e3, 20.0)
        limit = min(ttl_ms, hello.ttl_max_ms) + hello.period_us / 1e3
        if lockstep:
            limit = _SILENCE_MS + hello.period_us / 1e3 + (_BUSY_MARGIN_MS if self.disturbed else _MARGIN_MS)
            result.safe_ms = round((safe.at.at_s - seen.fault_s) * 1e3, 2)
        elif safe.after_us is not None:
            result.safe_ms = round(safe.after_us / 1e3, 3)
        result.safe_limit_ms = self.fault.safe_within_ms or limit
        if safe.restarted or (seen.at_safe is not None and after["accepted"] < seen.at_safe["accepted"]):
            result.accepted_after = after["accepted"]  # since the restart
        elif seen.at_safe is not None:
            result.accepted_after = after["accepted"] - seen.at_safe["accepted"]

    def _measure_resumed(self, trace: Trace, again_s: float, after: dict[str, int]) -> None:
        """The host resumed in a new session: nothing of the lost one was accepted in it, or before it."""
        result, seen = self.result, self.seen
        result.response = Response.RESUMES.value
        result.recovery_ms = round(max(0.0, again_s - seen.ended_s) * 1e3, 2)
        if seen.at_safe is not None:
            refused = after["refused"] - seen.at_safe["refused"]
            result.accepted_after = measure.old_accepted(trace, refused, seen.at_safe_s)

    def _recover(self, bridge: FaultBridge, folder: str) -> None:
        """After a session has ended: clear the latch, and drive again in a new session."""
        result = self.result
        if result.response not in (Response.GOES_SAFE.value, "host ended"):
            return
        self.rules.check(bridge)
        bridge.clear_port()
        begin_s = time.monotonic()
        bridge.send("to_device", b"\0" + protocol.encode(protocol.pack(protocol.ClearFault())))
        if self.second is not None:
            self.result.why += still_armed(self.second)
            self.second.clear_port()
            self.second.send("to_device", b"\0" + protocol.encode(protocol.pack(protocol.ClearFault())))
        host = ThreadHost(self._config(bridge, folder), self.controller, self.linear, self.armed)
        with host, self.rules.stoppable(bridge):
            try:
                host.start()
                self._wait_driving(bridge, host, self.fault.recover_within_s)
                result.recovery_ms = round((time.monotonic() - begin_s) * 1e3, 2)
            except (DeviceError, ConfigError) as error:
                result.why.append(f"no recovery: {error}")
