"""RecurrentPPO of SB3-contrib with its defaults: an LSTM of 256 units, one environment."""

from __future__ import annotations

import measured
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.monitor import Monitor


def train(task: str, steps: int, seed: int) -> measured.Episodes:
    torch.set_num_threads(1)
    env = Monitor(measured.positions_only(task))
    agent = RecurrentPPO("MlpLstmPolicy", env, seed=seed, device="cpu")
    agent.learn(steps)
    return zip(env.get_episode_lengths(), env.get_episode_rewards(), strict=True)


if __name__ == "__main__":
    measured.main(train)
