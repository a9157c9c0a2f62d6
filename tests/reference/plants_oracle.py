"""The plants in double precision, written from the papers and data sheets, not from the C code.

Pure functions of the state.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class CartPole(NamedTuple):
    x: float
    v: float
    theta: float
    omega: float


def cartpole_step(s: CartPole, force: float) -> tuple[CartPole, float, bool]:
    """Barto, Sutton, Anderson 1983 without friction; Florian 2007, equations 23 and 24; Euler, 20 ms."""
    g, m_cart, m_pole, length, dt = 9.8, 1.0, 0.1, 0.5, 0.02
    force = min(max(force, -10.0), 10.0)
    sin, cos = math.sin(s.theta), math.cos(s.theta)
    total = m_cart + m_pole
    inner = (-force - m_pole * length * s.omega**2 * sin) / total
    omega_dot = (g * sin + cos * inner) / (length * (4 / 3 - m_pole * cos**2 / total))
    v_dot = (force + m_pole * length * (s.omega**2 * sin - omega_dot * cos)) / total
    new = CartPole(s.x + dt * s.v, s.v + dt * v_dot, s.theta + dt * s.omega, s.omega + dt * omega_dot)
    return new, 1.0, abs(new.x) > 2.4 or abs(new.theta) > math.radians(12)


def cartpole_energy(s: CartPole) -> float:
    """Kinetic and potential energy of cart and uniform pole, J."""
    m_cart, m_pole, length, g = 1.0, 0.1, 0.5, 9.8
    pole_vx = s.v + length * s.omega * math.cos(s.theta)
    pole_vy = -length * s.omega * math.sin(s.theta)
    inertia = m_pole * (2 * length) ** 2 / 12
    kinetic = 0.5 * m_cart * s.v**2 + 0.5 * m_pole * (pole_vx**2 + pole_vy**2) + 0.5 * inertia * s.omega**2
    return kinetic + m_pole * g * length * math.cos(s.theta)


class Pendulum(NamedTuple):
    theta: float
    omega: float


def wrap(angle: float) -> float:
    """To [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def pendulum_step(s: Pendulum, torque: float) -> tuple[Pendulum, float]:
    """Rod of 1 kg and 1 m hinged at its end, theta 0 upright, 50 ms, semi-implicit Euler, speed limited to 8 rad/s."""
    g, m, length, dt = 10.0, 1.0, 1.0, 0.05
    torque = min(max(torque, -2.0), 2.0)
    reward = -(wrap(s.theta) ** 2 + 0.1 * s.omega**2 + 0.001 * torque**2)
    inertia = m * length**2 / 3
    omega = s.omega + (m * g * length / 2 * math.sin(s.theta) + torque) / inertia * dt
    omega = min(max(omega, -8.0), 8.0)
    return Pendulum(wrap(s.theta + omega * dt), omega), reward


def pendulum_energy(s: Pendulum) -> float:
    """J; 5 at rest upright, -5 hanging."""
    return s.omega**2 / 6 + 5.0 * math.cos(s.theta)


class Servo(NamedTuple):
    theta: float
    omega: float
    current: float


SERVO_R, SERVO_L, SERVO_K = 8.4, 1.16e-3, 0.042
SERVO_J = 4.0e-6 + 0.6e-6 + 0.053 * 0.0248**2 / 2
SERVO_B, SERVO_COULOMB, SERVO_STOP = 5.0e-6, 1.5e-3, 2.5


def servo_step(s: Servo, voltage: float, seconds: float = 0.01, dt: float = 5e-6) -> Servo:
    """The motor's differential equations by explicit Euler; friction holds at rest, end stops are inelastic.

    A method other than the plant's own: the difference of the two bounds the error of both.
    """
    voltage = min(max(voltage, -10.0), 10.0)
    theta, omega, current = s
    for _ in range(round(seconds / dt)):
        torque = SERVO_K * current - SERVO_B * omega
        current += dt / SERVO_L * (voltage - SERVO_R * current - SERVO_K * omega)
        if omega == 0.0 and abs(torque) <= SERVO_COULOMB:
            continue
        direction = math.copysign(1.0, omega if omega != 0.0 else torque)
        new = omega + dt / SERVO_J * (torque - direction * SERVO_COULOMB)
        omega = 0.0 if new * direction < 0.0 else new
        theta += dt * omega
        if abs(theta) >= SERVO_STOP:
            theta, omega = math.copysign(SERVO_STOP, theta), 0.0
    return Servo(theta, omega, current)


def servo_substeps(s: Servo, voltage: float) -> Servo:
    """One step of 10 ms as in the data sheet the plant computes it: 20 substeps, the current exact within each."""
    voltage = min(max(voltage, -10.0), 10.0)
    theta, omega, current = s
    h = 5e-4
    rate = SERVO_R / SERVO_L
    decay = math.exp(-rate * h)
    for _ in range(20):
        settled = (voltage - SERVO_K * omega) / SERVO_R
        mean = settled + (current - settled) * (1 - decay) / (rate * h)
        current = settled + (current - settled) * decay
        torque = SERVO_K * mean - SERVO_B * omega
        before = omega
        if omega != 0.0 or abs(torque) > SERVO_COULOMB:
            direction = math.copysign(1.0, omega if omega != 0.0 else torque)
            new = omega + h / SERVO_J * (torque - direction * SERVO_COULOMB)
            omega = 0.0 if new * direction < 0.0 else new
        theta += h * (before + omega) / 2
        if abs(theta) > SERVO_STOP:
            theta, omega = math.copysign(SERVO_STOP, theta), 0.0
    return Servo(theta, omega, current)
