"""Gymnasium environments of the plants, with the C code of the firmware, and of any robot.

Importing this module registers them; it needs gymnasium (`pip install "rtu_edge[gym]"`). With the prefix
"rtu_edge.envs:" in the id, gymnasium imports the module itself, also in the workers of a vector environment.

>>> import gymnasium
>>> env = gymnasium.make("rtu_edge.envs:rtu_edge/CartPolePosition-v0")
>>> observation, info = env.reset(seed=7)
>>> env.action_space
Box(-1.0, 1.0, (1,), float32)

Many plants at once, stepped in C:

>>> many = gymnasium.make_vec("rtu_edge.envs:rtu_edge/CartPole-v0", num_envs=64)
>>> observations, infos = many.reset(seed=7)
>>> observations.shape
(64, 4)

An agent that fits: `rtu_edge.StreamAC.from_env(env)`; `agent.learn(env, 100_000)` lets it learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtu_edge._base.lazy import lazily
from rtu_edge._base.packages import needed_by

if TYPE_CHECKING:
    from rtu_edge.envs.machine_env import MachineEnv
    from rtu_edge.envs.plant_env import PlantEnv
    from rtu_edge.envs.robot_env import RobotEnv, connected
    from rtu_edge.envs.vector import PlantVectorEnv

__all__ = ["IDS", "MachineEnv", "PlantEnv", "PlantVectorEnv", "RobotEnv", "connected", "register"]

IDS = {
    "rtu_edge/CartPolePosition-v0": "cartpole",
    "rtu_edge/CartPole-v0": "cartpole-full",
    "rtu_edge/PendulumPosition-v0": "pendulum",
    "rtu_edge/Pendulum-v0": "pendulum-full",
    "rtu_edge/ServoPosition-v0": "servo",
    "rtu_edge/Servo-v0": "servo-full",
}

ROBOT_ID = "rtu_edge/Robot-v0"
FAMILY_ID = "rtu_edge/Family-v0"


def register() -> None:
    """Make the environments known to gymnasium.make and make_vec; idempotent."""
    with needed_by("rtu_edge.envs"):
        from gymnasium.envs import registration

    for name, plant in IDS.items():
        if name not in registration.registry:
            registration.register(
                id=name,
                entry_point="rtu_edge.envs:PlantEnv",
                vector_entry_point="rtu_edge.envs:PlantVectorEnv",
                kwargs={"plant": plant},
            )
    if ROBOT_ID not in registration.registry:
        registration.register(id=ROBOT_ID, entry_point="rtu_edge.envs:connected")
    if FAMILY_ID not in registration.registry:
        registration.register(id=FAMILY_ID, entry_point="rtu_edge.envs:MachineEnv")


# Loaded on first use: gymnasium may import this module while it is only partly imported (plugins).
__getattr__ = lazily(__name__, __all__, ("plant_env", "vector", "robot_env", "machine_env"))

register()
