"""The layers of native code, checked by tools: includes, and the symbols of freestanding objects."""

from __future__ import annotations

import re
from pathlib import Path

import package_layers
import pytest
from toolchain import (
    DEVICE_ROOMS,
    LEARN_ROOMS,
    LIBRARIES,
    LIBRARIES_BELOW,
    MEMORY_FUNCTIONS,
    ON_ARM,
    ROOT,
    build,
    mutable_globals,
    objects,
    run,
    sources,
    symbols,
    tool,
    unresolved,
)

# folder -> what it may include in addition to itself; dependencies point down (docs/design.md, "The waterline").
CRC32 = "firmware_bridge/protocol/crc32.h"
RUNTIME_ROOMS = tuple(f"native/runtime{room}" for room in ("", "/record", "/link", "/safety", "/loop"))
BELOW_LEARNERS = ("native/core", "native/kernels", "native/cells", "native/optim")
MAY_INCLUDE: dict[str, tuple[str, ...]] = {
    "firmware_bridge/protocol": (),
    "firmware_bridge/plants": tuple(f"firmware_bridge/protocol/{n}.h" for n in ("flash", "limit", "safe", "sizes")),
    "firmware_bridge/bridge": ("firmware_bridge/protocol", "firmware_bridge/plants"),
    "firmware_bridge/bus": ("firmware_bridge/protocol",),
    "firmware_bridge/boards": (*DEVICE_ROOMS, *LEARN_ROOMS),  # images: above both
    "native/core": (CRC32,),
    "native/kernels": ("native/core",),
    "native/cells": ("native/core", "native/kernels"),
    "native/optim": ("native/core", "native/kernels"),
    "native/learners": BELOW_LEARNERS,
    "native/runtime": LEARN_ROOMS,
    "native/runtime/record": ("native/runtime", CRC32),
    "native/runtime/link": ("native/runtime", "native/runtime/record", "firmware_bridge/protocol"),
    "native/runtime/safety": ("native/runtime", "native/runtime/record", *LEARN_ROOMS),
    "native/runtime/loop": (*RUNTIME_ROOMS, *LEARN_ROOMS, "firmware_bridge/protocol"),
    "native/testing": (*LEARN_ROOMS, *RUNTIME_ROOMS, "firmware_bridge/protocol"),
    "native/bindings/testing": (
        *LEARN_ROOMS,
        *RUNTIME_ROOMS,
        *DEVICE_ROOMS,
        "native/testing",
        "native/bindings",
    ),
    "native/bindings": (*LEARN_ROOMS, *RUNTIME_ROOMS, *DEVICE_ROOMS),
}
SYSTEM_HEADERS = {
    **dict.fromkeys(DEVICE_ROOMS, ("stdint.h", "stddef.h", "stdbool.h", "string.h")),
    **dict.fromkeys(LEARN_ROOMS, ("stdint.h", "stddef.h", "string.h")),
}
SUFFIXES = (".c", ".h", ".cpp")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)


def room_of(path: str) -> str | None:
    return max((room for room in MAY_INCLUDE if path.startswith(room + "/")), key=len, default=None)


def broken_includes(path: str, text: str) -> list[str]:
    """Return the invalid includes of a file; `path` is relative to the root."""
    room = room_of(path)
    if room is None:
        return [f"{path} is in no room of docs/design.md"]
    wrong = []
    for bracket, header in INCLUDE.findall(text):
        if bracket == "<":
            allowed = SYSTEM_HEADERS.get(room)
            if allowed is not None and header not in allowed:
                wrong.append(f"{path} includes <{header}>, below the waterline")
        elif not (ROOT / header).is_file():
            wrong.append(f'{path} includes "{header}", which is no path from the root of the repository')
        elif room_of(header) not in (room, *MAY_INCLUDE[room]) and header not in MAY_INCLUDE[room]:
            wrong.append(f'{path} includes "{header}": {room} may not know it')
    return wrong


def test_includes_go_downwards_only() -> None:
    files = sources("native", "firmware_bridge", suffixes=SUFFIXES)
    assert files
    assert [
        fault
        for path in files
        for fault in broken_includes(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("native/core/a.h", "#include <vector>"),
        ("native/kernels/a.cpp", "  #  include <math.h>"),
        ("native/core/a.h", '#include "native/runtime/policy.h"'),
        ("native/core/a.h", '#include "firmware_bridge/protocol/frame.h"'),
        ("firmware_bridge/protocol/a.c", '#include "firmware_bridge/bridge/bridge.h"'),
        ("firmware_bridge/bridge/a.c", "#include <stdio.h>"),
        ("firmware_bridge/bus/a.c", '#include "firmware_bridge/bridge/bridge.h"'),
        ("native/runtime/a.h", '#include "native/runtime/record/telemetry.h"'),
        ("native/runtime/record/a.h", '#include "native/runtime/link/link.h"'),
        ("native/runtime/link/a.cpp", '#include "native/runtime/safety/supervisor.h"'),
        ("native/runtime/safety/a.cpp", '#include "native/runtime/link/link.h"'),
        ("native/runtime/safety/a.cpp", '#include "firmware_bridge/protocol/frame.h"'),
        ("native/runtime/link/a.cpp", '#include "native/runtime/loop/loop.h"'),
        ("native/cells/a.h", '#include "a_header_that_is_not_there.h"'),
        ("native/runtime/a.h", '#include "native/testing/peers.h"'),
        ("native/bindings/python/a.cpp", '#include "native/testing/peers.h"'),
        ("native/shortcut/a.h", ""),
    ],
)
def test_a_broken_include_is_found(path: str, text: str) -> None:
    assert broken_includes(path, text)


def wrong_namespaces(path: str, text: str) -> list[str]:
    """Return the namespaces that a file of native/runtime opens and that are not its folder's."""
    expected = "::".join(["rtu", *path.split("/")[1:-1]])
    opened = re.findall(r"^namespace (rtu[\w:]*) \{$", text, re.MULTILINE)
    return [f"{path} opens {found}, its folder is {expected}" for found in opened if found != expected]


def test_a_folder_of_the_runtime_is_a_namespace_and_a_build_target() -> None:
    files = [path for path in sources("native/runtime", suffixes=SUFFIXES) if path.suffix != ".c"]
    assert [
        fault
        for path in files
        for fault in wrong_namespaces(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ] == []
    targets = re.findall(
        r"rtu_room\((\w+) CXX GLOBS (native/runtime[\w/]*)/\*\.cpp", (ROOT / "CMakeLists.txt").read_text()
    )
    assert targets == [(f"rtu_{room.rpartition('/')[2]}", room) for room in RUNTIME_ROOMS]
    assert {path.parent.relative_to(ROOT).as_posix() for path in files} == set(RUNTIME_ROOMS)


def test_a_foreign_namespace_is_found() -> None:
    assert wrong_namespaces("native/runtime/link/a.h", "namespace rtu::runtime::loop {\n")
    assert wrong_namespaces("native/runtime/link/a.h", "namespace rtu::runtime {\n")
    assert not wrong_namespaces("native/runtime/link/a.h", "namespace rtu::runtime::link {\n")


@pytest.fixture(scope="module")
def release() -> Path:
    return build("release", *LIBRARIES)


def below(release: Path) -> list[Path]:
    found = objects(release, *LIBRARIES_BELOW)
    assert found
    return found


def kernels(release: Path) -> dict[str, Path]:
    return {
        path.name.split(".")[0]: path
        for path in objects(release, "rtu_learn")
        if path.name.startswith(("isa_", "transform_"))
    }


def test_objects_below_the_waterline_call_nothing_of_an_operating_system(release: Path) -> None:
    """No malloc, new, throw, pthread, stdio, libm: nothing at all but the memory functions of <string.h>."""
    foreign = unresolved(below(release))
    allowed = MEMORY_FUNCTIONS | {"_GLOBAL_OFFSET_TABLE_"}
    assert {name: path for name, path in foreign.items() if name not in allowed} == {}


def test_objects_below_the_waterline_have_no_state(release: Path) -> None:
    assert {path.name: found for path in below(release) if (found := mutable_globals(path))} == {}


def test_kernel_units_share_no_code(release: Path) -> None:
    """A weak symbol (an inline function, a template) could be linked from the object of a newer instruction set."""
    found = kernels(release)
    assert found
    assert {name: [s.name for s in symbols(path) if s.kind in "VWuvw"] for name, path in found.items()} == {
        name: [] for name in found
    }


def wide_registers(path: Path) -> int:
    return len(re.findall(r"%[yz]mm\d", run(tool("objdump"), "-d", "--no-show-raw-insn", path)))


def test_only_avx_kernels_use_avx_registers(release: Path) -> None:
    everything = objects(release, *LIBRARIES)
    wide = {path.name.split(".")[0] for path in everything if wide_registers(path)}
    assert wide <= {"isa_avx2", "isa_avx512", "transform_avx2", "transform_avx512"}


PLANTED = {
    "malloc": 'extern "C" void* malloc(unsigned long);\nvoid* f();\nvoid* f() { return malloc(8); }',
    "new": "int* f();\nint* f() { return new int; }",
    "throw": "void f();\nvoid f() { throw 1; }",
    "pthread": "#include <pthread.h>\nint f(pthread_mutex_t* m) { return pthread_mutex_lock(m); }",
    "stdio": '#include <stdio.h>\nvoid f();\nvoid f() { puts(""); }',
    "sinf": 'extern "C" float sinf(float);\nfloat f(float x);\nfloat f(float x) { return sinf(x); }',
}


def compiled(folder: Path, text: str, *flags: str) -> Path:
    source = folder / "planted.cpp"
    source.write_text(text)
    run(tool("c++"), "-std=c++17", "-O2", "-fPIC", *flags, "-c", source, "-o", folder / "planted.o")
    return folder / "planted.o"


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_reference_is_found(what: str, tmp_path: Path) -> None:
    assert set(unresolved([compiled(tmp_path, PLANTED[what])])) - MEMORY_FUNCTIONS - {"_GLOBAL_OFFSET_TABLE_"}


@pytest.mark.parametrize(
    "text",
    [
        "int counter = 3;\nint f();\nint f() { return counter++; }",
        "static int counter;\nint f();\nint f() { return counter++; }",
        "int f();\nint f() { thread_local int counter; return counter++; }",
        "int g();\nint f();\nstatic const int start = g();\nint f() { return start; }",
    ],
)
def test_a_planted_global_is_found(text: str, tmp_path: Path) -> None:
    assert mutable_globals(compiled(tmp_path, text))


def test_a_planted_inline_function_is_found(tmp_path: Path) -> None:
    planted = compiled(tmp_path, "inline int f(int x) { return x; }\nint (*g())(int);\nint (*g())(int) { return f; }")
    assert [symbol.name for symbol in symbols(planted) if symbol.kind in "VWuvw"]


if not ON_ARM:

    def test_a_planted_wide_register_is_found(tmp_path: Path) -> None:
        text = "void f(float* x);\nvoid f(float* x) { for (int i = 0; i < 64; i++) x[i] *= 3.0f; }"
        assert wide_registers(compiled(tmp_path, text, "-mavx2", "-O3")) > 0
        assert wide_registers(compiled(tmp_path, text, "-O3")) == 0


# ---------------------------------------------------------------- the Python package


def test_the_package_is_drawn_as_it_is() -> None:
    shown = package_layers.drawing(package_layers.design())
    order = package_layers.levels(shown)
    real = package_layers.draw(order, [name for name in package_layers.modules() if name != package_layers.FACADE])
    assert shown == real, f"docs/design.md, Inside rtu_edge, has to show\n{real}"


def test_imports_of_the_package_point_down() -> None:
    """At the top of a file, inside functions and for types alike."""
    order = package_layers.levels(package_layers.drawing(package_layers.design()))
    assert package_layers.upward(order, package_layers.modules()) == []


def test_no_module_of_the_package_imports_itself_through_others() -> None:
    assert package_layers.circles(package_layers.modules()) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from rtu_edge.run import connect",
        "def later():\n    from rtu_edge.run.session import Session",
        "if TYPE_CHECKING:\n    from rtu_edge.config import Config",
        "import rtu_edge.cli",
        "import rtu_edge as rtu",
        "from rtu_edge import StreamAC",
        "from rtu_edge import envs",
        "from . import link",
        "from rtu_edge import _testing",
    ],
)
def test_an_import_that_points_up_is_found(planted: str) -> None:
    order = package_layers.levels(package_layers.drawing(package_layers.design()))
    texts = package_layers.modules()
    assert len(package_layers.upward(order, {**texts, "loop.planted": planted})) == 1
    assert package_layers.upward(order, {**texts, "loop.planted": "from rtu_edge.device import ports"}) == []
    assert package_layers.upward(order, {**texts, "elsewhere": ""}) == ["elsewhere: in no layer of docs/design.md"]


def test_a_circle_is_found() -> None:
    texts = package_layers.modules()
    texts["loop.one"] = "from rtu_edge.loop.two import x"
    texts["loop.two"] = "def f():\n    from rtu_edge.loop import three"
    texts["loop.three"] = "if TYPE_CHECKING:\n    from rtu_edge.loop.one import y"
    assert package_layers.circles(texts) == [["loop.one", "loop.three", "loop.two"]]
