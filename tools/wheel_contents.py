"""What a finished wheel holds beyond the build: its tag, licences of what is compiled in, its bill of materials.

The bill (SBOM) is CycloneDX 1.6, in .dist-info/sboms (PEP 770). Entries are sorted and dated by the release, so that
the same sources give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
import uuid
import zipfile
from email.parser import Parser
from importlib.metadata import distribution, metadata, version
from importlib.util import find_spec
from pathlib import Path

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1767225600"))  # 2026-01-01: the same for each build of a version
LLVM = "Apache-2.0 WITH LLVM-exception"
ZIG = "ziglang"
TOOLS = ("ziglang", "scikit-build-core", "cmake", "ninja", "auditwheel")


def zig_folder() -> Path:
    spec = find_spec(ZIG)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def llvm_version() -> str:
    """Of the C++ library that zig links, from its own header."""
    text = (zig_folder() / "lib/libcxx/include/__config").read_text()
    found = re.search(r"# *define _LIBCPP_VERSION (\d+)", text)
    assert found, "libcxx/include/__config has no _LIBCPP_VERSION"
    number = int(found[1])
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def licence_of(name: str) -> str:
    [path] = [file for file in distribution(name).files or [] if file.name in ("LICENSE", "LICENSE.txt")]
    return path.read_text()


def compiled_in() -> list[dict[str, str]]:
    """Name, version, licence and its text of each library whose code is in the modules."""
    llvm = llvm_version()
    of_zig = zig_folder()
    libraries = [
        {
            "name": name,
            "version": version(name),
            "licence": metadata(name).get("License-Expression") or before_2025,
            "text": licence_of(name),
        }
        for name, before_2025 in (("cffi", "MIT"), ("pybind11", "BSD-3-Clause"))
    ]
    for name, text in (("libcxx", "lib/libcxx"), ("libcxxabi", "lib/libcxxabi"), ("libunwind", "lib/libunwind")):
        words = (of_zig / text / "LICENSE.TXT").read_text()
        libraries.append({"name": name, "version": llvm, "licence": LLVM, "text": words})
    words = (of_zig / "LICENSE").read_text()
    libraries.append({"name": "zig-compiler-rt", "version": version(ZIG), "licence": "MIT", "text": words})
    return libraries


def requirement(line: str) -> dict[str, object]:
    """A dependency that pip installs: named with its range, for no version of it is in the wheel."""
    name = re.split(r"[ <>=!~;\[(]", line, maxsplit=1)[0]
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}",
        "name": name,
        "purl": f"pkg:pypi/{name}",
        "scope": "required",
        "properties": [{"name": "rtu_edge:requirement", "value": line}],
    }


def bill(told_of: str, python: str, platform: str, libraries: list[dict[str, str]]) -> dict[str, object]:
    """The bill of materials of a wheel, from its METADATA."""
    told = Parser().parsestr(told_of)
    release = told["Version"]
    own = f"pkg:pypi/rtu-edge@{release}"
    inside = []
    for library in libraries:
        on_index = library["name"] in ("cffi", "pybind11")
        purl = f"pkg:{'pypi' if on_index else 'generic'}/{library['name']}@{library['version']}"
        kind = "expression" if " " in library["licence"] else "license"
        licence = (
            {"expression": library["licence"]} if kind == "expression" else {"license": {"id": library["licence"]}}
        )
        inside.append(
            {
                "type": "library",
                "bom-ref": purl + "#compiled-in",
                "name": library["name"],
                "version": library["version"],
                "purl": purl,
                "licenses": [licence],
                "properties": [{"name": "rtu_edge:linkage", "value": "compiled into the modules"}],
            }
        )
    needed = [requirement(line) for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    components = inside + needed
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{own}/{python}/{platform}')}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH)),
            "tools": {"components": [{"type": "application", "name": t, "version": version(t)} for t in TOOLS]},
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": "rtu_edge",
                "version": release,
                "purl": own,
                "licenses": [{"license": {"id": told["License-Expression"]}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [str(c["bom-ref"]) for c in components]}],
    }


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


def written(path: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """A zip archive in order of names, each file with its mode, all of one date."""
    date = time.gmtime(EPOCH)[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            data, mode = files[name]
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def finish(wheel: Path, python: str, platform: str, out: Path) -> Path:
    """Write the wheel to `out` for a Python ("cp311") and a platform ("manylinux_2_28_x86_64"); return its path."""
    with zipfile.ZipFile(wheel) as archive:
        files = {
            info.filename: (archive.read(info), 0o755 if info.external_attr >> 16 & 0o100 else 0o644)
            for info in archive.infolist()
            if not info.is_dir()
        }
    [record] = [name for name in files if name.endswith(".dist-info/RECORD")]
    folder = record.rpartition("/")[0]
    del files[record]

    abi = python
    interpreter = python.removesuffix("t")
    lines = files[f"{folder}/WHEEL"][0].decode().splitlines()
    lines = [line for line in lines if line and not line.startswith("Tag: ")]
    tag = f"{interpreter}-{abi}-{platform}"
    files[f"{folder}/WHEEL"] = ("\n".join([*lines, f"Tag: {tag}", ""]).encode(), 0o644)

    libraries = compiled_in()
    text = files[f"{folder}/METADATA"][0].decode()
    own = "License-File: LICENSE\n"
    assert own in text, "METADATA names no licence file"
    named = "".join(f"License-File: compiled_in/{library['name']}.txt\n" for library in libraries)
    files[f"{folder}/METADATA"] = (text.replace(own, own + named, 1).encode(), 0o644)
    for library in libraries:
        files[f"{folder}/licenses/compiled_in/{library['name']}.txt"] = (library["text"].encode(), 0o644)
    document = json.dumps(bill(text, python, platform, libraries), indent=2) + "\n"
    files[f"{folder}/sboms/rtu_edge.cdx.json"] = (document.encode(), 0o644)

    lines = [record_line(name, files[name][0]) for name in sorted(files)]
    files[record] = (("".join(lines) + f"{record},,\n").encode(), 0o644)
    name, release = wheel.name.split("-")[:2]
    made = out / f"{name}-{release}-{tag}.whl"
    written(made, files)
    return made
