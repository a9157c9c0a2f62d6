"""What `rtu-edge watch` sends to viewers: each record as JSON by UDP, for PlotJuggler, or as in the log, to Foxglove.

Records come from another process (rtu_edge.record.live): a viewer that is slow, full or away costs that process records
and the run nothing. docs/watch.md.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from rtu_edge._base.errors import ConfigError, cause_of
from rtu_edge._base.packages import needed_by
from rtu_edge.record import messages
from rtu_edge.record.head import Head

__all__ = ["Foxglove", "PlotJuggler", "Viewer", "host_and_port"]

Array = npt.NDArray[Any]


class Viewer(Protocol):
    """Takes records; never blocks."""

    dropped: int  # records that it could not take

    def begin(self, head: Head) -> None:
        """A session begins: its channels."""

    def send(self, records: Array) -> None:
        """Records in order, of the newest head."""

    def close(self) -> None:
        """Release the port; idempotent."""


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """ "HOST:PORT", "[::1]:PORT", or a port alone, of this computer.

    Raises:
        ConfigError: it is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{option} {text}: must be HOST:PORT, or a port from 1 to 65535")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


class PlotJuggler:
    """A JSON object a record, in a datagram each: {"timestamp": ..., "rtu_edge": {"step": {fields as in the log}}}.

    Args:
        host: name or address.
        port: of PlotJuggler's UDP server.

    Raises:
        ConfigError: the host is unknown.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)  # to be told that the port is closed
        except UnicodeError:  # of the name's encoding
            raise ConfigError(f"--plotjuggler {host}: no name of a host") from None
        except OSError as error:
            raise ConfigError(f"--plotjuggler {host}: {cause_of(error)}") from None
        self._socket.setblocking(False)
        self._names: list[str] = []
        self._epoch_ns = 0
        self.dropped = 0

    def begin(self, head: Head) -> None:
        """A session begins."""
        self._names, self._epoch_ns = messages.step_names(head), head.epoch_ns

    def send(self, records: Array) -> None:
        """Records in order. A datagram that the system does not take at once is dropped."""
        for record in records:
            values = dict(zip(self._names, _flat(record), strict=True))
            finite = {name: value for name, value in values.items() if math.isfinite(value)}  # JSON has no NaN
            stamp = (self._epoch_ns + int(record["t_ns"])) / 1e9
            try:
                self._socket.send(msgspec.json.encode({"timestamp": stamp, "rtu_edge": {"step": finite}}))
            except OSError:  # full; or the port was closed when the one before arrived
                self.dropped += 1

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _flat(record: Any) -> Iterator[float]:
    for value in record.item():
        if isinstance(value, np.ndarray):
            yield from value.tolist()
        else:
            yield value


class Foxglove:
    """A server of Foxglove's SDK: the topic /rtu_edge/step with the schema and bytes that the log has.

    Args:
        host: the address it listens on.
        port: 0: any free one; `port` has it.

    Raises:
        ModuleNotFoundError: without foxglove-sdk.
        ConfigError: the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        with needed_by("--foxglove"):
            import foxglove
        self._context = foxglove.Context()
        try:
            self._server = foxglove.start_server(name="rtu_edge", host=host, port=port, context=self._context)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"--foxglove {host}:{port}: {error}") from None
        self.port = self._server.port
        self._channel: Any = None
        self._epoch_ns = 0
        self.dropped = 0  # the SDK drops for each client and does not count

    def begin(self, head: Head) -> None:
        """A session begins: its topic replaces that of the session before."""
        import foxglove

        schema, _, channel, _ = messages.described(head)
        if self._channel is not None:
            self._channel.close()
        self._channel = foxglove.Channel(
            channel.topic,
            message_encoding=channel.message_encoding,
            schema=foxglove.Schema(name=schema.name, encoding=schema.encoding, data=schema.data),
            context=self._context,
        )
        self._epoch_ns = head.epoch_ns

    def send(self, records: Array) -> None:
        """Records in order; the SDK queues them for each client and drops where a client is slow."""
        for record in records:
            self._channel.log(messages.CDR + record.tobytes(), log_time=self._epoch_ns + int(record["t_ns"]))

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
