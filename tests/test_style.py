"""One style where clang-format has no rule: include guards, names of enumerators, suffixes of numbers.

- A header begins with `#pragma once`, whatever the language.
- An enumerator is kCamel in C++ and UPPER_CASE in C, and in the header that both read.
- A number's suffix is small (0.5f, 1u, 7ull); only the L of a signed long is not, which would look like a 1.
"""

from __future__ import annotations

import re

import pytest
from source_text import tracked, without_comments
from toolchain import ROOT

CXX_ALONE = ("native/", "tests/native/", "tests/fuzz/")
READ_BY_C = ("native/bindings/c/", "native/runtime/alloc_guard.h")
GUARD = re.compile(r"^#ifndef (\w+)\n#define \1\b", re.MULTILINE)
ENUM = re.compile(r"\benum\b(?:\s+(?:class|struct))?(?:\s+\w+)?(?:\s*:\s*[\w:]+)?\s*\{(.*?)\}", re.DOTALL)
ENUMERATOR = re.compile(r"(?:^|,)\s*([A-Za-z_]\w*)\s*(?==|,|$)")
SUFFIX = re.compile(
    r"(?<![\w.])(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?F|\d+[eE][-+]?\d+F|0[xX][\da-fA-F.]+[pP][-+]?\d+F"
    r"|(?:0[xX][\da-fA-F']+|\d[\d']*)(?:l+|U\w*|u\w*[UL]\w*))\b"
)


def is_cxx(path: str) -> bool:
    return path.endswith(".cpp") or (path.startswith(CXX_ALONE) and not path.startswith(READ_BY_C))


def slips(path: str, text: str) -> list[str]:
    """Name style violations: "native/a.h: enumerator ok"."""
    code = without_comments(text)
    found = []
    if path.endswith(".h") and (GUARD.search(code) or "#pragma once\n" not in code):
        found.append(f"{path}: no #pragma once")
    wanted = re.compile(r"k[A-Z]\w*" if is_cxx(path) else r"[A-Z][A-Z0-9_]*")
    for body in ENUM.findall(re.sub(r"^[ \t]*#.*$", "", code, flags=re.MULTILINE)):
        found += [f"{path}: enumerator {name}" for name in ENUMERATOR.findall(body) if not wanted.fullmatch(name)]
    return found + [f"{path}: number {number}" for number in SUFFIX.findall(code)]


def test_the_style_is_one() -> None:
    files = tracked((".c", ".h", ".cpp"))
    assert files
    assert [
        slip for path in files for slip in slips(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("native/a.h", "#ifndef A_H\n#define A_H\n#endif\n"),
        ("firmware_bridge/a.h", "int f(void);\n"),
        ("native/a.cpp", "enum class A : int { kOne = 1, two };\n"),
        ("native/a.cpp", "enum { kOne, TWO = 2 /* , kThree */ };\n"),
        ("firmware_bridge/a.c", "enum a { ONE, kTwo };\n"),
        ("native/bindings/c/a.h", "#pragma once\ntypedef enum { RTU_OK = 0, kBad } rtu_a;\n"),
        ("native/a.cpp", "float x = 0.5F;\n"),
        ("native/a.cpp", "float x = 1e-3F + 0x1p3F;\n"),
        ("firmware_bridge/a.c", "unsigned x = 1U << 3;\n"),
        ("native/a.cpp", "auto x = 0xFFULL;\n"),
        ("native/a.cpp", "auto x = 12l;\n"),
    ],
)
def test_a_slip_is_found(path: str, text: str) -> None:
    assert slips(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("native/a.h", "// A header.\n#pragma once\n#if defined(A)\n#define B 1u\n#endif\n"),
        ("native/a.cpp", "enum A : int { kOne = 1, kTwo };  // enum B { three };\n"),
        ("native/a.cpp", 'auto x = 0xFF, y = 0x7fu, z = 10L, w = 1ull; const char* s = "0.5F";\n'),
        ("firmware_bridge/a.c", "enum { TL_A = 1, TL_B2 };\nfloat x = 0.5f;\n"),
    ],
)
def test_what_is_no_slip_is_not(path: str, text: str) -> None:
    assert slips(path, text) == []
