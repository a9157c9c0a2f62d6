"""Writes tests/golden/formats: one small file of every kind, and what reading it has to give: python tests/golden/make_formats.py.

Checkpoints of every learner, two run folders and a log, bytes on the wire of every plant, answers of a control socket.
expected.json says what a reader has to find in them. The files stay as they are for ever: a new version adds files of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FORMATS = HERE / "formats"
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
ISA = "scalar"  # any x86-64 can be asked for it, so these files can be replayed to the bit on all of them

CELLS = ("linear", "nonlinear", "none")
RULES = ("obgd", "sgd", "adam")
STEPS = 60

ROBOT = """
[device]
plant = "{plant}"
[loop]
clock = "{clock}"
[log]
blackbox_minutes = {minutes}
hash_every = 50
[learner]
units = 4
hidden = [4]
[learner_monitor]
snapshot_steps = 100
validation_steps = 50
[run]
folder = "runs"
{more}
"""
REAL_TIME = (
    'learner.cell="nonlinear"',
    "learner.normalize_observation=false",
    "limits.torque={min=-1.5, max=2, slew_per_s=30}",
    "loop.ttl_ms=1000",
)
BY_TURNS = 'learner.actions="discrete"', "run.steps=500", 'supervisor={mode="ab", ab={block=60}}'
PD = 'fallback={kind="pd", pd={force={p={x=-1.0, theta=-60.0}, d={x=-2.0, theta=-10.0}}}}'


def main() -> None:
    if os.environ.get("RTU_EDGE_ISA") != ISA:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "RTU_EDGE_ISA": ISA})
    if FORMATS.exists():
        sys.exit(f"{FORMATS} is there, and stays: a new version adds files of its own")
    expected: dict[str, Any] = {"machine": platform.machine(), "isa": ISA, "within": {}}
    expected["checkpoints"] = dict(checkpoints())
    with a_machine_without_name(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        expected["runs"] = dict(runs(Path(folder)))
    expected["wire"] = dict(wires())
    expected["control"] = control_answers()
    expected["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(all_files().items())}
    (FORMATS / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def all_files() -> dict[str, bytes]:
    return {
        path.relative_to(FORMATS).as_posix(): path.read_bytes()
        for path in FORMATS.rglob("*")
        if path.is_file() and path.name != "expected.json"
    }


# ---------------------------------------------------------------- checkpoints


def learners() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and configuration; rules and normalising go round, so that each meets each learner."""
    kinds = ("continuous", "discrete", "predictor", "regressor")
    for turn, (kind, cell, dtype) in enumerate(itertools.product(kinds, CELLS, ("float32", "float64"))):
        common = {"cell": cell, "dtype": dtype, "units": 4, "hidden": [2], "seed": turn}
        common |= {"optimizer": RULES[turn % 3], "normalize_observation": turn // 2 % 2 == 0}
        common |= {"units_per_pole": 2} if cell == "linear" else {}
        yield f"{kind}-{cell}-{dtype}", {**common, **own(kind, turn)}


def own(kind: str, turn: int) -> dict[str, Any]:
    if kind == "predictor":
        return {"kind": "td_predictor", "observation_size": 3}
    if kind == "regressor":
        return {"kind": "online_regressor", "observation_size": 3, "n_outputs": 2}
    body = {"body": "shared" if turn % 2 else "separate", "recompute": turn % 3 == 0, "dt_s": 0.02}
    actions = {"action_size": 2} if kind == "continuous" else {"n_actions": 3}
    return {"kind": "stream_ac", "observation_size": 3, **actions, **body}


def stream() -> dict[str, Any]:
    """What every learner is driven with: STEPS steps before it is saved, and as many after."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2 * STEPS, 3)).astype(np.float32)
    x[:, 2] = 0.25  # a channel that does not move
    terminated = np.arange(1, 2 * STEPS + 1) % 23 == 0
    return {
        "x": x,
        "reward": rng.standard_normal(2 * STEPS),
        "target": rng.standard_normal((2 * STEPS, 2)),
        "terminated": terminated,
    }


def drive(agent: Any, given: Any, part: slice) -> Any:
    """Actions, values or predictions over a part of the stream."""
    x = given["x"][part].astype(agent.dtype)
    kind = agent.config["kind"]
    if kind == "stream_ac":
        return agent.run(x, given["reward"][part], given["terminated"][part])
    if kind == "td_predictor":
        return agent.run(x, given["reward"][part])
    return agent.run(x, given["target"][part].astype(agent.dtype))[0]


def checkpoints() -> Iterator[tuple[str, Any]]:
    from rtu_edge import learn as agents

    folder = FORMATS / "checkpoints"
    folder.mkdir(parents=True)
    given = stream()
    after = {}
    for name, config in learners():
        agent = agents.make(config)
        drive(agent, given, slice(0, STEPS))
        agent.save(folder / f"{name}.rtu")
        saved = {"state": agent.state_hash(), "normalizer": normalizer(agent)}
        after[name] = drive(agent, given, slice(STEPS, None))
        yield name, {**saved, "after": agent.state_hash()}
    np.savez_compressed(folder / "stream.npz", **given)
    np.savez_compressed(folder / "after.npz", **after)


def normalizer(agent: Any) -> Any:
    return (
        {name: np.asarray(value).tolist() for name, value in agent.normalizer.items()}
        if agent.config["normalize_observation"]
        else None
    )


# ---------------------------------------------------------------- runs


@contextlib.contextmanager
def a_machine_without_name() -> Iterator[None]:
    from unittest.mock import patch

    from rtu_edge.record import folder

    with patch.object(platform, "release", lambda: "0"), patch.object(folder, "_processor", lambda: "a processor"):
        yield


def runs(where: Path) -> Iterator[tuple[str, Any]]:
    """`run --sim`, real time on a simulated device, and by turns with a fallback (of that one the log alone)."""
    in_lockstep = ROBOT.format(plant="cartpole", clock="lockstep", minutes=0.1, more="steps = 700\nseed = 3")
    in_time = ROBOT.format(plant="pendulum", clock="device", minutes=0.1, more="seconds = 6\nseed = 4")
    yield "sim", run(where, "sim", in_lockstep, "--sim", *changed(PD))
    yield "realtime", run(where, "realtime", in_time, *changed(*REAL_TIME))
    yield "turns", run(where, "turns", in_lockstep, *changed(*BY_TURNS, PD), only="log.mcap")


def changed(*changes: str) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


def run(where: Path, name: str, text: str, *options: str, only: str = "") -> Any:
    from rtu_edge import cli

    (where / f"{name}.toml").write_text(text)
    try:
        cli.main(["run", f"{name}.toml", *options])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 0, f"{name}: exit code {code}"
    folder = FORMATS / "runs" / name
    folder.mkdir(parents=True)
    for path in (where / "runs" / name).iterdir():
        if path.name == only or (not only and path.name != "report.html"):
            shutil.copy(path, folder / path.name)
    return found_in(folder)


def found_in(folder: Path) -> Any:
    """What its files hold; tests/test_golden.py reads them again."""
    from rtu_edge.learn import checkpoint
    from rtu_edge.record import RunFolder, blackbox
    from rtu_edge.record.old_formats import TELEMETRY, load_arrays
    from rtu_edge.record.reader import read_log

    log = read_log(folder / "log.mcap")
    assert not log.cut and not log.lost and log.start is not None and log.end is not None
    found: dict[str, Any] = {
        "records": len(log.records),
        "record_bytes": digest(log.records.tobytes()),
        "episodes": len(log.episodes),
        "start": log.head.start_hash,
        "end": log.end["state_hash"],
        "hashes": int((log.records["state_hash"] != 0).sum()),
    }
    if not (folder / "summary.json").exists():
        return found
    with RunFolder(folder) as run_folder:
        box = blackbox.read(folder / "blackbox.rtubox")
        arrays = (
            load_arrays(folder / TELEMETRY) if (folder / TELEMETRY).exists() else {}
        )  # until log.mcap was the record
        found["box"] = {"records": len(box.records), "record_bytes": digest(box.records.tobytes())}
        found["arrays"] = {key: [str(value.dtype.names), len(value)] for key, value in arrays.items()}
        found["events"] = [event["event"] for event in run_folder.events()]
        found["summary"] = run_folder.load_summary().state_hash
        data = (folder / "checkpoint.rtu").read_bytes()
        found["text"] = checkpoint.read_text(data)
        found["beside"] = len(checkpoint.read_beside(data))
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# ---------------------------------------------------------------- wire


def conversation(n: int, session: int, lockstep: bool) -> Iterator[Any]:
    """Messages of a host, None for a tick that is due, bytes for noise: through every state of the device."""
    from rtu_edge.device import protocol as wire

    yield None
    yield from (wire.Hello(), wire.Ping(12345), *(wire.Describe(index) for index in range(n + 1)))
    yield wire.Arm(session, lockstep)
    if not lockstep:
        yield from (None, None)
    yield wire.Reset(session, 1, 42)
    yield None
    for step in range(12):
        yield ("cmd", 0.15 * step - 0.9)
        yield None
    yield b"\x00noise\xff\x00\x05"
    yield wire.Cmd(session, 0, 60, (9e9,), lockstep=lockstep)
    yield wire.Param(0)
    yield from (wire.Estop(), None, wire.Arm(session + 1, lockstep), wire.ClearFault(), None)
    yield from (wire.Arm(session + 1, lockstep), wire.Reset(session + 1, 2, 43), None, ("cmd", 0.5), None)
    yield from (wire.Disarm(), None, wire.Disarm(), wire.Hello())


def wires() -> Iterator[tuple[str, Any]]:
    """A line for each time that something happens to the device: us, host's bytes or null for a tick, device's bytes."""
    from rtu_edge.device import plants

    folder = FORMATS / "wire"
    folder.mkdir()
    for name in plants.names():
        for clock in ("lockstep", "device"):
            lines = transcript(name, clock == "lockstep")
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            (folder / f"{name}-{clock}.jsonl").write_text(text)
            yield f"{name}-{clock}", len(lines)
    sent, received = lockstep_session()
    (folder / "sent.bin").write_bytes(sent)
    (folder / "received.bin").write_bytes(received)
    yield "session", [len(sent), len(received)]


def transcript(name: str, lockstep: bool) -> list[Any]:
    from rtu_edge.device import plants
    from rtu_edge.device import protocol as wire
    from rtu_edge.device.simulated import InProcessDevice

    now, seq, lines = 5_000_000, 0, []
    device = InProcessDevice(name, now_us=now, boot_id=9, seed=1)
    reach = plants.sheet(name).actuators[0].max
    session = 1
    for item in conversation(len(plants.sheet(name).observations), 1, lockstep):
        given: bytes | None = item if isinstance(item, bytes) else None
        if item is None:
            now = max(device.due_us, now)
            answer = device.tick(now)
        else:
            now += 150
            if not isinstance(item, bytes):
                session = item.session if isinstance(item, wire.Arm) else session
                seen = device.bridge.virtual_us if lockstep else now
                if isinstance(item, tuple):
                    item = wire.Cmd(session, seen & 0xFFFFFFFF, 60, (reach * item[1],), lockstep=lockstep)
                seq += 1
                given = wire.encode(wire.pack(item, seq, now & 0xFFFFFFFF))
            assert given is not None
            answer = device.receive(given, now)
        lines.append([now, None if given is None else given.hex(), answer.hex()])
    return lines


def lockstep_session() -> tuple[bytes, bytes]:
    """Both ways of a session that the native loop drives in lockstep, with a fixed controller."""
    from rtu_edge import _testing
    from rtu_edge.device.ports import open_port
    from rtu_edge.device.simulated import SimulatedDevice
    from rtu_edge.loop import Link, Loop, LoopConfig

    with (
        SimulatedDevice("cartpole") as device,
        open_port(device.port) as port,
        Link(port, capture_bytes=1 << 20) as link,
    ):
        link.handshake()
        policy = _testing.LinearPolicy(2, [0.0], [[0.5, 6.0]])
        Loop(link, policy.policy(), LoopConfig(steps=60, seed=5, session=7, learn=False, explore=False)).run(
            poll_s=0.01
        )
        return link.captured


# ---------------------------------------------------------------- control socket


def control_answers() -> dict[str, Any]:
    """What the owner of a port answers, word for word: its process number is 1 here."""
    import socket

    from rtu_edge.device.ports import open_port
    from rtu_edge.device.simulated import SimulatedDevice
    from rtu_edge.loop import Link

    def ask(path: str, command: str) -> list[str]:
        """Lines until the one that answers."""
        last = {"nothing": "error"}.get(command, command.split()[0])
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("r") as answers:
            connection.settimeout(5.0)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            lines = []
            for line in answers:
                answer = json.loads(line)
                lines.append(json.dumps({**answer, "pid": 1} if "pid" in answer else answer))
                if answer["event"] == last:
                    break
            return lines

    with tempfile.TemporaryDirectory() as folder, SimulatedDevice("cartpole", boot_id=1) as device:
        path = f"{folder}/x.sock"
        with open_port(device.port) as port, Link(port, control=path) as link:
            link.handshake()
            return {command: ask(path, command) for command in ("status", "arm 5", "nothing", "estop")}


if __name__ == "__main__":
    main()
