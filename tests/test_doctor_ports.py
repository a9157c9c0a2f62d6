"""Checks of ports, imports, instruction sets, the clock and the disk; the test gives what they measure or ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted_host import BY_NAME, FAIL, NOTE, OK, WARN, fits, found, plant, port, status

from rtu_edge.device.holders import Process
from rtu_edge.tools.doctor import Host, Imported, State, storage


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "state", "text"),
    [
        (0, "0", 0o660, OK, "root"),
        (1000, "1000 {gid}", 0o660, OK, "member of dialout"),
        (1000, "1000", 0o660, WARN, "no permission: "),
        (1000, "1000 {gid}", 0o640, WARN, "no permission: "),
        (1000, "1000", 0o666, NOTE, "not a member of dialout"),
    ],
)
def test_permission_on_ports(tmp_path: Path, uid: int, groups: str, mode: int, state: State, text: str) -> None:
    port(tmp_path, "ttyACM0", mode)
    owner = os.stat(tmp_path / "dev" / "ttyACM0")
    if owner.st_uid == 1000 or owner.st_gid == 1000:
        uid = uid and 1001
    planted = status(uid, groups.format(gid=owner.st_gid).replace("1000", str(uid)))
    host = plant(tmp_path, {"/etc/group": f"dialout:x:{owner.st_gid}:\n", "/proc/self/status": planted})
    finding = found(host, "port permission")
    assert (finding.state, text in finding.found) == (state, True), finding
    assert state is OK or fits(BY_NAME["port permission"].command, finding.commands[0])


def test_who_holds_a_port_is_named(tmp_path: Path) -> None:
    port(tmp_path, "ttyACM0", 0o660)
    host = plant(tmp_path, {})
    assert found(host, "port in use").found == "none of 1 ports is in use"
    evil = Process(812, 0, "screen\x1b[2J\nrm")
    held = Host(**{**vars(host), "holders": lambda path: [evil] if path.endswith("ttyACM0") else []})
    finding = found(held, "port in use")
    assert finding.state is WARN and "process 812 (screen" in finding.found
    assert fits(BY_NAME["port in use"].command, finding.commands[0])
    assert all(text.isprintable() for text in (finding.found, *finding.commands))


# ---------------------------------------------------------------- Python and storage

FLAGS = "model name\t: Some CPU\nflags\t\t: fpu sse2 avx2 fma"


@pytest.mark.parametrize(
    ("cpu", "isa", "forced", "state", "text"),
    [
        (FLAGS, "avx2", "", OK, "avx2, Some CPU"),
        (FLAGS, "sse2", "", WARN, "the processor has avx2"),
        (FLAGS, "scalar", "scalar", NOTE, "RTU_EDGE_ISA, and the processor has avx2"),
        (FLAGS + " hypervisor", "avx2", "", OK, "virtual machine"),
        (FLAGS + " avx512f avx512vl avx512dq avx512bw", "avx2", "", WARN, "has avx512"),
        (FLAGS + " avx512f", "avx2", "", OK, "avx2"),
        ("Features\t: fp asimd", "neon", "", OK, "neon"),
        ("Features\t: fp asimd", "scalar", "", WARN, "has neon"),
        (FLAGS, "", "", NOTE, "the native core was not loaded"),
    ],
)
def test_the_instruction_set_is_compared(
    tmp_path: Path, cpu: str, isa: str, forced: str, state: State, text: str
) -> None:
    host = plant(tmp_path, {"/proc/cpuinfo": cpu + "\n"})
    core = Imported(f"2.3.0 {isa} scalar {isa}") if isa else Imported(reason="no")
    finding = found(Host(**{**vars(host), "imported": lambda name: core, "environment_isa": forced}), "instruction set")
    assert (finding.state, text in finding.found) == (state, True), finding
    assert state is not WARN or fits(BY_NAME["instruction set"].command, finding.commands[0])


@pytest.mark.parametrize(
    ("name", "result", "state"),
    [
        ("core", Imported("2.3.0 avx2 scalar avx2"), OK),
        ("core", Imported(reason="the import crashes (signal SIGILL)"), FAIL),
        ("core", Imported("2.3.0 avx2", reason="its process dies at the end (signal SIGSEGV)"), WARN),
        ("onnxruntime", Imported("1.30.0"), OK),
        ("onnxruntime", Imported(reason="ModuleNotFoundError: ...", missing=True), NOTE),
        ("onnxruntime", Imported(reason="the import crashes (signal SIGILL)"), WARN),
        ("onnxruntime", Imported("1.30.0", reason="its process dies at the end (signal SIGSEGV)"), NOTE),
    ],
)
def test_imports_that_fail_are_findings(tmp_path: Path, name: str, result: Imported, state: State) -> None:
    finding = found(Host(**{**vars(plant(tmp_path, {})), "imported": lambda _: result}), name)
    assert finding.state is state
    assert result.reason in finding.found or result.missing
    if result.missing or state is FAIL:
        assert fits(BY_NAME[name].command, finding.commands[0])


@pytest.mark.parametrize(
    ("wall_s", "text"), [(5.0, "started before 1970"), (1e9, "before 2033-05-18 03:33 UTC, the date of files")]
)
def test_a_clock_that_cannot_be_right(tmp_path: Path, wall_s: float, text: str) -> None:
    host = plant(tmp_path, {"/proc/uptime": "9.5 9\n", "/usr/lib/clock-epoch": "", "/sys/class/rtc/rtc0/name": ""})
    os.utime(tmp_path / "usr/lib/clock-epoch", (2e9, 2e9))
    finding = found(Host(**{**vars(host), "wall_s": wall_s}), "clock")
    assert finding.state is WARN and text in finding.found


def test_the_shared_folder_has_to_be_for_every_user(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "rtu-edge"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    assert found(plant(tmp_path, {}), "temporary files").commands == ("sudo chmod 1777 /run/rtu-edge",)
    folder.chmod(0o1777)
    assert found(plant(tmp_path, {}), "temporary files").state is OK


@pytest.mark.parametrize(("seconds", "state", "syncs"), [(0.001, OK, 5), (0.2, NOTE, 3), (1.5, WARN, 1), (0.0, OK, 5)])
def test_the_disk_is_measured_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, state: State, syncs: int
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(storage.time, "perf_counter", lambda: now_s[0])

    def sync(handle: int) -> None:
        now_s[0] += seconds

    finding = storage.disk(Host(folder=tmp_path / "not" / "there"), sync)
    assert (finding.state, f"in {syncs} syncs" in finding.found) == (state, True), finding
    assert str(tmp_path) in finding.found and list(tmp_path.iterdir()) == []
    assert state is OK or finding.commands == (BY_NAME["disk"].command,)


def failing(handle: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_disk_that_takes_nothing_fails_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:  # as a file system without O_TMPFILE
        monkeypatch.setattr(storage.os, "O_TMPFILE", os.O_DIRECTORY | os.O_WRONLY, raising=False)
    assert storage.disk(Host(folder=tmp_path)).state is OK
    finding = storage.disk(Host(folder=tmp_path), failing)
    assert finding.state is FAIL and "No space left" in finding.found and finding.effect.startswith("no run can start")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails() -> None:
    finding = storage.disk(Host(folder=Path("/proc/self")))
    assert finding.state is FAIL and "/proc" in finding.found
