"""`rtu-edge watch`: a black box is read while it is written; viewers get what the log would hold; and the run has the
same bits, descriptors and threads with slow, full and absent viewers as without any.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_blackbox import filled, records_of
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rtu_edge._base.errors import ConfigError
from rtu_edge.loop.flags import CallFlag, RecordFlag
from rtu_edge.record import RunFolder, messages
from rtu_edge.record.blackbox import BlackBox
from rtu_edge.record.head import Head
from rtu_edge.record.live import Follower
from rtu_edge.tools.metrics import Metrics, MetricsServer
from rtu_edge.tools.streams import Foxglove, PlotJuggler, host_and_port


@pytest.fixture(scope="module")
def head() -> Head:
    log, _ = logged.by_hand(logged.config_of(), 10)
    return log.head


def put(box: BlackBox, records: Any) -> None:
    for record in records:
        box.core.write(int(record["sequence"]), record.tobytes())


# ---------------------------------------------------------------- reading while it is written


def test_what_is_written_since_is_taken_in_order(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 1000)
    path = tmp_path / "box.rtubox"
    with Follower(path) as follower:
        assert not follower.look() and len(follower.take()) == 0
        with filled(path, head, 100, records[:30]) as box:
            assert follower.look() and follower.head == head
            assert len(follower.take()) == 0, "what was there is not new"
            assert not follower.look()
            at = 30
            for many in (1, 7, 90, 3, 99, 100, 0, 60):
                put(box, records[at : at + many])
                assert follower.take().tobytes() == records[at : at + many].tobytes()
                at += many
            assert follower.dropped == 0
            put(box, records[at : at + 450])
            newest = follower.take()
            at += 450
            assert newest["sequence"].tolist() == list(range(at - len(newest), at)), "the newest, in order"
            assert follower.dropped == 450 - len(newest) and len(newest) >= 49
        assert len(follower.take()) == 0 and not follower.look(), "the run has ended"
        with filled(path, head, 100, records[:5]):  # a new session: from its first record
            assert follower.look()
            assert follower.take().tobytes() == records[:5].tobytes()


def test_without_a_tail_the_box_itself_is_read(tmp_path: Path, head: Head) -> None:
    """On a computer without /dev/shm; the box is written every 20 ms."""
    records = records_of(head, 40)
    with filled(tmp_path / "box.rtubox", head, 100, [], shared=None) as box, Follower(box.path) as follower:
        assert follower.look()
        put(box, records)
        found = b""

        def taken() -> bool:
            nonlocal found
            found += follower.take().tobytes()
            return len(found) >= records.nbytes

        logged.wait(taken)
        assert found == records.tobytes() and follower.dropped == 0


def test_a_record_that_is_being_written_waits_and_a_damaged_one_is_passed(tmp_path: Path, head: Head) -> None:
    records = records_of(head, 12)
    with filled(tmp_path / "box.rtubox", head, 100, records[:1]) as box, Follower(box.path) as follower:
        assert follower.look()
        put(box, records[1:3])
        assert box.tail is not None
        with open(box.tail, "r+b") as file:
            first, slot = struct.unpack_from("<II", file.read(64), 12)
            file.seek(first + 2 * slot + 20)
            file.write(b"\xff")
        assert follower.take().tobytes() == records[1:2].tobytes()
        assert len(follower.take()) == 0 and follower.dropped == 0
        put(box, records[3:])
        assert follower.take().tobytes() == records[3:].tobytes()
        assert follower.dropped == 1


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "box.rtubox"
    path.write_bytes(b"x" * 100)
    with Follower(path) as follower:
        assert not follower.look()  # as while the header is written
        with pytest.raises(ValueError, match="not a black box"):
            follower.look()


# ---------------------------------------------------------------- PlotJuggler


def test_plotjuggler_gets_a_json_object_a_step(head: Head) -> None:
    records = records_of(head, 50)
    records["reward"][3], records["delta"][3] = np.nan, np.inf
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        viewer = PlotJuggler(*host_and_port(str(server.getsockname()[1]), "--plotjuggler"))
        viewer.begin(head)
        viewer.send(records)
        found = [json.loads(server.recv(65536), parse_constant=pytest.fail) for _ in records]
    viewer.close()
    names = messages.step_names(head)
    assert {"x_x", "x_theta", "u_force", "applied_force", "reward"} <= set(names)
    for record, message in zip(records, found, strict=True):
        assert message["timestamp"] == pytest.approx(int(record["t_ns"]) / 1e9)
        step = message["rtu_edge"]["step"]
        assert set(names) - set(step) == ({"reward", "delta"} if record["sequence"] == 3 else set())
        assert step["sequence"] == record["sequence"] and step["x_theta"] == float(record["x"][1])
    assert viewer.dropped == 0


def test_without_plotjuggler_steps_are_dropped_and_counted(head: Head) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    viewer = PlotJuggler("127.0.0.1", port)
    viewer.begin(head)
    viewer.send(records_of(head, 10))
    assert 1 <= viewer.dropped <= 10
    viewer.close()


@pytest.mark.parametrize("text", ["", "host", "host:", "host:0", "host:65536", "host:²", "-1"])
def test_a_bad_address_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--plotjuggler"):
        host_and_port(text, "--plotjuggler")
    assert host_and_port("[::1]:9870", "") == ("::1", 9870)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_what_is_no_name_of_a_host_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=f"--plotjuggler {host}: no name of a host"):
        PlotJuggler(host, 9870)


# ---------------------------------------------------------------- Prometheus


@pytest.fixture
def metrics(head: Head) -> Metrics:
    found = Metrics()
    found.begin(head)
    records = records_of(head, 100)
    records["flags"] = RecordFlag.ACTED
    records["flags"][:40] |= int(RecordFlag.LEARNED)
    records["flags"][99] |= int(RecordFlag.TERMINATED)
    records["calls"] = CallFlag.LEARN | CallFlag.WEIGHTS
    records["calls"][:3] = CallFlag.LEARN
    records["lateness_ns"] = 20_000
    records["lateness_ns"][:10] = 2_000_000
    records["command_age_us"] = 1500
    found.send(records[:60])
    found.send(records[60:])
    return found


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    found = MetricsServer("127.0.0.1", 0, lambda: metrics.text(7))
    yield found
    found.close()


def get(server: MetricsServer, path: str = "/metrics", **headers: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


def test_prometheus_reads_counters_gauges_and_histograms(server: MetricsServer, head: Head) -> None:
    families = {family.name: family for family in text_string_to_metric_families(get(server))}
    one = {name: family.samples[0].value for name, family in families.items()}
    assert all(family.documentation for family in families.values())
    assert families["rtu_edge_steps"].type == "counter" and one["rtu_edge_steps"] == 100
    assert one["rtu_edge_learned_steps"] == 40 and one["rtu_edge_dropped_updates"] == 3
    assert one["rtu_edge_terminated_episodes"] == 1 and one["rtu_edge_unseen_records"] == 7
    assert one["rtu_edge_running"] == 1 and one["rtu_edge_period_seconds"] == head.period_s
    assert one["rtu_edge_command_age_seconds"] == 0.0015
    late = {
        sample.labels.get("le", sample.name): sample.value for sample in families["rtu_edge_lateness_seconds"].samples
    }
    assert families["rtu_edge_lateness_seconds"].type == "histogram"
    assert (late["1e-05"], late["3e-05"], late["0.001"], late["0.003"], late["+Inf"]) == (0, 90, 90, 100, 100)
    assert late["rtu_edge_lateness_seconds_sum"] == pytest.approx(90 * 20e-6 + 10 * 2e-3)
    channels = {sample.labels["channel"]: sample.value for sample in families["rtu_edge_observation"].samples}
    assert channels == {
        "x": float(records_of(head, 100)["x"][99, 0]),
        "theta": float(records_of(head, 100)["x"][99, 1]),
    }


def test_before_a_run_it_answers_too() -> None:
    families = {family.name: family.samples for family in text_string_to_metric_families(Metrics().text())}
    assert families["rtu_edge_running"][0].value == 0 and "rtu_edge_observation" not in families


def test_a_name_that_a_device_chose_is_escaped(head: Head) -> None:
    values = {name: getattr(head, name) for name in head.__struct_fields__}
    name = 'a"} 1\nrtu_edge_running 0\\'
    rows = [dataclasses.replace(row, name=name) for row in head.actuators]
    found = Metrics()
    found.begin(Head(**{**values, "actuators": rows}))
    found.send(records_of(head, 1))
    families = {family.name: family.samples for family in text_string_to_metric_families(found.text())}
    assert families["rtu_edge_command"][0].labels["channel"] == name
    assert [sample.value for sample in families["rtu_edge_running"]] == [1]


@pytest.mark.parametrize(("path", "headers", "code"), [
    ("/", {}, 404), ("/../metrics", {}, 404), ("/metrics", {"Host": "example.org"}, 403),
    ("/metrics", {"Host": "example.org:80"}, 403),
])  # fmt: skip
def test_nothing_else_is_answered(server: MetricsServer, path: str, headers: dict[str, str], code: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as found:
        get(server, path, **headers)
    assert found.value.code == code
    assert get(server, Host="localhost")


def test_silent_clients_take_a_bounded_number_of_threads(server: MetricsServer) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as ninth:
        assert ninth.recv(1) == b"", "turned away"
    for one in silent:
        one.close()
    logged.wait(lambda: answered(server))


def answered(server: MetricsServer) -> bool:
    try:
        return bool(get(server))
    except (urllib.error.URLError, ConnectionError):
        return False


def test_a_port_that_is_taken_is_named(server: MetricsServer) -> None:
    with pytest.raises(ConfigError, match=rf"--prometheus 127.0.0.1:{server.port}: .*in use"):
        MetricsServer("127.0.0.1", server.port, str)


# ---------------------------------------------------------------- Foxglove


def viewer(port: int) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}", subprotocols=[Subprotocol("foxglove.sdk.v1")])


def test_foxglove_gets_the_topic_and_bytes_of_the_log(head: Head) -> None:
    served = Foxglove("127.0.0.1", 0)
    served.begin(head)
    records = records_of(head, 20)
    with viewer(served.port) as client:
        told = [json.loads(client.recv(10)) for _ in range(2)]
        [channel] = next(message for message in told if message["op"] == "advertise")["channels"]
        schema, _, step, _ = messages.described(head)
        assert (channel["topic"], channel["encoding"]) == (step.topic, "cdr")
        assert (channel["schemaName"], channel["schema"]) == (schema.name, schema.data.decode())
        client.send(json.dumps({"op": "subscribe", "subscriptions": [{"id": 5, "channelId": channel["id"]}]}))
        received: list[bytes] = []

        def arrived() -> bool:  # the subscription takes effect at some time
            served.send(records[len(received) : len(received) + 1])
            with contextlib.suppress(TimeoutError):
                received.append(client.recv(0.05))
            return len(received) >= 3

        logged.wait(arrived)
    served.close()
    for data in received:
        kind, subscription, stamp = struct.unpack_from("<BIQ", data)
        assert (kind, subscription) == (1, 5)
        assert data[13:17] == messages.CDR
        [record] = np.frombuffer(data[17:], head.dtype)
        assert stamp == head.epoch_ns + record["t_ns"] and record.tobytes() in {r.tobytes() for r in records}


def test_a_taken_port_of_foxglove_is_named(server: MetricsServer) -> None:
    with pytest.raises(ConfigError, match=f"--foxglove 127.0.0.1:{server.port}: .*in use"):
        Foxglove("127.0.0.1", server.port)


# ---------------------------------------------------------------- the run does not notice


def seen_by_the_kernel() -> tuple[set[str], int]:
    """Descriptors of this process, by what they are, and its threads."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return found, len(os.listdir("/proc/self/task"))


class UntilSeen(logged.Keep):
    """Holds up the end of a run until `rtu-edge watch` has found its session and the client has subscribed to it."""

    def __init__(self, watch: subprocess.Popen[str], client: ClientConnection) -> None:
        super().__init__()
        self.watch, self.client = watch, client
        self.told = ""

    def __call__(self, *progress: Any) -> None:
        assert self.watch.stdout is not None
        if not self.told:
            self.told = self.watch.stdout.readline()
            while (message := json.loads(self.client.recv(10)))["op"] != "advertise":
                pass
            rows = [{"id": 1, "channelId": message["channels"][0]["id"]}]
            self.client.send(json.dumps({"op": "subscribe", "subscriptions": rows}))
        super().__call__(*progress)


def test_a_watched_run_is_the_run_without(tmp_path: Path) -> None:
    """In one process with the run: nothing of it is touched. The viewers: PlotJuggler is away, one client of Prometheus
    reads nothing, Foxglove's reads nothing.
    """
    config = logged.config_of()
    alone, agent = logged.run(RunFolder.create(tmp_path, "alone"), config, steps=1500)
    folder = RunFolder.create(tmp_path, "watched")
    command = [sys.executable, "-m", "rtu_edge.cli", "watch", str(folder.path), "--plotjuggler", "1"]
    command += ["--prometheus", "0", "--foxglove", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        said = [watch.stdout.readline() for _ in range(4)]
        assert "waiting" in said[3], said
        prometheus, foxglove = (int(line.rpartition(":")[2].partition("/")[0]) for line in said[1:3])
        with (
            socket.create_connection(("127.0.0.1", prometheus)),
            viewer(foxglove) as client,
        ):
            before = seen_by_the_kernel()
            keep = UntilSeen(watch, client)
            watched, other = logged.run(folder, config, steps=1500, keep=keep)
            assert keep.told.startswith("session 1: 2 observations")
            after = seen_by_the_kernel()
            assert not after[0] - before[0] and after[1] <= before[1], "a viewer added a descriptor or a thread"
        watch.terminate()
    assert agent.state_hash() == other.state_hash()
    for name in ("skipped", "missed", "overruns"):
        assert watched.result.counters[name] == alone.result.counters[name], name
    same = [name for name in alone.records.dtype.names if not name.endswith("_ns")]
    for name in same:
        np.testing.assert_array_equal(alone.records[name], watched.records[name], err_msg=name)
