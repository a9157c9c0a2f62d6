"""No command arms a device without SIMULATED unless --arm, limits and a confirmation are given."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_board import Real

import rtu_edge
import rtu_edge.cli

# Loaded here, so that the sessions of pytester do not load them again.
import rtu_edge.device.lock
import rtu_edge.device.ports
import rtu_edge.device.simulated
import rtu_edge.hil.report
import rtu_edge.loop
from rtu_edge._base.errors import ConfigError
from rtu_edge.device import protocol
from rtu_edge.hil import FaultBridge, SimTarget, TapPoint
from rtu_edge.hil.case import run_case
from rtu_edge.hil.faults import Flip
from rtu_edge.hil.suite import load_suite
from rtu_edge.loop.permission import Permission

pytest_plugins = ("pytester",)

PACKAGE = Path(rtu_edge.__file__).parent
LIMITS = "[limits.force]\nmin = -5.0\nmax = 5.0\nslew_per_s = 200.0\naccel_per_s2 = inf\n"


@pytest.fixture
def board() -> Iterator[FaultBridge]:
    """A device that looks like a real board to the host."""
    with SimTarget("cartpole") as target, FaultBridge(target) as bridge, bridge.inject(Real()):
        yield bridge


@pytest.fixture
def robot(tmp_path: Path, board: FaultBridge, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "robot.toml"
    path.write_text(f'[device]\nport = "{board.port}"\n[learner]\nunits = 4\nhidden = [4]\n[run]\nsteps = 5\n{LIMITS}')
    return path


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as leaving:
        rtu_edge.cli.main(arguments)
    out, err = capfd.readouterr()
    assert isinstance(leaving.value.code, int)
    assert "Traceback" not in err
    return leaving.value.code, out + err


def moved(board: FaultBridge) -> list[protocol.Frame]:
    """Frames sent by a host that can cause motion."""
    kinds = (protocol.FrameType.ARM, protocol.FrameType.RESET, protocol.FrameType.CMD)
    return [passed.frame for passed in board.trace.all(TapPoint.HOST_OUT) if passed.frame.type in kinds]


# Each command that can arm, without --arm or the confirmation; {port} and {file} are substituted.
COMMANDS = {
    "run": ["run", "{file}"],
    "run without an answer": ["run", "{file}", "--arm"],
    "bench loop": ["bench", "loop", "{file}", "--seconds", "0.5"],
    "bench loop at a port": ["bench", "loop", "--port", "{port}", "--seconds", "0.5"],
    "bench loop without an answer": ["bench", "loop", "{file}", "--seconds", "0.5", "--arm"],
    "demo": ["demo", "--set", "device.plant=", "--set", "device.port={port}", "--set", "loop.clock=device",
             "--set", "limits.force.accel_per_s2=inf", "--steps", "5", "--realtime-s", "0.2"],
    "hil run": ["hil", "run", "--target", "{port}", "--only", "flip"],
    "hil run without an answer": ["hil", "run", "--target", "{port}", "--only", "flip", "--arm"],
}  # fmt: skip


@pytest.mark.hazard("real-hardware-unasked")
@pytest.mark.parametrize("name", list(COMMANDS))
def test_no_command_arms_real_hardware_unasked(
    name: str, board: FaultBridge, robot: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(port=board.port, file=robot) for word in COMMANDS[name]]
    code, said = run(capfd, *words)
    assert code == 2, said
    assert re.search("--arm|needs a confirmation|limits.force: missing", said), said
    assert moved(board) == []


@pytest.mark.timing
@pytest.mark.parametrize("name", ["run", "bench loop"])
def test_what_is_asked_for_and_confirmed_moves(
    name: str, board: FaultBridge, robot: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without this the test above would pass on a device that can never be armed."""
    words = [word.format(port=board.port, file=robot) for word in COMMANDS[name]]
    code, said = run(capfd, *words, "--arm", "--yes")
    assert code == 0, said
    assert {frame.type for frame in moved(board)} >= {protocol.FrameType.ARM, protocol.FrameType.CMD}


@pytest.mark.hazard("real-hardware-unasked")
def test_a_service_waits_for_the_number(
    board: FaultBridge, robot: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other path than the number arms: the rule is checked before the loop."""
    from rtu_edge.run import service

    answers = iter([True, False])
    monkeypatch.setattr(service, "wait_until_armed", lambda *given: next(answers))
    granted: list[Permission] = []

    def grant(permission: Permission) -> None:
        granted.append(permission)

    monkeypatch.setattr(Permission, "grant", grant)
    code, said = run(capfd, "serve", str(robot))
    assert code == 2 and "moves only with" in said, said
    assert len(granted) == 1 and moved(board) == []


def test_a_hil_case_asks_too(board: FaultBridge) -> None:
    class Own(SimTarget):
        """Whose HELLO lacks it."""

    asked = FaultBridge.hello

    def real(bridge: FaultBridge, timeout_s: float = 3.0) -> protocol.Hello:
        return dataclasses.replace(asked(bridge, timeout_s), caps=protocol.Cap.RESET)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultBridge, "hello", real)
        result = run_case(load_suite(), Flip(), lambda: Own("servo"))
    assert result.response == "error" and "moves only with --arm" in result.why[0]


@pytest.mark.hazard("real-hardware-unasked")
def test_the_pytest_plugin_asks_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import dataclasses
        import pytest
        from rtu_edge._base.errors import ConfigError
        from rtu_edge.device.schema import Cap
        from rtu_edge.loop import Link, Limits

        answer = Link.handshake

        @pytest.fixture(autouse=True)
        def real(monkeypatch):
            def handshake(self, timeout_s=3.0):
                hello = answer(self, timeout_s)
                self._hello = dataclasses.replace(hello, caps=hello.caps & ~Cap.SIMULATED)
                return self._hello
            monkeypatch.setattr(Link, "handshake", handshake)

        def test_refused(rtu_loop, rtu_device):
            with pytest.raises(ConfigError, match="moves only with --rtu-confirm and limits"):
                rtu_loop(gain=[[0.0, 0.0]], limits=[Limits(-1.0, 1.0)])
        """
    )
    pytester.runpytest("--rtu-target", "sim").assert_outcomes(passed=1)
    pytester.runpytest("--rtu-target", "sim", "--rtu-confirm").assert_outcomes(failed=1)


def test_the_rule() -> None:
    Permission("a", True).require()
    permission = Permission("/dev/ttyACM0", False)
    with pytest.raises(ConfigError, match=r"/dev/ttyACM0 is real hardware.*only with --arm, explicit limits"):
        permission.require()
    permission.grant()
    permission.require()


@pytest.mark.hazard("real-hardware-unasked")
def test_whoever_makes_a_loop_asks_the_rule() -> None:
    """Each function of the package that creates a Loop, or a session driven call by call, checks permission first; new
    ones must do so too. OwnLoop's reader alone is made without: it has dry_run and is never opened.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
            names = [func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls]
            native = {ast.unparse(f) for f in calls} & {"_core.Loop", "_core.Manual"}
            reads = "dry_run=True" in ast.unparse(function)
            if ("Loop" in names or ("Manual" in names and not reads)) and not native:
                found[f"{path.relative_to(PACKAGE)}:{function.name}"] = "require" in names
    assert set(found) >= {
        "run/loop.py:run_loop",
        "hil/host.py:start",
        "hil/pytest_plugin.py:rtu_loop",
        "bench/soak.py:soak",
        "loop/robot.py:run",
        "loop/own_loop.py:_armed",
    }
    assert {name for name, asks in found.items() if not asks} == set()
