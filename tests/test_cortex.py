"""All freestanding code compiles for a Cortex-M4 with a bare-metal compiler without a C++ standard library."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from toolchain import (
    DEVICE_ROOMS,
    LEARN_ROOMS,
    LIBRARIES_BELOW,
    MEMORY_FUNCTIONS,
    ROOT,
    build,
    mutable_globals,
    objects,
    run,
    sections,
    sources,
    symbols,
    tool,
    unresolved,
)

PREFIX = "arm-none-eabi-"


@pytest.fixture(scope="module")
def folder() -> Path:
    """The build by cmake/cortex-m4.cmake, with warnings as errors."""
    return build("cortex-m4", *LIBRARIES_BELOW)


@pytest.fixture(scope="module")
def compiled(folder: Path) -> list[Path]:
    found = objects(folder, *LIBRARIES_BELOW)
    assert {"freestanding.cpp", "isa_scalar.cpp", "crc32.c"} <= {path.stem for path in found}
    return found


def compile_as(folder: Path, source: Path) -> Path:
    """Compile a file with the flags of the build."""
    table = json.loads((folder / "compile_commands.json").read_text())
    model = {".c": "crc32.c", ".cpp": "freestanding.cpp"}[source.suffix]
    entry = next(entry for entry in table if entry["file"].endswith("/" + model))
    command = shlex.split(entry["command"])
    output = source.with_suffix(".o")
    command[command.index("-o") + 1] = str(output)
    command[command.index("-c") + 1] = str(source)
    run(*command, cwd=entry["directory"])
    return output


def test_it_compiles_and_says_bytes_per_symbol(
    compiled: list[Path], record_property: Callable[[str, object], None]
) -> None:
    lines = []
    for path in compiled:
        text = sum(size for name, size in sections(path, PREFIX).items() if name.startswith((".text", ".rodata")))
        lines.append(f"{text:8d}  {path.stem}")
        found = sorted((s for s in symbols(path, PREFIX) if s.size), key=lambda s: -s.size)
        names = run(tool(PREFIX + "c++filt"), "--no-params", *(s.name for s in found)).splitlines() if found else []
        lines += [f"{s.size:8d}    {s.kind} {name}" for s, name in zip(found, names, strict=True)]
    record_property("table", "bytes of text and constants on a Cortex-M4, per file and symbol\n" + "\n".join(lines))
    assert all(path.stat().st_size for path in compiled)


def test_it_needs_nothing_but_memory_functions_and_the_compilers_arithmetic(compiled: list[Path]) -> None:
    foreign = unresolved(compiled, PREFIX)
    assert {n: p for n, p in foreign.items() if n not in MEMORY_FUNCTIONS and not n.startswith("__aeabi_")} == {}


def test_it_has_no_mutable_globals(compiled: list[Path]) -> None:
    assert {path.name: found for path in compiled if (found := mutable_globals(path, PREFIX))} == {}


@pytest.mark.parametrize(
    "header", [p.relative_to(ROOT).as_posix() for p in sources(*DEVICE_ROOMS, *LEARN_ROOMS, suffixes=(".h",))]
)
def test_a_header_stands_alone(header: str, folder: Path, tmp_path: Path) -> None:
    """In C++, and in C99 where it is C."""
    for suffix in [".c", ".cpp"] if header.startswith("firmware_bridge") else [".cpp"]:
        source = tmp_path / f"only{suffix}"
        # Twice: it guards itself.
        source.write_text(f'#include "{header}"\n#include "{header}"\n')
        compile_as(folder, source)


@pytest.mark.parametrize(
    "line", ["#include <vector>", "#include <cstdint>", "void f() { throw 1; }", "long f(double x) { return x; }"]
)
def test_what_is_not_freestanding_does_not_compile(line: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "planted.cpp").write_text(line + "\n")
    with pytest.raises(AssertionError, match="exit code"):
        compile_as(folder, tmp_path / "planted.cpp")


def test_a_planted_heap_call_is_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "planted.cpp").write_text("int* f();\nint* f() { return new int; }\n")
    assert "_Znwj" in unresolved([compile_as(folder, tmp_path / "planted.cpp")], PREFIX)
