"""The wheel by itself, away from the checkout and its editable install: what `pip install rtu_edge` gives."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from toolchain import ROOT, locked, run

# -S keeps the editable install away; what the package needs is found all the same.
PROBE = """
import sys
sys.path[:0] = [{wheel!r}, {packages!r}]
import rtu_edge
from rtu_edge import _bridge, _core
print(rtu_edge.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    with locked(ROOT / "build"):
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    run(*pip, "install", "--no-deps", "--target", folder / "site", *folder.glob("*.whl"))
    return folder / "site"


def test_it_imports_by_itself(installed: Path) -> None:
    probe = PROBE.format(wheel=str(installed), packages=sysconfig.get_path("purelib"))
    assert run(sys.executable, "-S", "-P" if sys.version_info >= (3, 11) else "-s", "-c", probe, cwd="/").startswith(
        str(installed)
    )


def test_it_brings_the_firmware(installed: Path) -> None:
    firmware = installed / "rtu_edge" / "bin" / "rtu_firmware"
    done = subprocess.run([firmware, "--help"], capture_output=True, text=True, timeout=10)
    assert "usage" in (done.stdout + done.stderr).lower()


def test_it_holds_types_license_and_no_sources(installed: Path) -> None:
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {"rtu_edge/py.typed", "rtu_edge/_core.pyi"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    # Of the sources only those that a user's own plant is compiled with.
    sources = [name for name in names if name.endswith((".c", ".cpp", ".h", ".a", ".cmake"))]
    assert [name for name in sources if not name.startswith("rtu_edge/sources/firmware_bridge/")] == []
    assert "rtu_edge/sources/firmware_bridge/plants/parts.h" in sources
