"""The loop's thread and the threads that read its status, under ThreadSanitizer."""

from __future__ import annotations

import os

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
            for path in folder.glob("*.o"):
                path.unlink()
            run(tool("cc"), "-std=c99", *FLAGS, "-c", *c, cwd=folder)
            run(tool("c++"), "-std=c++17", *FLAGS, "-c", *cpp, cwd=folder)
            device.unlink(missing_ok=True)
            run(tool("ar"), "rcs", device, *sorted(folder.glob("*.o")))
        program = folder / name
        run(tool("c++"), "-std=c++17", *FLAGS, ROOT / f"tests/native/{name}.cpp", device, "-o", program, "-lpthread")
    run(program, env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})
