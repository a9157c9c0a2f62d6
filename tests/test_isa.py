"""RTU_EDGE_ISA: every instruction set of this host can be forced, anything else fails at load with the reason."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from toolchain import ON_ARM

from rtu_edge import _core

NAMES = ("scalar", "sse2", "avx2", "avx512", "neon")
LANES = {"scalar": 1, "sse2": 4, "neon": 4, "avx2": 8, "avx512": 16}
STEP = """
import numpy as np, rtu_edge as rtu
from rtu_edge import _core
agent = rtu.StreamAC(3, 1, units=9, hidden=7, seed=1)
x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
print(_core.isa, _core.lanes, *agent.run(x, x[:, 0]).ravel())
"""


def python(code: str, isa: str | None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "RTU_EDGE_ISA"}
    if isa is not None:
        environment["RTU_EDGE_ISA"] = isa
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_every_machine_has_the_reference_and_its_own() -> None:
    available = _core.available_isas()
    assert available[0] == "scalar"
    assert set(available) <= set(NAMES)
    assert ("neon" if ON_ARM else "sse2") in available, "the baseline of the architecture"


@pytest.mark.parametrize("isa", [name for name in NAMES if name in _core.available_isas()])
def test_each_available_set_can_be_forced(isa: str) -> None:
    done = python(STEP, isa)
    assert done.returncode == 0, done.stderr
    name, lanes, *actions = done.stdout.split()
    assert (name, int(lanes)) == (isa, LANES[isa])
    reference = python(STEP, "scalar").stdout.split()[2:]
    # 50 learning steps apart in rounding only: tests/native/test_kernels.cpp states the tolerance, 2e-5 after 300.
    assert [float(a) for a in actions] == pytest.approx([float(a) for a in reference], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("isa", [None, ""])
def test_without_the_variable_the_widest_runs(isa: str | None) -> None:
    done = python("from rtu_edge import _core; print(_core.isa)", isa)
    assert done.stdout.strip() == _core.available_isas()[-1]


@pytest.mark.parametrize("isa", [name for name in NAMES if name not in _core.available_isas()])
def test_a_set_that_this_processor_lacks_is_refused(isa: str) -> None:
    done = python("from rtu_edge import StreamAC", isa)
    assert done.returncode == 1
    assert f"ImportError: RTU_EDGE_ISA={isa} is not " in done.stderr
    assert "for this architecture" in done.stderr or "supported by this processor" in done.stderr


@pytest.mark.parametrize("isa", ["avx", "AVX2", " avx2", "avx2,sse2", "best", "1"])
def test_an_unknown_name_is_refused(isa: str) -> None:
    done = python("from rtu_edge import StreamAC", isa)
    assert done.returncode == 1
    assert f"ImportError: RTU_EDGE_ISA={isa} is unknown; choose scalar, sse2, avx2, avx512 or neon" in done.stderr
