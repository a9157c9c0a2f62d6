"""A device in Python: a class around a vendor's SDK. Here the SDK is a fake, of a motor with an encoder."""

import math
import time

import rtu_edge as rtu


class FakeSdk:
    """Stands for any vendor's library."""

    def __init__(self) -> None:
        self.angle, self.speed, self.torque, self.brake, self._then = 0.0, 0.0, 0.0, True, time.monotonic()

    def poll(self) -> tuple[float, float]:
        now = time.monotonic()
        self.speed += (self.torque - 0.5 * self.speed) * (now - self._then) * (not self.brake)
        self.angle, self._then = self.angle + self.speed * (now - self._then), now
        return math.remainder(self.angle, 2 * math.pi), self.speed

    def set_torque(self, newton_metres: float) -> None:
        self.torque, self.brake = newton_metres, False

    def engage_brake(self) -> None:
        self.torque, self.speed, self.brake = 0.0, 0.0, True


class Motor(rtu.PythonDevice):
    period_s = 0.02
    observations = (rtu.Channel("angle", "rad", -math.pi, math.pi), rtu.Channel("speed", "rad/s", -20.0, 20.0))
    actuators = (rtu.Channel("torque", "Nm", -2.0, 2.0, safe=rtu.Safe.OFF, slew=0.2),)
    simulated = True  # only because the SDK is a fake: leave it out, and a host needs arm=True and limits

    def open(self) -> None:
        self.sdk = FakeSdk()

    def read(self) -> tuple[float, float]:
        return self.sdk.poll()

    def write(self, u) -> None:
        self.sdk.set_torque(float(u[0]))

    def safe(self) -> None:
        self.sdk.engage_brake()


if __name__ == "__main__":  # not where `rtu-edge device` imports the file
    motor = Motor()
    reward = rtu.Reward("form", quadratic=(0.0, -1.0), target=(0.0, 1.5))  # -(speed - 1.5)^2
    with rtu.connect(motor, reward=reward) as robot:
        print(robot.describe())
        agent = rtu.StreamAC.from_env(robot, seed=0)
        print(robot.run(agent, steps=150))
    assert motor.sdk.brake
