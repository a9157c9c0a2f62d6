"""The wheel by itself, away from the checkout and its editable install: what `pip install rtu_edge` gives."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from toolchain import ROOT, newest_symbol, platform_of, run, symbols

from rtu_edge import _core

# -S keeps the editable install away; what the package needs is found nevertheless.
PROBE = """
import sys
sys.path[:0] = [{wheel!r}, {packages!r}]
import rtu_edge
from rtu_edge import _bridge, _core
print(rtu_edge.__file__)
"""


pytestmark = pytest.mark.timeout(1500)  # the first test compiles, at first zig's C++ library too
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this Python and host, as `make wheels` makes it but for the optimization."""
    made = run(sys.executable, ROOT / "tools/wheels.py", "--this", "--quick", "--out", tmp_path_factory.mktemp("wheel"))
    return Path(made.splitlines()[-1])


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    run(sys.executable, *PIP, "install", "--no-deps", "--target", wheel.parent / "site", wheel)
    return wheel.parent / "site"


def test_its_tag_is_what_its_symbols_allow(wheel: Path) -> None:
    """No index takes linux_x86_64. A glibc older than a symbol would break the promise."""
    assert platform_of(wheel) == (platform.machine(), (2, 28))
    assert newest_symbol(wheel) <= (2, 28)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    run(sys.executable, *PIP, "--python", folder / "bin/python", "install", "--no-index", "--no-deps", wheel)
    return folder / "bin/python"


def in_environment(python: Path, code: str, isa: str | None = None) -> str:
    """Run code with the wheel; what it depends on is lent, which needs no index."""
    lent = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); {code}"
    variables = {key: value for key, value in os.environ.items() if key != "RTU_EDGE_ISA"}
    return run(python, "-c", lent, cwd="/", env=variables | ({"RTU_EDGE_ISA": isa} if isa else {}))


def test_it_installs_in_a_fresh_environment(environment: Path) -> None:
    """pip takes its tag."""
    printed = in_environment(environment, "import rtu_edge; print(rtu_edge.__file__)")
    assert printed.startswith(str(environment.parent.parent))
    assert (environment.parent / "rtu-edge").exists()


def test_it_chooses_the_instruction_set_of_a_source_build(environment: Path) -> None:
    """Whatever compiler: with zig, __builtin_cpu_supports would choose SSE2 everywhere."""
    printed = in_environment(environment, "from rtu_edge import _core; print(_core.isa, *_core.available_isas())")
    assert printed.split() == [_core.available_isas()[-1], *_core.available_isas()]


def test_it_learns_as_a_source_build_does(environment: Path) -> None:
    """The bits of the scalar kernels, which no compiler may contract."""
    learn = (
        "import numpy as np, rtu_edge as rtu; a = rtu.StreamAC(3, 1, units=9, hidden=7, seed=1);"
        "x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32);"
        "print(a.run(x, x[:, 0]).tobytes().hex())"
    )
    ours = subprocess.run(
        [sys.executable, "-c", learn], env={**os.environ, "RTU_EDGE_ISA": "scalar"}, capture_output=True, text=True
    )
    assert in_environment(environment, learn, "scalar") == ours.stdout != ""


def test_its_modules_export_their_start_alone(installed: Path) -> None:
    """An exported operator new of the C++ library inside would take the place of another module's."""
    modules = sorted((installed / "rtu_edge").glob("*.so"))
    exported = {
        path.name.partition(".")[0]: [symbol.name for symbol in symbols(path, dynamic=True) if symbol.kind not in "Uwv"]
        for path in modules
    }
    assert exported == {name: [f"PyInit_{name}"] for name in ("_bridge", "_core", "_testing")}


def test_every_file_is_recorded(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [record] = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
        assert [name for name, *_ in rows] == [name for name in archive.namelist() if name != record] + [record]
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            coded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={coded}", str(len(data))), name


def test_its_bill_of_materials_names_what_is_inside_and_what_pip_adds(installed: Path) -> None:
    [folder] = installed.glob("rtu_edge-*.dist-info")
    bill = json.loads((folder / "sboms/rtu_edge.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    told = Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
    assert bill["metadata"]["component"]["version"] == told["Version"]
    inside = {part["name"]: part for part in bill["components"] if "version" in part}
    assert set(inside) == {"cffi", "pybind11", "libcxx", "libcxxabi", "libunwind", "zig-compiler-rt"}
    assert inside["pybind11"]["version"] == importlib.metadata.version("pybind11")
    needed = [part["properties"][0]["value"] for part in bill["components"] if "version" not in part]
    assert needed == [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    [graph] = bill["dependencies"]
    assert graph["dependsOn"] == [part["bom-ref"] for part in bill["components"]]
    assert told.get_all("License-File") == ["LICENSE", *(f"compiled_in/{name}.txt" for name in inside)]
    assert all((folder / "licenses" / name).stat().st_size > 500 for name in told.get_all("License-File", []))


def test_order_and_dates_of_a_build_leave_no_trace(wheel: Path, tmp_path: Path) -> None:
    """`make release` compiles twice; here only what is written after the compilers."""
    sys.path.insert(0, str(ROOT / "tools"))
    import wheel_contents

    with zipfile.ZipFile(wheel) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if "/compiled_in/" not in name}
    own = next(name for name in kept if name.endswith("METADATA"))
    kept[own] = re.sub(rb"License-File: compiled_in.*\n", b"", kept[own])
    made = []
    for date in ((1990, 1, 1, 0, 0, 0), (2020, 2, 2, 2, 2, 2)):
        source = tmp_path / f"{date[0]}" / "rtu_edge-0.1.0-cp311-cp311-linux_x86_64.whl"
        source.parent.mkdir()
        with zipfile.ZipFile(source, "w") as archive:
            for name in sorted(kept, reverse=date[0] == 1990):
                archive.writestr(zipfile.ZipInfo(name, date), kept[name])
        made.append(wheel_contents.finish(source, "cp314t", "manylinux_2_28_x86_64", source.parent))
    assert {path.name for path in made} == {"rtu_edge-0.1.0-cp314-cp314t-manylinux_2_28_x86_64.whl"}
    assert made[0].read_bytes() == made[1].read_bytes()


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
