"""The loop's thread and the threads that read its status, under ThreadSanitizer."""

from __future__ import annotations

import os
import shutil

import pytest
from toolchain import BUILD, ROOT, locked, run, sources, tool

FLAGS = ["-O1", "-g1", "-fsanitize=thread", "-ffp-contract=off", f"-I{ROOT}"]


@pytest.mark.parametrize("name", ["test_blackbox", "test_loop_ring", "test_loop_thread"])
def test_no_data_race(name: str) -> None:
    with locked(BUILD / "tests-thread") as folder:
        device = folder / "device.a"
        rooms = ("firmware_bridge/protocol", "firmware_bridge/plants", "firmware_bridge/bridge")
        c = sources(*rooms)
        cpp = [path for path in sources("native/runtime") if path.stem != "isa"]
        cpp.append(ROOT / "native/testing/linear_policy.cpp")
        everything = sources(*rooms, "native/runtime", "native/testing", suffixes=(".c", ".cpp", ".h"))
        newest = max(path.stat().st_mtime for path in everything)
        if not device.exists() or device.stat().st_mtime < newest:
            objects = [folder / "c", folder / "cpp"]  # files of both have the same names
            for place in objects:
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
            run(tool("cc"), "-std=c99", *FLAGS, "-c", *c, cwd=objects[0])
            run(tool("c++"), "-std=c++17", *FLAGS, "-c", *cpp, cwd=objects[1])
            device.unlink(missing_ok=True)
            run(tool("ar"), "qcs", device, *sorted(path for place in objects for path in place.glob("*.o")))
        program = folder / name
        run(tool("c++"), "-std=c++17", *FLAGS, ROOT / f"tests/native/{name}.cpp", device, "-o", program, "-lpthread")
    run(program, env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})
