"""The native loop over a serial port: here of the firmware as a process; on a robot, of its board."""

import math

import rtu_edge as rtu
from rtu_edge.device.ports import open_port
from rtu_edge.device.simulated import SimulatedDevice
from rtu_edge.loop import Limits, Link, Loop, LoopConfig

with SimulatedDevice(plant="cartpole") as device, open_port(device.port) as port, Link(port) as link:
    hello = link.handshake()
    for channel in link.describe().channels:
        kind = "moves" if channel.actuator else "sees"
        print(f"{kind} {channel.name}: {channel.min:g} to {channel.max:g} {channel.unit}")

    agent = rtu.StreamAC(observation_size=hello.observation_size, action_size=hello.action_size, seed=0)
    # Real hardware requires slew and acceleration limits; math.inf means no limit.
    limits = [Limits(min=-10.0, max=10.0, slew_per_s=math.inf, accel_per_s2=math.inf)]
    config = LoopConfig(limits=limits, steps=5000, seed=0)
    result = Loop(link, agent, config).run(
        on_progress=lambda status, records: print(f"  step {status.steps}, episode {status.episodes}")
    )

print(
    f"{result.reason.value}: {result.steps} steps, {result.steps / result.seconds:.0f} steps/s, {result.episodes} "
    "episodes"
)
print(f"stop confirmed by the device: {result.confirmed}")
assert result.confirmed
assert result.steps == 5000
