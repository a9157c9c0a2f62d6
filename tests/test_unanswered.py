"""A failed handshake reports the reason: silence, an echo, text, another baud rate, a device that does not receive."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rtu_edge.device.protocol import Hello, encode, pack
from rtu_edge.device.unanswered import first_line
from rtu_edge.loop import Link, LinkError
from rtu_edge.tools.monitor import Listener

TIMEOUT_S = 0.45


@contextmanager
def far_end(answer: Callable[[bytes], bytes], unasked: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """A port whose other end passes its input to a function; the port's path, and the input."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    heard: list[bytes] = []

    def serve() -> None:
        try:
            while data := os.read(ours, 4096):
                heard.append(data)
                os.write(ours, answer(data) or b"")
        except OSError:
            return  # closed

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    if unasked:
        threading.Timer(0.1, lambda: os.write(ours, unasked)).start()
    try:
        yield os.ttyname(theirs), heard
    finally:
        os.close(theirs)
        thread.join(2)
        os.close(ours)


def refusal(answer: Callable[[bytes], bytes], unasked: bytes = b"") -> tuple[str, list[bytes]]:
    """The error message of a failed handshake, and the bytes that it sent."""
    with far_end(answer, unasked) as (path, heard):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            with Link(fd) as link, pytest.raises(LinkError) as error:
                link.handshake(TIMEOUT_S)
        finally:
            os.close(fd)
    return str(error.value), heard


def test_an_echo_is_named_and_asked_at_a_bounded_rate() -> None:
    said, heard = refusal(lambda data: data)
    assert "did not answer in time: the port echoes what is sent: RX connected to TX" in said
    # Every 100 ms; it was 63 000 in four seconds when each echo caused a new request.
    assert 1 <= b"".join(heard).count(b"\0") <= 5


def test_silence_is_named() -> None:
    said, heard = refusal(lambda data: b"")
    assert "did not answer in time: nothing arrived: check power" in said
    assert 3 <= b"".join(heard).count(b"\0") <= 5


def test_text_is_shown_cleaned() -> None:
    said, _ = refusal(lambda data: b"", b"\r\n\x1b[31mmotor\x1b]0;title\x07 ready\x07\r\nposition 0.0\r\n")
    assert 'it prints text, no TickLink frames: "motor ready"' in said


def test_bytes_of_another_baud_rate_are_named() -> None:
    said, _ = refusal(lambda data: bytes(range(0x80, 0xF0)))
    assert "bytes arrived that are not TickLink frames: check the baud rate" in said


def test_a_device_that_only_sends_is_named() -> None:
    frame = encode(pack(Hello()))  # another host's frame, recognised by time stamp and number
    said, _ = refusal(lambda data: b"", frame * 3)
    assert "3 TickLink frames of other types arrived: it sends but does not receive" in said


def test_the_monitor_tells_the_same() -> None:
    for answer, unasked, words in (
        (lambda data: data, b"", "the port echoes what is sent"),
        (lambda data: b"", b"hello there\r\n", 'it prints text, no TickLink frames: "hello there"'),
        (lambda data: b"", b"", "nothing arrived"),
    ):
        with far_end(answer, unasked) as (path, _), Listener(path) as listener:
            assert list(listener.listen(TIMEOUT_S)) == []
            assert words in listener.unanswered


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", ""),
        (b"\r\n\r\n\r\n\r\n", ""),
        (b"ok", ""),
        (b"ready!\n", "ready!"),
        (b"x" * 200, "x" * 60),
        (b"\x1b[2J\x1b[1;1Hboot: v2\n", "boot: v2"),
        (b"\xff" * 20 + b"text", ""),
        (b"\x00\x01\x02\x03\x04\x05", ""),
    ],
)
def test_the_first_line(data: bytes, line: str) -> None:
    assert first_line(data) == line


def test_the_time_is_kept_whatever_arrives() -> None:
    begin_s = time.monotonic()
    refusal(lambda data: data * 20)
    assert time.monotonic() - begin_s < 4 * TIMEOUT_S
