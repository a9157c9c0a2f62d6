"""A host process for tests: opens a port, arms, drives it in real time with a fixed controller, and reports the result.

Run as a script with a JSON of options: port, clock, and fields of LoopConfig. Prints {"armed": pid} when commands flow
and the result as one line of JSON at the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

from rtu_edge import _testing
from rtu_edge.device import lock
from rtu_edge.device.ports import open_port
from rtu_edge.device.schema import Cap, Hello
from rtu_edge.loop import Clock, Link, Loop, LoopConfig


def not_simulated(hello: Hello) -> Hello:
    """The same device, reported as real hardware."""
    return dataclasses.replace(hello, caps=hello.caps & ~Cap.SIMULATED)


def start(port: str, **options: Any) -> subprocess.Popen[str]:
    """Start a host on a port and return it once it drives."""
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps({"port": port, **options})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    assert json.loads(line) == {"armed": process.pid}
    return process


def result(process: subprocess.Popen[str], timeout_s: float = 20) -> dict[str, Any]:
    """Wait for a host's end and return its output."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said


def main() -> None:
    options = json.loads(sys.argv[1])
    port = options.pop("port")
    clock = Clock(options.pop("clock", "device"))
    with open_port(port) as opened, Link(opened, control=lock.socket_path(port)) as link:
        hello = link.handshake()
        policy = _testing.LinearPolicy(
            hello.observation_size, [0.0], [[0.5, 6.0] + [0.0] * (hello.observation_size - 2)]
        )
        options.setdefault("ttl_ms", 200)  # the device's maximum, so that a busy host stops no loop
        config = LoopConfig(clock=clock, seconds=30, learn=False, explore=False, **options)
        with Loop(link, policy.policy(), config) as loop:
            loop.start()
            while loop.status().steps < 5 and not loop.wait(0.01):
                pass
            print(json.dumps({"armed": os.getpid()}), flush=True)
            while not loop.wait(0.1):
                pass
            ended = loop.result()
    said = dataclasses.asdict(ended)
    said["reason"] = ended.reason.value
    said["at"] = time.time()
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
