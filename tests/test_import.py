"""Importing the package is quick and loads no heavy or fragile module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "onnx",
    "onnxruntime",
    "gymnasium",
    "matplotlib",
    "torch",
    "jax",
    "scipy",
    "click",
    "rich",
    "serial",
    "mcap",
    "lz4",
    "zstandard",
)

PROBE = """
import sys, time
import numpy
start = time.thread_time()  # what others compute does not count, nor do the threads that numpy's OpenBLAS starts
import rtu_edge
rtu_edge.StreamAC, rtu_edge.footprint, rtu_edge.connect  # what is loaded late counts as well
took = time.thread_time() - start
import json
import os
print(json.dumps({"ms": took * 1e3, "modules": sorted(sys.modules)}))
"""


def probe(compiled: Path | None = None) -> dict[str, object]:
    """What an import of the package takes and loads; with `compiled` the byte code is kept there, as pip keeps it."""
    environment = dict(os.environ)
    if compiled is not None:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout))


@pytest.mark.timing
@pytest.mark.alone
def test_import_takes_at_most_60_ms_beyond_numpy(tmp_path: Path) -> None:
    best = min(float(str(probe(tmp_path)["ms"])) for _ in range(10))
    assert best <= 60, f"import rtu_edge took {best:.1f} ms beyond numpy"


def test_import_loads_nothing_heavy() -> None:
    modules = probe()["modules"]
    assert isinstance(modules, list)
    assert [name for name in HEAVY if name in modules] == []


def test_the_pytest_plugin_loads_nothing_but_itself() -> None:
    """Pytest imports it in every environment with the package, for any project's tests."""
    probe = (
        "import sys; before = set(sys.modules); import rtu_edge.hil.pytest_plugin; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", "import pytest; " + probe], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith(("rtu_edge", "numpy", "cffi", "msgspec"))}
    assert loaded == {
        "rtu_edge",
        "rtu_edge._base",
        "rtu_edge._base.version",
        "rtu_edge.hil",
        "rtu_edge.hil.pytest_plugin",
    }


def test_every_name_can_be_had() -> None:
    import rtu_edge
    import rtu_edge.hil

    for package in (rtu_edge, rtu_edge.hil):
        assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rtu_edge.nonsense  # type: ignore[attr-defined]


def test_the_face_of_the_package_is_small() -> None:
    import rtu_edge

    public = [name for name in dir(rtu_edge) if not name.startswith("_")]
    assert set(public) | {"__version__"} == set(rtu_edge.__all__) and len(public) <= 37
    assert all(getattr(rtu_edge, name) is not None for name in public)
    assert len((rtu_edge.__doc__ or "").splitlines()) <= 40


def test_version_is_the_same_everywhere() -> None:
    from importlib.metadata import version

    import rtu_edge

    assert rtu_edge.__version__ == version("rtu_edge")


def test_a_configuration_is_read_without_numpy_and_the_core() -> None:
    """An emergency stop reads one (docs/design_decisions.md, "Small install, quick import")."""
    probe = "import sys, rtu_edge.config, rtu_edge.tools.estop; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert {"numpy", "rtu_edge._core", "rtu_edge.learn.stream_ac", "cffi"} & set(done.stdout.split()) == set()
