"""Everything below the waterline compiles for a Cortex-M4 by a bare-metal compiler that has no C++ standard library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from toolchain import (
    DEVICE_ROOMS,
    LEARN_ROOMS,
    MEMORY_FUNCTIONS,
    ROOT,
    mutable_globals,
    run,
    sections,
    sources,
    symbols,
    tool,
    unresolved,
)

PREFIX = "arm-none-eabi-"
CORE = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O2"]
FREESTANDING = ["-ffreestanding", "-ffunction-sections", "-fdata-sections", "-ffp-contract=off"]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
LANGUAGE = {
    ".c": ["gcc", "-std=c99"],
    ".cpp": [
        "g++",
        "-std=c++17",
        "-nostdinc++",
        "-fno-exceptions",
        "-fno-rtti",
        "-fno-threadsafe-statics",
        "-fno-math-errno",
    ],
}


def compile_for_cortex(source: Path, output: Path, *flags: str) -> Path:
    compiler, *language = LANGUAGE[source.suffix]
    common = [*language, *CORE, *FREESTANDING, *WARNINGS, *flags, f"-I{ROOT}"]
    run(tool(PREFIX + compiler), *common, "-c", source, "-o", output)
    return output


def is_ours(source: Path) -> bool:
    """Of the instruction sets' files, only the scalar one is for a Cortex-M."""
    return not source.name.startswith(("isa_", "transform_")) or source.stem.endswith("_scalar")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cortex-m4")
    made = [
        compile_for_cortex(source, folder / ("-".join(source.relative_to(ROOT).parts) + ".o"))
        for source in sources(*DEVICE_ROOMS, *LEARN_ROOMS)
        if is_ours(source)
    ]
    assert made
    return made


def test_it_compiles_and_says_bytes_per_symbol(
    objects: list[Path], record_property: Callable[[str, object], None]
) -> None:
    lines = []
    for path in objects:
        text = sum(size for name, size in sections(path, PREFIX).items() if name.startswith((".text", ".rodata")))
        lines.append(f"{text:8d}  {path.name.removesuffix('.o')}")
        found = sorted((s for s in symbols(path, PREFIX) if s.size), key=lambda s: -s.size)
        names = run(tool(PREFIX + "c++filt"), "--no-params", *(s.name for s in found)).splitlines() if found else []
        lines += [f"{s.size:8d}    {s.kind} {name}" for s, name in zip(found, names, strict=True)]
    record_property("table", "bytes of text and constants on a Cortex-M4, per file and symbol\n" + "\n".join(lines))
    assert all(path.stat().st_size for path in objects)


def test_it_needs_nothing_but_memory_functions_and_the_compilers_arithmetic(objects: list[Path]) -> None:
    foreign = unresolved(objects, PREFIX)
    assert {n: p for n, p in foreign.items() if n not in MEMORY_FUNCTIONS and not n.startswith("__aeabi_")} == {}


def test_it_has_no_mutable_globals(objects: list[Path]) -> None:
    assert {path.name: found for path in objects if (found := mutable_globals(path, PREFIX))} == {}


@pytest.mark.parametrize(
    "header", [p.relative_to(ROOT).as_posix() for p in sources(*DEVICE_ROOMS, *LEARN_ROOMS, suffixes=(".h",))]
)
def test_a_header_stands_alone(header: str, tmp_path: Path) -> None:
    """In C++, and in C99 where it is C."""
    for suffix in [".c", ".cpp"] if header.startswith("firmware_bridge") else [".cpp"]:
        source = tmp_path / f"only{suffix}"
        # Twice: it guards itself.
        source.write_text(f'#include "{header}"\n#include "{header}"\n')
        compile_for_cortex(source, tmp_path / "only.o")


@pytest.mark.parametrize(
    "line", ["#include <vector>", "#include <cstdint>", "void f() { throw 1; }", "long f(double x) { return x; }"]
)
def test_what_is_not_freestanding_does_not_compile(line: str, tmp_path: Path) -> None:
    (tmp_path / "planted.cpp").write_text(line + "\n")
    with pytest.raises(AssertionError, match="exit code"):
        compile_for_cortex(tmp_path / "planted.cpp", tmp_path / "planted.o")


def test_a_planted_heap_call_is_found(tmp_path: Path) -> None:
    (tmp_path / "planted.cpp").write_text("int* f();\nint* f() { return new int; }\n")
    assert "_Znwj" in unresolved([compile_for_cortex(tmp_path / "planted.cpp", tmp_path / "planted.o")], PREFIX)
