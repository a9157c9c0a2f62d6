"""The native loop over a serial port: here the firmware as a process; on a robot, the port of its board."""

import math

import rtu_edge as rtu
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Limits, Link, Loop, LoopConfig

with SimulatedDevice(plant="cartpole") as device, open_port(device.port) as port, Link(port) as link:
    hello = link.handshake()
    for row in link.describe():
        kind = "moves" if row.actuator else "sees"
        print(f"{kind} {row.name}: {row.minimum:g} to {row.maximum:g} {row.unit}")

    agent = rtu.StreamAC(observation_size=hello.n_observations, action_size=hello.n_actuators, seed=0)
    # On real hardware slew and acceleration have to be said, math.inf for no limit.
    limits = [Limits(low=-10.0, high=10.0, slew_per_s=math.inf, accel_per_s2=math.inf)]
    config = LoopConfig(limits=limits, steps=5000, seed=0)
    result = Loop(link, agent.core.policy(), config).run(
        on_progress=lambda status, records: print(f"  step {status.steps}, episode {status.episodes}")
    )

print(
    f"{result.reason.value}: {result.steps} steps, {result.steps / result.seconds:.0f} steps/s, {result.episodes} episodes"
)
print(f"stop confirmed by the device: {result.confirmed}")
assert result.confirmed
assert result.steps == 5000
