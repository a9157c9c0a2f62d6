"""The test programs in C and C++ (tests/native, tests/firmware), as released and with sanitizers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toolchain import LIBRARIES, ROOT, build, build_program, run, sources

PROGRAMS = [
    p.relative_to(ROOT / "tests") for p in sources("tests/native", "tests/firmware") if p.stem.startswith("test_")
]
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


# First, so that the time to compile them without a cache (minutes on a busy host) does not count as a program's.
@pytest.mark.parametrize("kind", ["release", "sanitize"])
def test_libraries_compile(kind: str) -> None:
    # No program links rtu_instances: tools inspect it as released.
    build(kind, *(name for name in LIBRARIES if kind == "release" or name != "rtu_instances"))


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
@pytest.mark.parametrize("kind", ["release", "sanitize"])
def test_program(program: Path, kind: str) -> None:
    executable = build_program(kind, program)
    print(run(executable, cwd=ROOT, env={**os.environ, **SANITIZER_OPTIONS}))
