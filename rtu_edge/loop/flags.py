"""Enumerations and flags, also defined in native/runtime (loop, record, safety). A test compares them."""

from __future__ import annotations

import enum

__all__ = [
    "MOST_COMPANIONS",
    "CallFlag",
    "Cause",
    "Clock",
    "Driver",
    "LimiterFlag",
    "MonitorFlag",
    "RecordFlag",
    "SensorFlag",
    "StopReason",
]


MOST_COMPANIONS = 3  # of a loop


class Clock(str, enum.Enum):
    """The source of the loop's tick."""

    DEVICE = "device"  # one step per new STATE, which the device sends on its own timer; a watchdog counts missing ones
    HOST = "host"  # absolute deadlines of the host, for polled buses
    LOCKSTEP = "lockstep"  # virtual time: the plant steps once per command, as fast as the link allows


class StopReason(enum.Enum):
    """Why a run ended."""

    NONE = "none"  # still running
    STEPS = "steps"
    SECONDS = "seconds"
    EPISODES = "episodes"
    TARGET = "target"  # the mean return of the last episodes reached the target
    REQUEST = "request"  # Loop.request_stop(), or the progress callback raised
    SIGNAL = "signal"  # the first SIGINT, SIGTERM or SIGHUP
    ESTOP = "estop"  # emergency stop requested by this process, a second signal or the control socket
    DEVICE_SAFE = "device_safe"  # the device went to SAFE: it received no fresh command in time
    DEVICE_FAULT = "device_fault"  # the device reports a fault or an emergency stop from another source
    DEVICE_RESTART = "device_restart"  # new boot_id, or DISARMED while trusted armed
    HALF_OPEN = "half_open"  # STATE arrives, commands do not
    LINK_LOST = "link_lost"  # nothing arrives, or the port is gone
    ARM_REFUSED = "arm_refused"
    RESET_TIMEOUT = "reset_timeout"
    POLICY = "policy"  # the policy failed, or gave non-finite actions, several times in a row
    REWARD = "reward"  # the Python reward callable raised
    SENSOR = "sensor"  # an observation that stops the run by the configuration
    CHECK = "check"  # the plant does not do what is commanded
    NOT_READY = "not_ready"  # not armed, or no episode begun: an observation, the pose, or an earlier finding
    HOMING = "homing"  # the plant was not brought to its start


class RecordFlag(enum.IntFlag):
    """Bits of a telemetry record's `flags`."""

    FIRST = 1  # first observation of an episode
    TERMINATED = 2
    TRUNCATED = 4
    ACTED = 8  # a command was sent (in a dry run: computed)
    LEARNED = 16  # a transition was learned from, with or without an update
    OVERRIDDEN = (
        32  # applied differs from the choice (where it learned: by the policy's decision): only the critic learned
    )
    PREDICT_FAILED = 64
    UPDATE_FAILED = 128
    REWARD_REFUSED = 256  # not finite: not learned from
    RECONNECTED = 512  # first observation of a session that was opened after the link was lost
    CHECK = 1024  # a plant check has a finding
    HOMING = 2048  # between episodes: the plant is brought to its start, and the policy is not called
    PERSON = 4096  # a person drove instead of the supervisor's choice
    SILENT = 8192  # the person's source did not report: the fallback drove


class CallFlag(enum.IntFlag):
    """Bits of a telemetry record's `calls`: calls of the policy."""

    BEGIN = 1
    PREDICT = 2
    EXPLORE = 4
    LEARN = 8  # update() was called
    APPLIED = 16  # update() was given the applied action: it differs from the command
    WEIGHTS = 32  # update() moved the weights; without it the deadline rule dropped the update
    CONTINUED = 64  # with BEGIN: no RESET of this host, so the slew limits continue from the last command
    LIMITER = 128  # with RecordFlag.HOMING: the limits on changes start from the applied values


class LimiterFlag(enum.IntFlag):
    """Bits of a telemetry record's `command_limiter`."""

    NON_FINITE = 1  # replaced by the last value sent
    RANGE = 2
    SLEW = 4
    HELD = 8  # no prediction: the last command was sent again
    CLIPPED = 16  # the policy's own action was outside -1..1; not limited by it
    ACCEL = 32


class SensorFlag(enum.IntFlag):
    """Bits of a telemetry record's `sensor_monitor`; `sensor_channel` is the first channel with any."""

    NON_FINITE = 1
    DROPOUT = 2  # NaN: the channel is missing
    RANGE = 4
    SPIKE = 8
    STUCK = 16
    HELD = 32  # the last good value took its place
    CLAMPED = 64
    FALLBACK = 128  # the fallback has to drive
    STOP = 256
    REWARD = 512  # the reward was out of its range: not learned from


class MonitorFlag(enum.IntFlag):
    """Bits of a telemetry record's `learner_monitor`: findings and actions."""

    NON_FINITE = 1
    WEIGHTS = 2
    TD_ERROR = 4
    SATURATED = 8
    RETENTION = 16
    FALLBACK_RATE = 32
    FAILED = 64
    NORMALIZER = 128
    ROLLED_BACK = 1 << 16
    FROZEN = 1 << 17  # from now on the fallback drives
    SNAPSHOT = 1 << 18
    SNAPSHOT_REFUSED = 1 << 19
    VALIDATED = 1 << 20


class Driver(enum.IntEnum):
    """The driver: bits 4 to 7 of a telemetry record's `mode`; bits 0 to 3 are the mode, 0 without a supervisor."""

    LEARNER = 0
    FALLBACK = 1
    BOTH = 2
    PERSON = 3

    @classmethod
    def of(cls, mode: int) -> Driver:
        """The driver in a record's `mode`."""
        return cls(mode >> 4 & 15)


class Cause(enum.IntEnum):
    """Why the fallback or a person drives: bits 8 to 11 of a telemetry record's `mode`."""

    NONE = 0
    MODE = 1
    SENSOR = 2
    LEARNER = 3
    MONITOR = 4
    DWELL = 5
    LOCKED = 6
    FROZEN = 7
    FAILED = 8  # the fallback too, several times in a row: the actuators rest, and the run ends
    PERSON = 9  # a person has taken over
    SILENT = 10  # the person's source does not report

    @classmethod
    def of(cls, mode: int) -> Cause:
        """The cause in a record's `mode`."""
        return cls(mode >> 8 & 15)
