"""The image for the emulated board is configured again when its folder was configured for another plant."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtu_edge.hil import qemu


@pytest.mark.parametrize(
    ("cached", "configured"),
    [
        ("TL_FIRMWARE_PLANT:STRING=servo\n", False),
        ("TL_FIRMWARE_PLANT:STRING=cartpole\n", True),
        ("RTU" + "_FIRMWARE_PLANT:STRING=servo\n", True),  # by a version that had another name for it
        (None, True),
    ],
)
def test_a_folder_of_another_plant_is_configured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: str | None, configured: bool
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(qemu, "_SOURCES", tmp_path)
    monkeypatch.setattr(qemu, "_run", commands.append)
    (tmp_path / "cmake").mkdir()
    (tmp_path / "cmake" / "cortex-m4.cmake").touch()
    folder = tmp_path / "build" / "stm32f405-servo"
    folder.mkdir(parents=True)
    (folder / "build.ninja").touch()
    if cached is not None:
        (folder / "CMakeCache.txt").write_text("CMAKE_BUILD_TYPE:STRING=\n" + cached)
    assert qemu.build_image("servo") == folder / "tl_stm32f405.elf"
    assert any("-DTL_FIRMWARE_PLANT=servo" in command for command in commands) == configured
    assert "--build" in commands[-1]
