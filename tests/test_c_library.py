"""The installed C library: the examples in C, C++ and Rust build against it in an empty folder and learn; what it
exports; and its ABI, as tests/c_abi.txt records it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from toolchain import MEMORY_FUNCTIONS, ON_ARM, ROOT, build, run, symbols, tool

EXAMPLES = ROOT / "examples" / "c_library"
HEADER = (ROOT / "native" / "bindings" / "c" / "rtu_edge.h").read_text(encoding="utf-8")
COMMENTLESS = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
ABI = int(re.findall(r"#define RTU_EDGE_ABI (\d+)", HEADER)[0])
STRICT = ("-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
LINE = re.compile(r"learned to ([\d.]+) steps, loaded and driven for ([\d.]+), state [0-9a-f]{16}\n")


@dataclass(frozen=True)
class Package:
    """The prefix, and the environment of a user who names it."""

    prefix: Path
    environment: dict[str, str]

    def pkg_config(self, *options: str) -> list[str]:
        return run(tool("pkg-config"), *options, "rtu_edge", env=self.environment).split()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Installed into one folder and moved to another: nothing in it names the first."""
    folder = build("release", "rtu_edge", "rtu_edge_static")
    where = tmp_path_factory.mktemp("package")
    run(tool("cmake"), "--install", folder, "--component", "c", "--prefix", where / "first")
    prefix = (where / "first").rename(where / "moved")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    environment["CARGO_HOME"] = str(where / "cargo")
    return Package(prefix, environment)


@pytest.fixture(scope="module")
def learned(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """What each program printed. On x86-64 no compiler contracts float operations: all compute the same numbers."""
    found: set[str] = set()
    yield found
    assert len(found) == 1 or ON_ARM, found


def balances(program: Path, folder: Path, learned: set[str], environment: dict[str, str] | None = None) -> None:
    printed = run(program, folder / "pole.rtu", cwd=folder, env=environment)
    assert LINE.fullmatch(printed), printed
    learned.add(printed)


def libraries(program: Path) -> set[str]:
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", run(tool("readelf"), "-d", program)))


def test_c_and_cpp_by_cmake(package: Package, learned: set[str], tmp_path: Path) -> None:
    for name in ("CMakeLists.txt", "cartpole.c", "cartpole.cpp"):
        shutil.copy(EXAMPLES / name, tmp_path)
    options = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-DCMAKE_PREFIX_PATH={package.prefix}"]
    options += [f"-DCMAKE_{language}_FLAGS={' '.join(STRICT)}" for language in ("C", "CXX")]
    run(tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build", *options)
    run(tool("ninja"), "-C", tmp_path / "build", "-j", "1")
    for name in ("cartpole_c", "cartpole_cpp"):
        for form in ("", "_static"):
            program = tmp_path / "build" / f"{name}{form}"
            assert (f"librtu_edge.so.{ABI}" in libraries(program)) is (form == "")
            balances(program, tmp_path, learned)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_c_by_pkg_config(package: Package, learned: set[str], tmp_path: Path, compiler: str) -> None:
    command = [tool(compiler), "-std=c11", *STRICT, str(EXAMPLES / "cartpole.c"), *package.pkg_config("--cflags")]
    [folder] = package.pkg_config("--variable=libdir")
    run(*command, *package.pkg_config("--libs"), "-lm", "-o", tmp_path / "shared")
    run(*command, f"{folder}/librtu_edge.a", "-lm", "-o", tmp_path / "static")
    balances(tmp_path / "shared", tmp_path, learned, {**package.environment, "LD_LIBRARY_PATH": folder})
    balances(tmp_path / "static", tmp_path, learned)


def test_the_commands_of_the_document_link_and_learn(package: Package, learned: set[str], tmp_path: Path) -> None:
    """Word for word, with a home folder in which the library was installed with its command."""
    text = (ROOT / "docs" / "c_library.md").read_text(encoding="utf-8")
    [commands] = [block for block in re.findall(r"(?s)```sh\n(.*?)```", text) if "controller" in block]
    (tmp_path / "rtu_edge").symlink_to(package.prefix)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    printed = run("sh", "-euc", commands, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    first, second = printed.splitlines(keepends=True)
    assert first == second and LINE.fullmatch(first), printed
    learned.add(first)


def test_rust_by_cargo(package: Package, learned: set[str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES / "rust", tmp_path / "rust", ignore=shutil.ignore_patterns("target")))
    program = folder / "target" / "release" / "cartpole"
    for form in ({}, {"RTU_EDGE_STATIC": "1"}):
        environment = {**package.environment, **form, "RUSTFLAGS": "-Dwarnings"}
        run(tool("cargo"), "build", "--release", "--offline", "--quiet", cwd=folder, env=environment)
        assert (f"librtu_edge.so.{ABI}" in libraries(program)) is not bool(form)
        balances(program, tmp_path, learned)


def test_another_minor_version_is_refused(package: Package, tmp_path: Path) -> None:
    asks = "cmake_minimum_required(VERSION 3.16)\nproject(asks NONE)\nfind_package(rtu_edge 0.0.9 REQUIRED)\n"
    (tmp_path / "CMakeLists.txt").write_text(asks)
    command = [tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={package.prefix}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "compatible with requested" in done.stderr


# ---------------------------------------------------------------- what is in it


def functions() -> set[str]:
    return set(re.findall(r"\b(rtu_(?:agent|edge)_\w+)\(", COMMENTLESS))


def test_only_the_interface_is_visible(package: Package, tmp_path: Path) -> None:
    """Also in the static library, which needs neither the C++ library nor threads."""
    run(tool("ar"), "x", package.prefix / "lib" / "librtu_edge.a", cwd=tmp_path)
    for path in (package.prefix / "lib" / "librtu_edge.so", tmp_path / "rtu_edge.o"):
        listed = [symbol for symbol in symbols(path, dynamic=path.suffix == ".so") if symbol.kind != "w"]
        assert {symbol.name for symbol in listed if symbol.kind.isupper() and symbol.kind != "U"} == functions()
        needed = {symbol.name.partition("@")[0] for symbol in listed if symbol.kind == "U"}
        assert needed <= MEMORY_FUNCTIONS | {"_GLOBAL_OFFSET_TABLE_"}
    assert libraries(package.prefix / "lib" / "librtu_edge.so") == {"libc.so.6"}


def test_the_library_is_named_after_its_abi(package: Package) -> None:
    listed = run(tool("readelf"), "-d", package.prefix / "lib" / "librtu_edge.so")
    assert re.findall(r"\(SONAME\).*\[(.*)\]", listed) == [f"librtu_edge.so.{ABI}"]
    rust = (EXAMPLES / "rust" / "src" / "rtu_edge.rs").read_text(encoding="utf-8")
    assert f"const ABI: i32 = {ABI};" in rust


def interface() -> list[str]:
    """The header's declarations, one a line: fields in their order, constants, functions."""
    text = re.sub(r"(?m)^#(?!define RTU_(AGENT_ALIGNMENT|LAYERS_MAX)).*$", "", COMMENTLESS)
    text = re.sub(r"\s+", " ", text)
    found = re.findall(r"#define (RTU_\w+ \d+)", text)
    found += [constant.strip() for body in re.findall(r"\benum \{(.*?)\}", text) for constant in body.split(",")]
    [fields] = re.findall(r"typedef struct rtu_agent_config \{(.*?)\}", text)
    found += [f"field {field.strip()}" for field in fields.split(";") if field.strip()]
    return found + [declared.strip() for declared in re.findall(r"RTU_API (.*?);", text)]


def test_the_abi_is_raised_with_the_interface() -> None:
    number, *recorded = (ROOT / "tests" / "c_abi.txt").read_text(encoding="utf-8").splitlines()
    assert number == f"RTU_EDGE_ABI {ABI}", "write the new interface() below the new number"
    current = interface()
    fields = [[line for line in lines if line.startswith("field ")] for lines in (recorded, current)]
    gone = [line for line in recorded if line not in current]
    assert not gone, f"changed since RTU_EDGE_ABI {ABI}, so raise it: {gone}"
    assert fields[0] == fields[1], f"rtu_agent_config has another layout than with RTU_EDGE_ABI {ABI}, so raise it"
    assert current == recorded, "only added to: write interface() into tests/c_abi.txt, under the same number"


def test_the_option_builds_the_library_alone(tmp_path: Path) -> None:
    """With the generator that a user gets, as far as a dry run goes: a target may need libraries of others alone, for
    make knows the objects of each target only there.
    """
    run(tool("cmake"), "-G", "Unix Makefiles", "-DRTU_EDGE_C=ON", "-S", ROOT, "-B", tmp_path)
    english = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run([tool("make"), "-nk", "-C", tmp_path], capture_output=True, text=True, env=english)
    compiled = re.findall(r"-o CMakeFiles/(\w+)\.dir", done.stdout)
    assert set(compiled) == {"tl_protocol", "rtu_learn", "rtu_runtime", "rtu_c"}
    missing = re.findall(r"No rule to make target '(.*?)'", done.stderr)
    assert all(re.fullmatch(r"lib\w+\.a", name) for name in missing), missing
