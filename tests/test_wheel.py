"""The wheel by itself, away from the checkout and its editable install: what `pip install rtu_edge` gives."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from email.parser import Parser
from pathlib import Path

import pytest
from toolchain import ROOT, locked, newest_symbol, platform_of, run

# -S keeps the editable install away; what the package needs is found nevertheless.
PROBE = """
import sys
sys.path[:0] = [{wheel!r}, {packages!r}]
import rtu_edge
from rtu_edge import _bridge, _core
print(rtu_edge.__file__)
"""


PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make wheel` makes it."""
    with locked(ROOT / "build"):
        return Path(run(ROOT / "tools/wheel.sh", tmp_path_factory.mktemp("wheel")).strip())


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    run(sys.executable, *PIP, "install", "--no-deps", "--target", wheel.parent / "site", wheel)
    return wheel.parent / "site"


def test_its_tag_is_what_its_symbols_allow(wheel: Path) -> None:
    """No index takes linux_x86_64. A glibc older than a symbol would break the promise, one newer than ours bars this
    host.
    """
    platform, glibc = platform_of(wheel)
    assert platform == sysconfig.get_platform().removeprefix("linux-").replace("-", "_")
    ours = os.confstr("CS_GNU_LIBC_VERSION")
    assert ours is not None
    assert newest_symbol(wheel) <= glibc <= tuple(map(int, ours.split()[1].split(".")))


def test_it_installs_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """pip takes its tag; what it depends on is lent, which needs no index."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    python = tmp_path / "bin" / "python"
    run(sys.executable, *PIP, "--python", python, "install", "--no-index", "--no-deps", wheel)
    lent = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); import rtu_edge; print(rtu_edge.__file__)"
    assert run(python, "-c", lent, cwd="/").startswith(str(tmp_path))
    assert (tmp_path / "bin" / "rtu-edge").exists()


def test_it_imports_by_itself(installed: Path) -> None:
    probe = PROBE.format(wheel=str(installed), packages=sysconfig.get_path("purelib"))
    assert run(sys.executable, "-S", "-P" if sys.version_info >= (3, 11) else "-s", "-c", probe, cwd="/").startswith(
        str(installed)
    )


def test_it_says_what_it_needs(installed: Path) -> None:
    [metadata] = installed.glob("rtu_edge-*.dist-info/METADATA")
    told = Parser().parsestr(metadata.read_text(encoding="utf-8"))
    assert (told["Requires-Python"], told["License-Expression"]) == ("<3.16,>=3.10", "Apache-2.0")
    promised = [f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 16)]
    assert [line for line in told.get_all("Classifier", []) if ":: Python :: 3." in line] == promised
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_source_distribution_is_what_is_tracked(tmp_path: Path) -> None:
    made = run(
        sys.executable, "-c", f"import scikit_build_core.build as b; print(b.build_sdist({str(tmp_path)!r}))", cwd=ROOT
    )
    with tarfile.open(tmp_path / made.split()[-1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = set(run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines())
    assert names == {name for name in tracked if (ROOT / name).exists() and not name.startswith(".ci/")} | {"PKG-INFO"}


def test_it_brings_the_firmware(installed: Path) -> None:
    firmware = installed / "rtu_edge" / "bin" / "tl_firmware"
    done = subprocess.run([firmware, "--help"], capture_output=True, text=True, timeout=10)
    assert "usage" in (done.stdout + done.stderr).lower()


def test_it_holds_types_license_and_no_sources(installed: Path) -> None:
    names = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {"rtu_edge/py.typed", "rtu_edge/_core.pyi", "rtu_edge/_testing.pyi"} <= names
    assert {name.partition("/")[0].split("-")[0] for name in names} == {"rtu_edge", "bin"}  # no library was taken in
    assert any(name.endswith("licenses/LICENSE") for name in names)
    # Of the sources only those that a user's own plant is compiled with.
    sources = [name for name in names if name.endswith((".c", ".cpp", ".h", ".a", ".cmake"))]
    assert [name for name in sources if not name.startswith("rtu_edge/sources/firmware_bridge/")] == []
    assert "rtu_edge/sources/firmware_bridge/plants/parts.h" in sources
