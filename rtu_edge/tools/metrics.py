"""A run in the text format of Prometheus, served on the loopback by `rtu-edge watch --prometheus`: docs/watch.md."""

from __future__ import annotations

import math
import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError, cause_of
from rtu_edge.loop.flags import CallFlag, Driver, RecordFlag
from rtu_edge.record.head import Head

__all__ = ["Metrics", "MetricsServer"]

Array = npt.NDArray[Any]

_CLIENTS = 8  # at once; more are turned away
_CLIENT_S = 5.0  # for a request and its answer
_BOUNDS_S = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # of the histograms
_NO_AGE = 2**32 - 1
_TIMES = {
    "lateness": "Start of the step after its due time",
    "receive": "From the arrival of the observation to the start of the step",
    "predict": "Choosing the action",
    "update": "Learning",
    "round_trip": "From a command to the observation that shows it",
}
_FLAGS = {
    "acted_steps": (RecordFlag.ACTED, "Steps in which a command was sent"),
    "learned_steps": (RecordFlag.LEARNED, "Steps that were learned from"),
    "overridden_steps": (RecordFlag.OVERRIDDEN, "Steps in which something else than the learner's action was applied"),
    "predict_failures": (RecordFlag.PREDICT_FAILED, "Steps without an action of the learner"),
    "update_failures": (RecordFlag.UPDATE_FAILED, "Steps in which learning failed"),
    "refused_rewards": (RecordFlag.REWARD_REFUSED, "Rewards that are not finite"),
    "check_steps": (RecordFlag.CHECK, "Steps with a finding of a plant check"),
    "terminated_episodes": (RecordFlag.TERMINATED, "Episodes that terminated"),
    "truncated_episodes": (RecordFlag.TRUNCATED, "Episodes that were truncated"),
}
_MONITORS = ("sensor_monitor", "command_limiter", "learner_monitor")
_NEWEST = {
    "step": "Number of the newest step",
    "episode": "Number of the episode",
    "episode_step": "Number of the step in its episode",
    "reward": "Newest reward",
    "value": "Newest value estimate",
    "delta": "Newest TD error",
    "step_size_actor": "Newest step size of the actor",
    "step_size_critic": "Newest step size of the critic",
}


class Metrics:
    """Totals of the records since the watch began, and the newest ones. One thread adds, others read `text()`."""

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._head: Head | None = None
        self._last: Any = None
        self._arrived_s = -math.inf
        self._counts: dict[str, int] = dict.fromkeys(
            [
                "steps",
                "fallback_steps",
                "person_steps",
                "dropped_updates",
                *_FLAGS,
                *(f"{name}_steps" for name in _MONITORS),
            ],
            0,
        )
        self._buckets = {name: np.zeros(len(_BOUNDS_S) + 1, np.int64) for name in _TIMES}
        self._sums = dict.fromkeys(_TIMES, 0.0)
        self._sequence = -1

    def begin(self, head: Head) -> None:
        """A session begins."""
        with self._lock:
            self._head, self._last, self._sequence = head, None, -1

    def send(self, records: Array) -> None:
        """Count records."""
        if not len(records):
            return
        with self._lock:
            self._count(records)
            self._last, self._arrived_s = records[-1].copy(), time.monotonic()

    def _count(self, records: Array) -> None:
        counts, flags, calls = self._counts, records["flags"], records["calls"]
        counts["steps"] += len(records)
        for name, (flag, _) in _FLAGS.items():
            counts[name] += int(((flags & int(flag)) != 0).sum())
        for name in _MONITORS:
            counts[f"{name}_steps"] += int((records[name] != 0).sum())
        both, learn = int(CallFlag.LEARN | CallFlag.WEIGHTS), int(CallFlag.LEARN)
        counts["dropped_updates"] += int(((calls & both) == learn).sum())
        words, times = np.unique(records["mode"], return_counts=True)
        for word, many in zip(words.tolist(), times.tolist(), strict=True):
            counts["fallback_steps"] += many * (Driver.of(word) is Driver.FALLBACK)
            counts["person_steps"] += many * (Driver.of(word) is Driver.PERSON)
        for name in _TIMES:
            seconds = records[f"{name}_ns"].astype(np.float64) / 1e9
            seconds = seconds[seconds != 0] if name == "round_trip" else seconds
            self._buckets[name] += np.bincount(np.searchsorted(_BOUNDS_S, seconds), minlength=len(_BOUNDS_S) + 1)
            self._sums[name] += float(seconds.sum())

    def text(self, unseen: int = 0) -> str:
        """Text format 0.0.4.

        Args:
            unseen: records that were overwritten before they were read.
        """
        with self._lock:
            return "".join(self._families(unseen))

    def _families(self, unseen: int) -> Iterator[str]:
        head, last = self._head, self._last
        alive = head is not None and time.monotonic() - self._arrived_s < max(1.0, 10 * head.period_s)
        yield _family("running", "gauge", "1 while the run writes records", [({}, int(alive))])
        yield _family("unseen_records_total", "counter", "Records that this process missed", [({}, unseen)])
        for name, help in self._helps():
            yield _family(f"{name}_total", "counter", help, [({}, self._counts[name])])
        for name, help in _TIMES.items():
            yield self._histogram(name, help)
        if head is None:
            return
        run = {"session": str(head.session), "configuration": head.configuration_hash, "version": head.version}
        yield _family("run_info", "gauge", "The session that is watched", [(run | {"isa": head.isa}, 1)])
        yield _family("period_seconds", "gauge", "Control period", [({}, head.period_s)])
        if last is None:
            return
        stamp = (head.epoch_ns + int(last["t_ns"])) / 1e9
        yield _family("newest_record_timestamp_seconds", "gauge", "When the newest step was made", [({}, stamp)])
        for name, help in _NEWEST.items():
            yield _family(name, "gauge", help, [({}, last[name].item())])
        if int(last["command_age_us"]) != _NO_AGE:
            age = int(last["command_age_us"]) / 1e6
            yield _family("command_age_seconds", "gauge", "Age of the command in force on the device", [({}, age)])
        rows = {"observation": ("x", head.observations), "command": ("u", head.actuators)}
        for name, (field, channels) in {**rows, "applied": ("applied", head.actuators)}.items():
            samples = [
                ({"channel": row.name, "unit": row.unit}, float(value))
                for row, value in zip(channels, last[field], strict=True)
            ]
            yield _family(name, "gauge", f"Newest {name} of a channel, in its unit", samples)

    @staticmethod
    def _helps() -> Iterator[tuple[str, str]]:
        yield "steps", "Steps of the run that this process has read"
        yield "fallback_steps", "Steps in which the fallback drove"
        yield "person_steps", "Steps in which a person drove"
        yield "dropped_updates", "Updates that the deadline rule dropped"
        yield from ((name, help) for name, (_, help) in _FLAGS.items())
        yield from ((f"{name}_steps", f"Steps with a bit of the {name.replace('_', ' ')}") for name in _MONITORS)

    def _histogram(self, name: str, help: str) -> str:
        least = np.cumsum(self._buckets[name]).tolist()
        bounds = [f"{bound:g}" for bound in _BOUNDS_S] + ["+Inf"]
        full = f"rtu_edge_{name}_seconds"
        lines = [f"# HELP {full} {help}", f"# TYPE {full} histogram"]
        lines += [f'{full}_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, least, strict=True)]
        return "\n".join([*lines, f"{full}_sum {self._sums[name]!r}", f"{full}_count {least[-1]}", ""])

    def close(self) -> None:
        """Nothing to release."""


def _family(name: str, kind: str, help: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> str:
    lines = [f"# HELP rtu_edge_{name} {help}", f"# TYPE rtu_edge_{name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"rtu_edge_{name}{f'{{{inside}}}' if inside else ''} {_number(value)}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    """A label's value: a device chose the names of its channels."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", " ")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(value)


class MetricsServer:
    """Answers GET /metrics in threads of its own; a context manager of nothing: close() ends it.

    Args:
        host: the address it listens on.
        port: 0: any free one; `port` has it.
        text: makes the answer.

    Raises:
        ConfigError: the port is taken, or the address is not of this computer.
    """

    def __init__(self, host: str, port: int, text: Any) -> None:
        try:
            self._server = _Server(host, port, text)
        except OSError as error:
            raise ConfigError(f"--prometheus {host}:{port}: {cause_of(error)}") from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = _CLIENTS

    def __init__(self, host: str, port: int, text: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.text = text
        self.names = {host, "localhost", "127.0.0.1", "::1"} if host in ("127.0.0.1", "::1") else set()
        self._free = threading.BoundedSemaphore(_CLIENTS)
        super().__init__((host, port), _Answer)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left, or was too slow, is no error here."""


class _Answer(BaseHTTPRequestHandler):
    timeout = _CLIENT_S
    server: _Server
    server_version = "rtu_edge"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics."""
        # On the loopback only under its own name: a page in a browser could have its name point here.
        host = self.headers.get("Host", "").rpartition(":")[0].strip("[]") or self.headers.get("Host", "")
        if self.server.names and host not in self.server.names:
            self.send_error(403)
        elif self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
        else:
            body = self.server.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""
