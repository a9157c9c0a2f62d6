"""Clocks, delays and losses of a link as Python sees them; the arithmetic is tests/native/test_quality.cpp's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtu_edge import _testing
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Clock, Link, Loop, LoopConfig
from rtu_edge.run import stage_of


@pytest.mark.timing
@pytest.mark.alone
def test_a_run_against_a_process_knows_its_link() -> None:
    with SimulatedDevice("servo") as device, open_port(device.port) as port, Link(port) as link:
        hello = link.handshake()
        assert math.isnan(link.quality.offset_us) and link.quality.known()["pongs"] == 0
        policy = _testing.LinearPolicy(hello.observation_size, [0.0])
        config = LoopConfig(clock=Clock.DEVICE, seconds=4.5, ttl_ms=200)  # drift is known after some seconds
        loop = Loop(link, policy.policy(), config)
        result = loop.run()
        records = loop.drain()
    quality = result.link
    assert quality.pongs > 50 and quality.lost_in == quality.lost_out == 0
    # Two processes of one host read one clock: what remains is the asymmetry of the two directions.
    assert abs(quality.drift_ppm) < 200
    assert 0 < quality.round_trip_min_us <= quality.round_trip_us <= quality.round_trip_max_us
    assert quality.device["accepted"] > 50 and quality.device["crc_errors"] == 0
    ages = records["command_age_us"][records["command_age_us"] != 2**32 - 1]
    # A command is reported by the STATE of the next period, or by a later one if it was late; ticks of a process
    # jitter.
    assert abs(np.median(ages) / hello.period_us - 1) < 0.1 and ages.max() == quality.command_age_max_us
    stage = stage_of(result)
    assert stage.link["device_accepted"] == quality.device["accepted"] and not any(map(math.isnan, stage.link.values()))
