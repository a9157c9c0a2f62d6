"""The device's state table: docs/protocol_device.md prints the one in the code, and a real device does in each cell
what the table states.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from rtu_edge._bridge import ffi, lib

from rtu_edge.device import protocol
from rtu_edge.device.protocol import DeviceState, FrameType, Status
from rtu_edge.device.simulated import InProcessDevice

DOC = Path(__file__).parents[1] / "docs" / "protocol_device.md"


def names(prefix: str) -> dict[int, str]:
    found = {getattr(lib, n): n.removeprefix(prefix) for n in dir(lib) if n.startswith(prefix) and "COUNT" not in n}
    return dict(sorted(found.items()))


STATES, EVENTS, ACTIONS = names("TL_STATE_"), names("TL_ON_"), names("TL_DO_")
SECONDS = 1_000_000
PERIOD_US = 10_000  # of the servo


def cell_text(state: int, on: int) -> str:
    rule = lib.tl_bridge_cell(state, on)
    if rule.action == lib.TL_DO_NOTHING:
        return "-"
    text = ACTIONS[rule.action].lower().replace("_", " ")
    if rule.action == lib.TL_DO_REFUSE:
        text += " " + Status(rule.status).name
    return text if rule.next == state else f"{text} -> {STATES[rule.next]}"


def table_of_code() -> str:
    lines = ["| what happens | " + " | ".join(STATES.values()) + " |", "|---" * (len(STATES) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell_text(s, on) for s in STATES) + " |" for on, name in EVENTS.items()]
    return "\n".join(lines)


def table_of_doc() -> dict[tuple[str, str], str]:
    """(state, what happens) -> cell, as docs/protocol_device.md has it."""
    text = DOC.read_text()
    lines = text[text.index("| what happens |") :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(state, row[0]): cell for row in rows[2:] for state, cell in zip(rows[0][1:], row[1:], strict=True)}


def test_documentation_prints_the_table_of_the_code() -> None:
    assert table_of_code() in DOC.read_text(), "docs/protocol_device.md should have\n" + table_of_code()


# ------------------------------------------------------------------------------------------- a device in each state


class Bench:
    """A device in its process's memory, a clock, a host's count of frames."""

    def __init__(self, **options: Any) -> None:
        self.now_us = 5 * SECONDS
        self.seq = 0
        self.device = InProcessDevice(options.pop("plant", "servo"), now_us=self.now_us, boot_id=9, **options)

    @property
    def state(self) -> DeviceState:
        return DeviceState(self.device.bridge.state)

    def heard(self, data: bytes) -> list[protocol.Message]:
        messages = [protocol.unpack(frame) for frame in protocol.Decoder().feed(data)]
        assert None not in messages
        return [message for message in messages if message is not None]

    def frame(self, message: protocol.Message) -> bytes:
        self.seq = self.seq + 1 & 0xFFFF
        return protocol.encode(protocol.pack(message, self.seq, self.now_us & 0xFFFFFFFF))

    def send(self, message: protocol.Message) -> list[protocol.Message]:
        return self.heard(self.device.receive(self.frame(message), self.now_us))

    def tick(self, periods: int = 1) -> list[protocol.Message]:
        found: list[protocol.Message] = []
        for _ in range(periods):
            self.now_us = max(self.device.due_us, self.now_us)
            found += self.heard(self.device.tick(self.now_us))
        return found

    def wait(self, us: int) -> list[protocol.Message]:
        self.now_us += us
        return self.heard(self.device.receive(b"", self.now_us))

    def arm(self, lockstep: bool = False) -> int:
        session = self.device.bridge.last_session + 1
        assert protocol.Ack(FrameType.ARM, Status.OK, self.seq + 1) in self.send(protocol.Arm(session, lockstep))
        return session

    def command(self, u: float = 1.0, ttl_ms: int = 100, **changes: object) -> protocol.Cmd:
        bridge = self.device.bridge
        fields = {
            "session": bridge.session,
            "obs_t_us": (bridge.virtual_us if bridge.lockstep else self.now_us) & 0xFFFFFFFF,
            "ttl_ms": ttl_ms,
            "u": (u,),
            "lockstep": bridge.lockstep,
        }
        return protocol.Cmd(**{**fields, **changes})  # type: ignore[arg-type]

    def blind(self) -> None:
        """From now on the plant's sensors give NaN."""
        self._observe = ffi.callback(
            "void(*)(const void *, float *)", lambda _, x: x.__setitem__(slice(0, 2), [float("nan")] * 2)
        )
        self.device._c.plant.observe = self._observe

    def overheat(self) -> None:
        """From now on the joint measures 95 C, 5 above its limit."""
        bits = struct.unpack("<I", struct.pack("<f", 95.0))[0]
        at = lib.TL_PARAM_OBSERVATION + 4
        param = protocol.Param(at, lib.TL_PARAM_WRITE, lib.TL_PARAM_F32, bits)
        assert self.send(param) == [protocol.Param(at, lib.TL_PARAM_IS, lib.TL_PARAM_F32, bits)]


def bench_in(state: str, **options: Any) -> Bench:
    bench = Bench(**options)
    if state != "BOOT":
        bench.tick()
    if state in ("ARMED", "RESETTING", "SAFE"):
        bench.arm()
    if state == "RESETTING":
        bench.send(protocol.Reset(bench.device.bridge.session, 1, 0))
    if state == "SAFE":
        bench.wait(SECONDS + 1)
        bench.tick()
    if state == "ESTOP":
        bench.send(protocol.Estop())
    assert bench.state.name == state
    return bench


def kinds(messages: list[protocol.Message]) -> list[str]:
    return [type(message).__name__ for message in messages]


FRAMES = {
    "HELLO": lambda b: protocol.Hello(),
    "PING": lambda b: protocol.Ping(12345),
    "DESCRIBE": lambda b: protocol.Describe(0),
    "PARAM": lambda b: protocol.Param(lib.TL_COUNTER_TICKS),
    "CMD": lambda b: b.command(),
    "ARM": lambda b: protocol.Arm(b.device.bridge.last_session + 1),
    "DISARM": lambda b: protocol.Disarm(),
    "CLEAR_FAULT": lambda b: protocol.ClearFault(),
    "RESET": lambda b: protocol.Reset(b.device.bridge.session, 2, 0),
    "ESTOP": lambda b: protocol.Estop(),
    "OTHER": lambda b: protocol.Log(6, "hello"),
}

# Nothing can make these happen: what they need is not there in that state. The walk tries nevertheless, and nothing
# moves.
IMPOSSIBLE = {
    **{(state, "EXPIRED"): "no session" for state in ("BOOT", "DISARMED", "SAFE", "ESTOP")},
    **{(state, "READY"): "no reset" for state in ("BOOT", "DISARMED", "ARMED", "SAFE", "ESTOP")},
    ("BOOT", "SENSOR"): "nothing is measured",
    ("BOOT", "LIMIT"): "nothing is measured",
    ("RESETTING", "SENSOR"): "nothing is measured",
}


def happen(bench: Bench, on: str) -> list[protocol.Message]:
    if on in FRAMES:
        return bench.send(FRAMES[on](bench))
    if on == "EXPIRED":
        return bench.wait(SECONDS + 1)
    if on == "SENSOR":
        bench.blind()
    if on == "LIMIT":
        bench.overheat()
    if (bench.state.name, on) in IMPOSSIBLE:
        return []
    return bench.tick()


def check_refused(bench: Bench, on: str, status: Status, answer: list[protocol.Message]) -> None:
    if on == "CMD":
        assert answer == []
        assert bench.device.bridge.counters[lib.TL_COUNTER_REFUSED] == 1
        assert (bench.device.bridge.refused_status, bench.device.bridge.refused_seq) == (status, bench.seq)
    else:
        assert answer == [protocol.Ack(FrameType[on], status, bench.seq)]


ANSWERS = {  # what leaves the device at once
    "-": [],
    "send hello": ["Hello"],
    "send pong": ["Pong"],
    "send row": ["Channel"],
    "send param": ["Param"],
    "command": [],
    "arm": ["Ack"],
    "disarm": ["Ack"],
    "ack": ["Ack"],
    "clear": ["Ack"],
    "reset": ["Ack"],
    "estop": ["State"],
    "repeat": ["State"],
    "start": ["Hello", "State"],
    "rest": ["State"],
    "run": ["State"],
    "wait": ["State"],
    "first": ["State"],
    "safe": [],
}


@pytest.mark.parametrize(("state", "on"), [(s, e) for s in STATES.values() for e in EVENTS.values()])
def test_each_cell(state: str, on: str) -> None:
    doc = table_of_doc()[state, on]
    action, _, after = doc.partition(" -> ")
    plant = {"plant": "joint"} if on == "LIMIT" else {}
    bench = bench_in(state, reset_ticks=0 if on == "READY" else 2, **plant)
    steps = bench.device._c.simulated.state.episode.step
    answer = happen(bench, on)
    if (state, on) in IMPOSSIBLE:
        assert (answer, bench.state.name) == ([], state)
        return
    if action.startswith("refuse "):
        status = Status[action.removeprefix("refuse ")]
        check_refused(bench, on, status, answer)
        assert bench.state.name == state
        if on == "CMD":
            assert protocol.Event(protocol.EventCode.REFUSED, status, bench.seq, 1) in bench.tick()
        return
    if action in ("arm again", "reset again"):  # the frames of the walk are new ones
        assert answer == [protocol.Ack(FrameType[on], Status.BUSY, bench.seq)]
        assert bench.state.name == state
        return
    # Sensors fail, and limits are exceeded, during a tick, which owes a STATE; a LOG names the limit.
    during = {"SENSOR": ["State"], "LIMIT": ["Log", "State"] if action == "safe" else ["State"]}
    expected = during.get(on, ANSWERS[action])
    assert kinds(answer) == expected
    assert bench.state.name == (after or state)
    bridge = bench.device.bridge
    if action in ("disarm", "estop", "safe"):
        assert (bridge.session, bridge.live, bridge.lockstep) == (0, False, False)
    if answer and kinds(answer)[-1] == "State":
        told = answer[-1]
        assert isinstance(told, protocol.State)
        assert told.state == bench.state, "STATE tells the state that it leads to"
        assert (told.fault != 0) == (bench.state in (DeviceState.SAFE, DeviceState.ESTOP))
    moved = bench.device._c.simulated.state.episode.step - steps
    assert moved == (action in ("rest", "run", "wait") or on in during), (
        "the plant is told its outputs with each tick, and with nothing else; start and first put it to its start again"
    )
    assert (bench.device.driver[0] == bridge.applied[0]) and bridge.applied[0] == 0.0
    if action == "command":
        assert bridge.counters[lib.TL_COUNTER_ACCEPTED] == 1
        assert bridge.target[0] == 1.0
    if action == "first":
        assert answer[-1].epflags == protocol.Episode.FIRST and answer[-1].episode == 1  # type: ignore[union-attr]
    if action in ("arm", "disarm", "ack", "clear", "reset"):
        assert answer == [protocol.Ack(FrameType[on], Status.OK, bench.seq)]
    if action in ("arm", "clear"):
        assert bridge.fault == 0
    if action == "safe":
        assert bridge.fault == getattr(lib, f"TL_FAULT_{on if on in during else 'SILENCE'}")
    if action == "estop":
        assert bridge.fault & lib.TL_FAULT_ESTOP


# ------------------------------------------------------------------------------------------- rules behind the cells


def refusal(bench: Bench, command: protocol.Cmd, seq: int | None = None) -> Status:
    """Why a command is refused; OK when it is not."""
    refused = bench.device.bridge.counters[lib.TL_COUNTER_REFUSED]
    if seq is not None:
        bench.seq = seq - 1
    bench.send(command)
    if bench.device.bridge.counters[lib.TL_COUNTER_REFUSED] == refused:
        return Status.OK
    # In lockstep the EVENT has left already; its status is not kept.
    return Status(bench.device.bridge.refused_status)


def test_freshness() -> None:
    bench = bench_in("ARMED")
    t = bench.now_us
    bench.now_us = t + 60_000
    assert refusal(bench, bench.command(obs_t_us=t, ttl_ms=50)) == Status.STALE
    assert refusal(bench, bench.command(obs_t_us=t, ttl_ms=60)) == Status.OK, "fresh up to and including its TTL"
    assert refusal(bench, bench.command(obs_t_us=bench.now_us + 1)) == Status.STALE, "from the future"
    bench.now_us = t + 200_000
    bench.tick()
    assert bench.state == DeviceState.SAFE, "expired at obs_t + ttl, not ttl after it arrived"


def test_ttl_is_capped_by_the_device() -> None:
    bench = bench_in("ARMED", ttl_max_ms=100)
    t = bench.now_us
    bench.now_us = t + 100_001
    assert refusal(bench, bench.command(obs_t_us=t, ttl_ms=65535)) == Status.STALE
    assert refusal(bench, bench.command(obs_t_us=t + 1, ttl_ms=65535)) == Status.OK
    bench.wait(0)
    assert bench.state == DeviceState.ARMED
    bench.wait(1)
    assert bench.state == DeviceState.SAFE


@pytest.mark.parametrize("ttl_ms", [20, 50, 100, 200])
def test_silence_is_safe_within_ttl_and_one_tick(ttl_ms: int) -> None:
    bench = bench_in("ARMED")
    bench.tick()
    bench.send(bench.command(u=3.0, ttl_ms=ttl_ms))
    last = bench.now_us
    while bench.state == DeviceState.ARMED:
        told = bench.tick()[-1]
    assert last + ttl_ms * 1000 < bench.now_us <= last + ttl_ms * 1000 + PERIOD_US
    assert isinstance(told, protocol.State)
    assert (told.state, told.fault, told.u) == (DeviceState.SAFE, protocol.Fault.SILENCE, (0.0,))


def test_clock_wraps_in_the_middle_of_a_session() -> None:
    bench = bench_in("ARMED")
    bench.device._c.bridge.due_us = bench.now_us = 2**32 - 50_000
    bench.device._c.bridge.life_us = bench.now_us
    for _ in range(10):
        assert refusal(bench, bench.command(ttl_ms=50)) == Status.OK
        bench.tick()
    assert bench.now_us > 2**32
    assert bench.state == DeviceState.ARMED


def test_sessions_only_upwards() -> None:
    bench = bench_in("DISARMED")

    def arm(session: int) -> Status:
        (ack,) = bench.send(protocol.Arm(session))
        return ack.status  # type: ignore[union-attr,return-value]

    assert arm(0) == Status.SESSION
    assert arm(1000) == Status.OK
    assert arm(1001) == Status.BUSY, "a second host cannot take over"
    assert bench.send(protocol.Hello())[0].last_session == 1000  # type: ignore[union-attr]
    bench.send(protocol.Disarm())
    assert [arm(n) for n in (1, 999, 1000)] == [Status.SESSION] * 3
    assert arm(1001) == Status.OK
    assert refusal(bench, bench.command(session=1000)) == Status.SESSION


def test_nothing_is_accepted_after_safe_until_a_new_session() -> None:
    bench = bench_in("ARMED")
    old = bench.device.bridge.session
    bench.send(bench.command(ttl_ms=20))
    bench.tick(3)
    assert bench.state == DeviceState.SAFE
    for _ in range(50):
        assert refusal(bench, bench.command(session=old)) == Status.STATE
        assert bench.send(protocol.Arm(old))[0].status == Status.SESSION  # type: ignore[union-attr]
        assert bench.send(protocol.Disarm())[0].status == Status.OK  # type: ignore[union-attr]
        bench.tick()
    assert bench.state == DeviceState.SAFE
    bench.arm()
    assert refusal(bench, bench.command(session=old)) == Status.SESSION


def test_a_burst_of_stale_commands_is_refused() -> None:
    """A host that was stopped sends what it had queued: none of it moves anything."""
    bench = bench_in("ARMED")
    bench.send(bench.command(u=1.0, ttl_ms=50))
    queued = b"".join(bench.frame(bench.command(u=9.0, ttl_ms=50)) for _ in range(200))
    bench.now_us += 300_000
    bench.device.receive(queued, bench.now_us)
    assert bench.state == DeviceState.SAFE
    bench.arm()
    bench.device.receive(queued, bench.now_us)
    bridge = bench.device.bridge
    assert bridge.counters[lib.TL_COUNTER_ACCEPTED] == 1
    assert bridge.counters[lib.TL_COUNTER_REFUSED] == 400
    assert not bridge.live


def test_sequence_numbers() -> None:
    bench = bench_in("ARMED")
    bench.seq = 0xFFF0
    bench.send(protocol.Disarm())
    bench.seq = 0xFFF0
    bench.arm()
    first = bench.seq
    results = [refusal(bench, bench.command(), seq) for seq in (first, first - 1, first + 1, first + 1, first + 20, 3)]
    assert results == [Status.SEQ, Status.SEQ, Status.OK, Status.SEQ, Status.OK, Status.SEQ]
    assert refusal(bench, bench.command(), (first + 30) & 0xFFFF) == Status.OK, "wraps"


def test_other_refusals() -> None:
    bench = bench_in("ARMED")
    assert refusal(bench, bench.command(u=float("nan"))) == Status.VALUE
    assert refusal(bench, bench.command(u=float("inf"), session=99)) == Status.VALUE, "non-finite first"
    assert refusal(bench, bench.command(mode=1)) == Status.MODE
    assert refusal(bench, bench.command(lockstep=True)) == Status.MODE
    assert refusal(bench, bench.command(u=1.0)) == Status.OK
    assert refusal(bench, protocol.Cmd(bench.device.bridge.session, 0, 50, (1.0, 1.0))) == Status.INVALID
    bench.device.receive(protocol.encode(protocol.Frame(FrameType.CMD, 1, 0, b"short")), bench.now_us)
    assert bench.device.bridge.refused_status == Status.INVALID


def test_estop_is_latched() -> None:
    bench = bench_in("ARMED")
    for _ in range(3):
        assert bench.send(protocol.Estop())[0].state == DeviceState.ESTOP  # type: ignore[union-attr]
    session = bench.device.bridge.last_session
    assert bench.send(protocol.Arm(session + 1))[0].status == Status.LATCHED  # type: ignore[union-attr]
    bench.send(protocol.ClearFault())
    assert bench.state == DeviceState.DISARMED
    assert bench.send(protocol.Arm(session))[0].status == Status.SESSION  # type: ignore[union-attr]
    bench.arm()


def test_stopping_takes_any_payload() -> None:
    for kind, state in ((FrameType.ESTOP, DeviceState.ESTOP), (FrameType.DISARM, DeviceState.DISARMED)):
        bench = bench_in("ARMED")
        bench.device.receive(protocol.encode(protocol.Frame(kind, payload=b"whatever")), bench.now_us)
        assert bench.state == state


def test_our_own_hello_echoed_is_no_question() -> None:
    bench = bench_in("DISARMED")
    (hello,) = bench.send(protocol.Hello())
    assert bench.send(hello) == []


def test_repeated_arm_is_acknowledged_while_nothing_has_come_of_it() -> None:
    bench = bench_in("DISARMED")
    frame = bench.frame(protocol.Arm(1))
    for _ in range(3):
        assert bench.heard(bench.device.receive(frame, bench.now_us))[0].status == Status.OK  # type: ignore[union-attr]
    bench.send(bench.command())
    assert bench.heard(bench.device.receive(frame, bench.now_us))[0].status == Status.BUSY  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------- episodes


def test_an_ended_episode_holds_until_reset() -> None:
    bench = bench_in("ARMED", max_steps=5)
    last: protocol.State | None = None
    for _ in range(8):
        bench.send(bench.command())
        told = bench.tick()
        state = next(m for m in told if isinstance(m, protocol.State))
        if state.epflags & protocol.Episode.TRUNCATED:
            last = last or state
            assert (state.x, state.reward, state.epflags) == (last.x, last.reward, last.epflags)
    assert last is not None
    assert last.epflags == protocol.Episode.TRUNCATED | protocol.Episode.REWARD
    assert refusal(bench, bench.command()) == Status.EPISODE
    session = bench.device.bridge.session
    assert bench.send(protocol.Reset(session, 7, 3))[0].status == Status.OK  # type: ignore[union-attr]
    assert bench.state == DeviceState.RESETTING
    first = bench.tick()[0]
    assert isinstance(first, protocol.State)
    assert (first.state, first.episode, first.epflags) == (DeviceState.ARMED, 7, protocol.Episode.FIRST)
    second = bench.tick()[-1]
    assert isinstance(second, protocol.State)
    assert second.epflags == protocol.Episode.REWARD


def test_commands_that_answer_an_older_episode_are_refused() -> None:
    bench = bench_in("ARMED")
    before = bench.now_us
    bench.send(protocol.Reset(bench.device.bridge.session, 1, 0))
    bench.tick()
    assert refusal(bench, bench.command(obs_t_us=before)) == Status.EPISODE
    assert refusal(bench, bench.command(obs_t_us=bench.now_us)) == Status.OK


def test_resets() -> None:
    bench = bench_in("ARMED")
    session = bench.device.bridge.session

    def reset(episode: int, session: int = session) -> Status:
        status = bench.send(protocol.Reset(session, episode, 0))[0].status  # type: ignore[union-attr]
        bench.tick()
        return status  # type: ignore[return-value]

    assert reset(0) == Status.EPISODE, "the one that is in progress"
    assert reset(60_000) == Status.OK, "the first of a session may be any other"
    assert [reset(59_999), reset(60_000), reset(60_001), reset(5)] == [
        Status.EPISODE,
        Status.EPISODE,
        Status.OK,
        Status.OK,
    ], "then only newer ones, across the wrap"
    assert reset(6, session + 1) == Status.SESSION


def test_a_reset_takes_its_time_and_its_repetition_keeps_the_session_alive() -> None:
    bench = bench_in("ARMED", reset_ticks=200)  # 2 s at 100 Hz
    frame = bench.frame(protocol.Reset(bench.device.bridge.session, 1, 0))
    for _ in range(200):
        answer = bench.heard(bench.device.receive(frame, bench.now_us))
        assert answer[0].status == Status.OK  # type: ignore[union-attr]
        told = bench.tick()[-1]
        assert (told.state, told.epflags) == (DeviceState.RESETTING, 0)  # type: ignore[union-attr]
    assert bench.tick()[-1].epflags == protocol.Episode.FIRST  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------- lockstep


def lockstep_bytes(bench: Bench, steps: int, waits: bool = False) -> bytes:
    """The device's output in a lockstep session."""
    said = bench.device.receive(
        bench.frame(protocol.Arm(bench.device.bridge.last_session + 1, lockstep=True)), bench.now_us
    )
    reset = protocol.pack(protocol.Reset(bench.device.bridge.session, 40, 123), 1, 0)
    said += bench.device.receive(protocol.encode(reset), bench.now_us)
    for step in range(steps):
        t = bench.device.bridge.virtual_us
        cmd = protocol.Cmd(bench.device.bridge.session, t, 50, (0.1 * (step % 7),), lockstep=True)
        said += bench.device.receive(protocol.encode(protocol.pack(cmd, 2 + step, t)), bench.now_us)
        if waits:
            bench.now_us += 333_333
            said += bench.device.tick(bench.now_us)
    return said


def test_equal_inputs_give_equal_bytes() -> None:
    """Whatever the plant did before, and however long the host takes in between."""
    one, other = bench_in("DISARMED"), bench_in("DISARMED", seed=77)
    other.tick(33)
    other.device.receive(b"noise\0" * 3, other.now_us)
    said = []
    for bench, waits in ((one, False), (other, True)):
        bench.seq = 0
        bench.now_us = 10 * SECONDS  # the host's clock, which ARM carries
        frames = protocol.Decoder().feed(lockstep_bytes(bench, 200, waits))
        while frames[0].type != FrameType.ACK:  # pending output from before
            frames.pop(0)
        assert frames.pop(1).type == FrameType.STATE  # right after ARM: where the plant happened to stand
        said.append(frames)
    assert len(said[0]) == 203
    assert said[0] == said[1]


def test_lockstep_steps_once_per_command_and_repeats_from_the_cache() -> None:
    bench = bench_in("DISARMED")
    bench.arm(lockstep=True)
    for step in range(1, 5):
        frame = bench.frame(bench.command())
        answers = set()
        for _ in range(3):
            bench.now_us += 1000
            answers.add(bench.device.receive(frame, bench.now_us))
        assert len(answers) == 1, "the same bytes again"
        (state,) = bench.heard(answers.pop())
        assert isinstance(state, protocol.State)
        assert bench.device.bridge.virtual_us == step * PERIOD_US
        assert state.last_cmd_seq == bench.seq
    assert bench.device.bridge.counters[lib.TL_COUNTER_REPEATED] == 8


def test_lockstep_takes_one_command_at_a_time() -> None:
    bench = bench_in("DISARMED")
    bench.arm(lockstep=True)
    two = bench.frame(bench.command()) + bench.frame(bench.command())
    state, event = bench.heard(bench.device.receive(two, bench.now_us))
    assert isinstance(state, protocol.State)
    assert event == protocol.Event(protocol.EventCode.REFUSED, Status.STALE, bench.seq, 1)
    assert bench.device.bridge.virtual_us == PERIOD_US


def test_lockstep_commands_must_say_so() -> None:
    bench = bench_in("DISARMED")
    bench.arm(lockstep=True)
    assert bench.send(bench.command(lockstep=False))[0].status == Status.MODE  # type: ignore[union-attr]


def test_lockstep_is_silent_while_virtual_time_stands_still() -> None:
    bench = bench_in("DISARMED")
    bench.arm(lockstep=True)
    bench.now_us += 900_000
    assert bench.tick() == []
    assert bench.state == DeviceState.ARMED
    bench.now_us += 200_000
    told = bench.tick(2)
    assert isinstance(told[0], protocol.State)
    assert (told[0].state, told[0].fault) == (DeviceState.SAFE, protocol.Fault.SILENCE)


def test_lockstep_tells_of_damage_at_once() -> None:
    bench = bench_in("DISARMED")
    bench.arm(lockstep=True)
    frame = bytearray(bench.frame(bench.command()))
    frame[8] ^= 1
    answer = bench.heard(bench.device.receive(bytes(frame), bench.now_us))
    assert answer == [protocol.Event(protocol.EventCode.DAMAGED, Status.OK, 0, 1)]


def test_lost_answers_to_arm_and_reset_are_given_again() -> None:
    bench = bench_in("DISARMED")
    arm = bench.frame(protocol.Arm(1, lockstep=True))
    one, two = (bench.heard(bench.device.receive(arm, bench.now_us)) for _ in range(2))
    assert one == two
    assert kinds(one) == ["Ack", "State"]
    reset = bench.frame(protocol.Reset(1, 1, 5))
    one, two = (bench.heard(bench.device.receive(reset, bench.now_us)) for _ in range(2))
    assert one == two
    assert kinds(one) == ["Ack", "State"]
    assert one[1].epflags == protocol.Episode.FIRST  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------- the rest


def test_late_ticks_are_skipped_not_caught_up() -> None:
    bench = bench_in("DISARMED")
    bench.now_us = bench.device.due_us + int(3.2 * PERIOD_US)
    due = bench.device.due_us
    told = bench.tick()
    assert kinds(told) == ["State", "Event"]
    assert told[1] == protocol.Event(protocol.EventCode.OVERRUN, Status.OK, 0, 3)
    assert bench.device.due_us == due + 4 * PERIOD_US


def test_rows_and_hash_agree() -> None:
    bench = bench_in("DISARMED")
    (hello,) = bench.send(protocol.Hello())
    assert isinstance(hello, protocol.Hello)
    rows = [bench.send(protocol.Describe(i))[0] for i in range(hello.observation_size + hello.action_size)]
    assert all(isinstance(row, protocol.Channel) for row in rows)
    assert protocol.schema_hash(hello.period_us, rows) == hello.schema_hash  # type: ignore[arg-type]
    beyond = protocol.Describe(hello.observation_size + hello.action_size)
    assert bench.send(beyond)[0].status == Status.INVALID  # type: ignore[union-attr]


def test_counters_can_be_read_and_not_written() -> None:
    bench = bench_in("DISARMED")
    bench.device.receive(b"\1\2\3\0", bench.now_us)
    assert bench.send(protocol.Param(lib.TL_COUNTER_GARBLED))[0].bits == 1  # type: ignore[union-attr]
    assert bench.send(protocol.Param(lib.TL_COUNTER_COUNT))[0].status == Status.UNSUPPORTED  # type: ignore[union-attr]
    write = protocol.Param(0, op=lib.TL_PARAM_WRITE)
    assert bench.send(write)[0].status == Status.UNSUPPORTED  # type: ignore[union-attr]
