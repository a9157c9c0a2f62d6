"""Late ticks of a run, with and without `rtu-edge watch`, in pairs.

    python -m benchmarks.watched                       # 9 pairs of 20 s: benchmarks/results/watched.json
    python -m benchmarks.watched --realtime            # watched-realtime.json
    python -m benchmarks.watched --pairs 3 --seconds 5 --no-save

A simulated cart-pole at 50 Hz on the host's clock. In a pair one run is alone, the other is watched by `rtu-edge watch`
with all three outputs; which of them is first alternates. The viewers are absent, slow (a few bytes, or one message, in
0.1 s) or full (connected, and never read) by turns. A tick is late by what its step began after its time.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.measure import RESULTS, host_facts
from rtu_edge.record import RunFolder
from rtu_edge.record.reader import read_log

VIEWERS = ("absent", "slow", "full")
LATE_MS = 1.0
ROBOT = """
[device]
plant = "cartpole"
[loop]
realtime = {realtime}
ttl_ms = 200
[run]
folder = "{folder}"
seconds = {seconds}
"""


def command(*arguments: str | Path) -> list[str]:
    """A command of the package, by this Python."""
    return [sys.executable, "-m", "rtu_edge.cli", *map(str, arguments)]


@contextlib.contextmanager
def watch(folder: Path, kind: str) -> Iterator[None]:
    """`rtu-edge watch` of a run that is still to start, and its viewers."""
    with contextlib.ExitStack() as stack:
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        if kind == "absent":
            datagrams.close()
        options = ("--plotjuggler", str(port), "--prometheus", "0", "--foxglove", "0")
        given = command("watch", folder, *options)
        process = subprocess.Popen(given, stdout=subprocess.PIPE, text=True, start_new_session=True)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(4)]
        if kind != "absent":
            prometheus, foxglove = (int(line.rpartition(":")[2].partition("/")[0]) for line in told[1:3])
            ended = threading.Event()
            reader = threading.Thread(target=_view, args=(kind, prometheus, foxglove, datagrams, ended))
            reader.start()
            stack.callback(reader.join)
            stack.callback(ended.set)
        yield


def _view(kind: str, prometheus: int, foxglove: int, datagrams: socket.socket, ended: threading.Event) -> None:
    """Connect, subscribe, and read slowly or never."""
    datagrams.setblocking(False)
    scraping: socket.socket | None = None
    with connect(f"ws://127.0.0.1:{foxglove}", subprotocols=[Subprotocol("foxglove.sdk.v1")]) as client:
        subscribed = False
        while not ended.wait(0.1):
            if not subscribed:  # the topic is there when the session has begun
                subscribed = _subscribe(client)
            with contextlib.suppress(OSError):
                if scraping is None:
                    scraping = socket.create_connection(("127.0.0.1", prometheus), 1.0)
                    scraping.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if kind == "slow":
                    datagrams.recv(65536)
                    if not scraping.recv(16):
                        scraping.close()
                        scraping = None
            if kind == "slow" and subscribed:
                with contextlib.suppress(TimeoutError):
                    client.recv(0.001)
    if scraping is not None:
        scraping.close()


def _subscribe(client: ClientConnection) -> bool:
    """To the first channel that is advertised; False: none is yet."""
    with contextlib.suppress(TimeoutError):
        while True:
            told = json.loads(client.recv(0.001))
            if told["op"] == "advertise":
                rows = [{"id": 1, "channelId": told["channels"][0]["id"]}]
                client.send(json.dumps({"op": "subscribe", "subscriptions": rows}))
                return True
    return False


def measure(robot: Path, folder: Path) -> dict[str, Any]:
    """One run: its late ticks."""
    done = subprocess.run(
        command("run", robot, "--set", f"run.name={folder.name}"), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    late_ms = read_log(folder / RunFolder.LOG).records["lateness_ns"].astype(np.float64) / 1e6
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    counters = next(iter(summary["stages"].values()))["counters"]
    return {
        "ticks": len(late_ms),
        "late": int((late_ms > LATE_MS).sum()),
        "p50_ms": float(np.percentile(late_ms, 50)),
        "p99_ms": float(np.percentile(late_ms, 99)),
        "worst_ms": float(late_ms.max()),
        "missed": counters["missed"] + counters["skipped"],
    }


def pair(robot: Path, runs: Path, number: int) -> dict[str, Any]:
    """One pair."""
    kind = VIEWERS[number % len(VIEWERS)]
    found: dict[str, Any] = {"viewers": kind}
    for watched in (False, True) if number % 2 == 0 else (True, False):
        folder = runs / f"{number}-{'watched' if watched else 'alone'}"
        with watch(folder, kind) if watched else contextlib.nullcontext():
            found["watched" if watched else "alone"] = measure(robot, folder)
    return found


@click.command()
@click.option("--pairs", default=9, show_default=True, help="Number of pairs.")
@click.option("--seconds", default=20.0, show_default=True, help="Length of each run.")
@click.option("--realtime", is_flag=True, help="With loop.realtime.")
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the results as JSON.")
def main(pairs: int, seconds: float, realtime: bool, save: bool) -> None:
    """Prints a row for each pair, the watched run after the one alone."""
    table = Table(title=f"ticks later than {LATE_MS:g} ms, p99 and worst lateness in ms: alone / watched")
    for heading in ("viewers", "ticks", "late", "p50", "p99", "worst", "missed"):
        table.add_column(heading)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        robot = Path(name, "robot.toml")
        robot.write_text(ROBOT.format(realtime=str(realtime).lower(), folder=name, seconds=seconds), encoding="utf-8")
        for number in range(pairs):
            rows.append(pair(robot, Path(name), number))
            both = (rows[-1]["alone"], rows[-1]["watched"])
            shown = [" / ".join(str(each[key]) for each in both) for key in ("ticks", "late")]
            shown += [" / ".join(f"{each[key]:.2f}" for each in both) for key in ("p50_ms", "p99_ms", "worst_ms")]
            table.add_row(rows[-1]["viewers"], *shown, " / ".join(str(each["missed"]) for each in both))
    Console().print(table)
    if save:
        kept = {"seconds": seconds, "realtime": realtime, "host": host_facts(""), "pairs": rows}
        name = "watched-realtime.json" if realtime else "watched.json"
        (RESULTS / name).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
