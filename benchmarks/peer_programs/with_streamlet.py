"""Recurrent AC(lambda) of streamlet with ObGD and the numbers of its examples. It has no recurrent trace unit: a GRU of
flax with 64 units takes its place, with credit for one step. All is compiled, the task too."""

from __future__ import annotations

from typing import Any

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import measured
import numpy as np
from streamlet.algorithms import RecurrentACLambda, RecurrentACLambdaConfig
from streamlet.environments.wrappers import NormalizeObservationWrapper, NormalizeRewardWrapper
from streamlet.networks import sparse
from streamlet.optimizers import ObGD, ObGDConfig


class Learner(nn.Module):
    actions: int
    discrete: bool

    @nn.compact
    def __call__(self, carry: Any, x: Any, action: Any, reward: Any, done: Any) -> Any:
        def dense(width: int) -> nn.Dense:
            return nn.Dense(width, kernel_init=sparse(sparsity=0.9))

        carry = jnp.where(done, 0.0, carry)
        carry, y = nn.GRUCell(64)(carry, nn.leaky_relu(nn.LayerNorm()(dense(64)(x))))
        value = dense(1)(y)
        if self.discrete:
            return carry, (distrax.Categorical(logits=dense(self.actions)(y)), value)
        sigma = nn.softplus(dense(self.actions)(y))
        return carry, (distrax.MultivariateNormalDiag(dense(self.actions)(y), sigma), value)

    @nn.nowrap
    def initialize_carry(self, key: Any) -> Any:
        return jnp.zeros(64)


def train(task: str, steps: int, seed: int) -> measured.Episodes:
    env, params = measured.compiled_positions_only(task)
    space = env.action_space(params)
    discrete = hasattr(space, "n")
    env = NormalizeRewardWrapper(NormalizeObservationWrapper(env))
    agent = RecurrentACLambda(
        RecurrentACLambdaConfig(gamma=0.99, trace_lambda=0.8, unroll=1),
        env,
        params,
        Learner(space.n if discrete else space.shape[0], discrete),
        ObGD(ObGDConfig(lr=1.0, kappa=3.0)),
        ObGD(ObGDConfig(lr=1.0, kappa=2.0)),
    )

    @jax.jit
    def step(state: Any, key: Any) -> Any:
        state, transition = agent.env_step(state, key, 1.0)
        log = state.env_state.env_state.env_state  # of the innermost wrapper, which records returns
        return agent.update_step(state, transition), (
            transition.second.done, log.returned_episode_lengths, log.returned_episode_returns,
        )  # fmt: skip

    state = agent.init(jax.random.key(seed))
    _, log = jax.lax.scan(step, state, jax.random.split(jax.random.key(seed + 1), steps))
    ended, lengths, returns = map(np.asarray, log)
    return zip(lengths[ended], returns[ended], strict=True)


if __name__ == "__main__":
    measured.main(train)
