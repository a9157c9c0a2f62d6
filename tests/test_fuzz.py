"""A short run of each fuzz target: the corpus, then a fixed number of mutations, with sanitizers.
Long runs: make fuzz.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path

import fuzzing
import pytest
from toolchain import ROOT, run

# A fault that each target has to find: a file, the correct text, and its faulty replacement.
FAULTS = {
    "wire": (
        "firmware_bridge/protocol/messages_control.c",
        "state->episode = tl_get_u16(p + 6)",
        "state->episode = tl_get_u16(p + 4)",
    ),
    "checkpoint": (
        "native/core/checkpoint.h",
        "if (!same_layout(table, header, data))",
        "if (header.layout_hash != layout_hash(table))",
    ),
    "device": (
        "firmware_bridge/bridge/table.c",
        "[TL_ON_CMD] = NO(LATCHED, ESTOP)",
        "[TL_ON_CMD] = GO(COMMAND, ESTOP)",
    ),
    "learner": (
        "firmware_bridge/boards/stm32f405/learner.cpp",
        "offset <= sizeof tl_learner_memory",
        "offset <= 2 * sizeof tl_learner_memory",
    ),
    "bus": (
        "firmware_bridge/bus/dynamixel.c",
        "index > TL_BUS_ID_MAX || at + 1 + data_size > packet->size)",
        "index > TL_BUS_ID_MAX || at + data_size > packet->size)",
    ),
    "link": ("native/runtime/link/link.cpp", "if (clock_.now() >= deadline_ns) ++late_reads;", ""),
}


def test_the_corpus_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("seeds", ROOT / "tests/fuzz/seeds.py")
    assert spec is not None and spec.loader is not None
    seeds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeds)
    assert set(seeds.SEEDS) == set(fuzzing.TARGETS)
    for target, make in seeds.SEEDS.items():
        folder = fuzzing.CORPUS / target
        stored = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(seeds.KEPT)}
        assert stored == make(), f"{target}: run tests/fuzz/seeds.py"


@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_no_crash(target: str, tmp_path: Path) -> None:
    runs = fuzzing.SHORT[target]
    result = fuzzing.fuzz(target, fuzzing.program(target), tmp_path, f"-runs={runs}", "-seed=1")
    assert result.passed, "\n".join(result.text.splitlines()[-60:])
    assert result.executions >= runs and result.edges > 100
    print(fuzzing.table([result]))


def with_fault(target: str, folder: Path) -> Path:
    """The target, compiled again with a fault in one of its files."""
    path, sound, faulty = FAULTS[target]
    text = (ROOT / path).read_text()
    assert text.count(sound) == 1, f"{path} has changed: plant another fault"
    planted = folder / path
    planted.parent.mkdir(parents=True)
    planted.write_text(text.replace(sound, faulty))
    build = fuzzing.program(target).parents[1]
    commands = {
        entry["file"]: shlex.split(entry["command"])
        for entry in json.loads((build / "compile_commands.json").read_text())
    }
    units = [f"tests/fuzz/fuzz_{target}.cpp"] + [path] * (str(ROOT / path) in commands)
    objects = []
    for unit in units:
        command = commands[str(ROOT / unit)]
        compiler = next(i for i, word in enumerate(command) if Path(word).name.startswith("clang"))
        objects.append(folder / f"{len(objects)}.o")
        source = planted if unit == path else ROOT / unit
        flags = command[compiler + 1 : command.index("-o")]
        run(command[compiler], "-I", folder, *flags, "-c", source, "-o", objects[-1], cwd=build)
    rooms = ("store", "simulated", "bridge", "bus", "plants", "protocol")
    libraries = [build / f"lib{name}.a" for name in ("fuzz_runtime", "fuzz_kernels", *(f"tl_{room}" for room in rooms))]
    run("clang++", "-fsanitize=fuzzer,address,undefined", *objects, *libraries, "-o", folder / "faulty")
    return folder / "faulty"


@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_a_fault_is_found(target: str, tmp_path: Path) -> None:
    result = fuzzing.fuzz(
        target, with_fault(target, tmp_path), tmp_path / "kept", f"-runs={fuzzing.SHORT[target]}", "-seed=1"
    )
    assert not result.passed
    assert list((tmp_path / "kept").glob("crash-*"))
