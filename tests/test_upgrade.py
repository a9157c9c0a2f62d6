"""`pip install -U` under a service that runs: it finishes on the code that it began with, the next start is the new
version, and a service of the version before continues from what the new one has saved.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from test_service import LIMITS, Manager, manager, robot, until
from toolchain import ROOT, run

from rtu_edge import __version__
from rtu_edge.device import lock
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.learn import checkpoint
from rtu_edge.loop import RecordFlag
from rtu_edge.record.reader import read_log
from rtu_edge.run import replay

__all__ = ["manager"]  # a fixture

PACKAGES = Path(sysconfig.get_path("purelib"))  # with the compiled modules of the editable install
NEXT = "99.0"


def wheel(folder: Path, version: str) -> Path:
    """The package as it is here, as a wheel of this version; nothing is compiled."""
    tree = folder / version
    shutil.copytree(ROOT / "rtu_edge", tree / "rtu_edge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGES / "rtu_edge", tree / "rtu_edge", dirs_exist_ok=True)
    (found,) = PACKAGES.glob("rtu_edge-*.dist-info")
    described = tree / f"rtu_edge-{version}.dist-info"
    described.mkdir()
    for name in ("WHEEL", "entry_points.txt"):
        shutil.copy(found / name, described)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rtu_edge\nVersion: {version}\n")
    home = tree / "rtu_edge" / "_base" / "version.py"
    home.write_text(home.read_text().replace(__version__, version))
    run(sys.executable, "-m", "wheel", "pack", tree, "--dest-dir", folder)
    (made,) = folder.glob(f"rtu_edge-{version}-*.whl")
    return made


def install(python: Path, made: Path) -> None:
    """As `pip install -U rtu_edge`, from a file."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python)
    run(*pip, "install", "-U", "--no-index", "--no-deps", "--no-compile", made)


def environment(folder: Path) -> Path:
    """A virtual environment with the dependencies of this one; returns its interpreter."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(f"{PACKAGES}\n")  # comes after the environment's own packages
    return folder / "bin" / "python"


def imported(text: str) -> list[str]:
    """Modules that a process has imported, by its -X importtime, those of Python itself left out."""
    lines = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s*(\S+)$", text, re.MULTILINE)
    return [name for name in lines if name.partition(".")[0] not in sys.stdlib_module_names]


def test_a_run_imports_nothing_once_its_session_has_begun(tmp_path: Path) -> None:
    """Its report at the end is from the version that it began with."""
    command = (sys.executable, "-m", "rtu_edge.cli", "run", "--sim", "--steps", "300", "--set", "learner.units=4")
    switches = {"PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "1"}
    both = run(*command, cwd=tmp_path, env={**os.environ, **switches})
    before, _, after = both.partition("session starts")
    assert "report: runs/sim/report.html" in after
    assert "rtu_edge.report.views" in imported(before) and imported(after) == []


class Service:
    """`rtu-edge serve` of an environment, with a list of its imports."""

    def __init__(self, python: Path, config: Path, port: str, manager: Manager) -> None:
        self.port, self.imports = port, config.with_suffix(".imports")
        with self.imports.open("w") as log:
            self.process = subprocess.Popen(
                [python.with_name("rtu-edge"), "serve", config],
                stderr=log,
                env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
            )
        manager.until("READY=1")
        self.ready = imported(self.imports.read_text())

    def arm(self) -> None:
        until(lambda: lock.status(self.port)["arm_token"] != 0)
        lock.arm(self.port, lock.status(self.port)["arm_token"])
        until(lambda: lock.status(self.port)["running"] and lock.status(self.port)["steps"] > 20)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0


@pytest.mark.timing
def test_an_upgrade_under_a_running_service(manager: Manager, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    before, after = wheel(tmp_path, __version__), wheel(tmp_path, NEXT)
    with SimulatedDevice("cartpole", max_steps=100_000) as device:
        config = robot(tmp_path, device.port, "steps = 100\n" + LIMITS)  # a session of 2 s
        service = None
        versions = []
        try:
            for made in (before, after, before):
                install(python, made)
                service = Service(python, config, device.port, manager)
                service.arm()
                if made is before and not versions:
                    install(python, after)  # during a session, which ends by itself
                    service.arm()  # another one
                    versions.append(__version__)
                service.stop()
                versions.append(NEXT if made is after else __version__)
                assert service.ready and imported(service.imports.read_text()) == service.ready, "imports after READY"
        finally:
            if service is not None:
                service.process.kill()
                service.process.wait()
    folder = tmp_path / "runs" / "robot"
    logs = [read_log(path / "log.mcap") for path in sorted(folder.glob("session*"))]
    assert [log.head.version for log in logs] == versions
    assert all(replay.verify(log).difference is None for log in logs)
    acted = [int(((log.records["flags"] & RecordFlag.ACTED) != 0).sum()) for log in logs]
    saved = folder / "checkpoint.rtu"
    assert min(acted) > 0 and checkpoint.read_text(saved.read_bytes(), saved)[1]["steps"] == sum(acted)
