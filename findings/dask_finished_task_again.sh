#!/bin/sh
# Dask: a killed worker makes finished tasks run again whose results the client has already received.
#
# Packages: dask 2026.8.0, distributed 2026.8.0 (PyPI).
#
# A result stays on the worker that computed it for as long as the client holds its future. gather() copies it to the
# client and leaves it there. When a worker is killed (out of memory, say), the scheduler runs each of its finished
# tasks again on another one, although none of the results is awaited. pure=False does not change that: it only makes
# the key unique. A task that is an episode on a robot moves the robot again, and one that appends to a file appends
# twice. Releasing each future when its result is received prevents it.
#
# Seen (Python 3.11; 8 tasks on 2 workers, all results received, then one worker killed):
#     futures held:     starts of each episode [2, 1, 2, 1, 2, 1, 2, 1]
#     futures released: starts of each episode [1, 1, 1, 1, 1, 1, 1, 1]
#     (which ones run again depends on where they ran)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0 tornado==6.6.1
export TMPDIR="$folder"
cd "$folder"
cat > episodes.py <<'PYTHON'
import logging
import os
import signal
import time
from pathlib import Path

from distributed import Client, LocalCluster

EPISODES = 8


def episode(number: int, started: str) -> tuple[int, int]:
    """Note the start; return the number and the worker's process."""
    with open(started, "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.1)
    return number, os.getpid()


def starts(name: str, release: bool) -> dict[int, int]:
    """How often each episode was started when a worker was killed after all results had been received."""
    started = Path(name)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL)
    with cluster, Client(cluster) as client:
        futures = [client.submit(episode, k, str(started.absolute()), pure=False) for k in range(EPISODES)]
        results = client.gather(futures)
        assert [number for number, _ in results] == list(range(EPISODES))
        if release:
            futures.clear()
            time.sleep(1)
        workers = set(client.scheduler_info()["workers"])
        os.kill(results[0][1], signal.SIGKILL)
        while not set(client.scheduler_info()["workers"]) - workers:  # until a new one takes its place
            time.sleep(0.1)
        time.sleep(3)
    numbers = started.read_text().split()
    return {k: numbers.count(str(k)) for k in range(EPISODES)}


if __name__ == "__main__":
    held = starts("held", release=False)
    print("futures held:     starts of each episode", list(held.values()))
    released = starts("released", release=True)
    print("futures released: starts of each episode", list(released.values()))
    assert max(held.values()) > 1, "changed: finished tasks of a killed worker do not run again"
    assert set(released.values()) == {1}, "changed: released tasks run again"
PYTHON
timeout 120 "$folder/venv/bin/python" episodes.py
