"""Words and bits that stand twice, here and in native/runtime/telemetry.h and gate.h; a test compares them."""

from __future__ import annotations

import enum

__all__ = ["CallFlag", "GateFlag", "RecordFlag", "StopReason"]


class StopReason(enum.Enum):
    """Why a run ended."""

    NONE = "none"  # still running
    STEPS = "steps"
    SECONDS = "seconds"
    EPISODES = "episodes"
    TARGET = "target"  # the mean return of the last episodes reached the target
    REQUEST = "request"  # Loop.request_stop(), or the progress callback raised
    SIGNAL = "signal"  # the first SIGINT or SIGTERM
    ESTOP = "estop"  # emergency stop asked for by this process, a second signal or the control socket
    DEVICE_SAFE = "device_safe"  # the device went to SAFE: it saw no fresh command in time
    DEVICE_FAULT = "device_fault"  # the device reports a fault or an emergency stop that was not ours
    DEVICE_RESTART = "device_restart"  # new boot_id, or DISARMED while believed armed
    HALF_OPEN = "half_open"  # STATE arrives, commands do not
    LINK_LOST = "link_lost"  # nothing arrives, or the port is gone
    ARM_REFUSED = "arm_refused"
    RESET_TIMEOUT = "reset_timeout"
    POLICY = "policy"  # the policy failed, or gave non-finite actions, several times in a row
    REWARD = "reward"  # the Python reward callable raised


class RecordFlag(enum.IntFlag):
    """Bits of a telemetry record's `flags`."""

    FIRST = 1  # first observation of an episode
    TERMINATED = 2
    TRUNCATED = 4
    ACTED = 8  # a command left (in a dry run: would have)
    LEARNED = 16  # a transition was learned from, with or without an update
    REPLACED = 32  # the applied command was not what the policy chose
    PREDICT_FAILED = 64
    LEARN_FAILED = 128
    REWARD_REFUSED = 256  # not finite: not learned from


class CallFlag(enum.IntFlag):
    """Bits of a telemetry record's `calls`: what the policy was asked for."""

    BEGIN = 1
    PREDICT = 2
    EXPLORE = 4
    LEARN = 8
    EXECUTED = 16  # learn was told that something else was carried out
    UPDATE = 32  # the weights moved; without it the deadline rule dropped the update


class GateFlag(enum.IntFlag):
    """Bits of a telemetry record's `gate`."""

    NON_FINITE = 1  # replaced by the last value sent
    RANGE = 2
    SLEW = 4
    HELD = 8  # no prediction: the last command was sent again
    CLIPPED = 16  # the policy's own action was outside -1..1; not a hit of the gate
