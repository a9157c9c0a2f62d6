"""The firmware with a user's plant: rebuilt when one of its inputs has changed, and not otherwise."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from rtu_edge._base.errors import ConfigError, DeviceError
from rtu_edge.device.firmware import build_firmware
from rtu_edge.hil import ProcessTarget
from rtu_edge.loop import Link

TANK = Path(__file__).resolve().parent.parent / "examples" / "hil_project" / "tank.c"


def names(firmware: Path) -> list[str]:
    """The observations and actuators of an executable's device."""
    with ProcessTarget("tank", firmware=firmware) as target, Link(target) as link:
        link.handshake()
        return [row.name for row in link.sheet.channels]


def test_another_plant_is_built_in_the_place_of_the_first(tmp_path: Path) -> None:
    """Though its file is older than the executable."""
    tank, basin = tmp_path / "tank.c", tmp_path / "a basin" / "tank.c"
    basin.parent.mkdir()
    tank.write_text(TANK.read_text())
    basin.write_text(TANK.read_text().replace('{"level",', '{"depth",'))
    for path in (tank, basin):
        os.utime(path, (1e9, 1e9))
    out = build_firmware(tank, tmp_path / "out" / "firmware")
    first = names(out)
    assert "level" in first
    assert build_firmware(basin, out) == out
    assert names(out) == ["depth" if name == "level" else name for name in first]


def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, out = tmp_path / "tank.c", tmp_path / "firmware"
    plant.write_text(TANK.read_text())
    build_firmware(plant, out)
    started = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: started.append(a) or run(*a, **k))
    build_firmware(plant, out)
    assert not started
    plant.write_text(plant.read_text() + "/* another */\n")
    build_firmware(plant, out)
    assert len(started) == 1
    out.write_bytes(b"")  # what a killed copy leaves
    out.with_name("firmware.made-of").unlink()
    build_firmware(plant, out)
    assert len(started) == 2 and out.stat().st_size > 10_000


def test_what_cannot_be_built_is_said_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, out = tmp_path / "tank.c", tmp_path / "firmware"
    with pytest.raises(ConfigError, match=re.escape(f"{plant}: no such file")):
        build_firmware(plant, out)
    plant.write_text(TANK.read_text())
    build_firmware(plant, out)
    before = out.read_bytes()
    plant.write_text("int other;\n")
    with pytest.raises(DeviceError, match="it must define `const tl_plant tl_plant_own`"):
        build_firmware(plant, out)
    assert out.read_bytes() == before
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(DeviceError, match="no-such-compiler: no C compiler there"):
        build_firmware(plant, out)
