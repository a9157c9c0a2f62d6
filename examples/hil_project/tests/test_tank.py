"""The tank under its controller, with and without faults."""

import numpy as np
import pytest

from rtu_edge.device.protocol import DeviceState
from rtu_edge.loop import Clock, StopReason

CONTROLLER = {"bias": [-0.5], "gain": [[-16.0, 16.0]]}


def test_the_level_comes_to_its_target(rtu_loop):
    loop = rtu_loop(**CONTROLLER, clock=Clock.LOCKSTEP, steps=400)  # 8 s of the tank's time
    assert loop.run().reason is StopReason.STEPS
    level, target = loop.drain()["x"][-1]
    assert abs(level - target) < 0.05


def test_the_pump_stops_when_the_line_is_cut(rtu_device, rtu_loop, rtu_fault):
    rtu_loop(**CONTROLLER, ttl_ms=95).start()
    rtu_device.wait_for(DeviceState.ARMED)
    with rtu_fault("the line is cut"):
        rtu_device.wait_for(DeviceState.SAFE)
    assert rtu_device.state.u == (0.0,)
    assert rtu_device.counters()["silences"] == 1


@pytest.mark.rtu_faults
def test_each_fault_comes_to_what_it_should(rtu_result):
    assert rtu_result.passed, rtu_result.why


@pytest.mark.rtu_hardware
def test_the_level_sensor_is_connected(rtu_device):
    levels = [state.x[0] for _, state in rtu_device.trace.states()]
    assert np.ptp(levels) > 0.0  # a sensor that is there has noise
