"""PPO of memorax with a GRU of 64 units; the numbers are those of its README. All is compiled, the task too."""

from __future__ import annotations

import flax.linen as nn
import jax
import measured
import numpy as np
import optax
from memorax.algorithms import PPO, PPOConfig
from memorax.networks import MLP, RNN, FeatureExtractor, Network, heads

ENVS, ROLLOUT = 8, 128


def train(task: str, steps: int, seed: int) -> measured.Episodes:
    env, params = measured.compiled_positions_only(task)
    config = PPOConfig(
        name="PPO", num_envs=ENVS, num_eval_envs=1, num_steps=ROLLOUT, gamma=0.99, gae_lambda=0.95, num_minibatches=4,
        update_epochs=4, normalize_advantage=True, clip_coef=0.2, clip_vloss=True, ent_coef=0.01, vf_coef=0.5,
    )  # fmt: skip
    space = env.action_space(params)
    discrete = hasattr(space, "n")
    features = FeatureExtractor(observation_extractor=MLP(features=(64,)))
    memory = RNN(cell=nn.GRUCell(features=64))
    policy = heads.Categorical(space.n) if discrete else heads.Gaussian(space.shape[0])
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-4))
    networks = Network(features, memory, policy), Network(features, memory, heads.VNetwork())
    agent = PPO(config, env, params, *networks, optimizer, optimizer)
    key, state = agent.init(jax.random.key(seed))
    key, state, transitions = agent.train(key, state, steps)
    info = transitions.info
    ended = np.asarray(info["returned_episode"])
    return zip(
        np.asarray(info["returned_episode_lengths"])[ended],
        np.asarray(info["returned_episode_returns"])[ended],
        strict=True,
    )


if __name__ == "__main__":
    measured.main(train)
