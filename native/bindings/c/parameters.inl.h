// Written by `make tables` from rtu_edge/learn/parameters.py: defaults and ranges of rtu_agent_config.
#pragma once

#include "native/bindings/c/rtu_edge.h"

namespace rtu::bindings {

constexpr bool number(double value, double low, double high) { return value >= low && value <= high; }
constexpr bool above(double value, double low, double high) { return value > low && value <= high; }
constexpr bool within(int32_t value, int32_t low, int32_t high) { return value >= low && value <= high; }

inline void set_defaults(rtu_agent_config& c) {
  c.observation_size = 1;
  c.actions = 1;
  c.discrete = 0;
  c.units = 32;
  c.layers = 1;
  c.hidden[0] = 32;
  c.encoder_layers = 0;
  c.cell = RTU_CELL_LINEAR;
  c.credit = RTU_CREDIT_RTRL;
  c.activation = RTU_TANH;
  c.units_per_pole = 1;
  c.shared_body = 1;
  c.gamma = 0.98;
  c.decay_recurrent = 0.95;
  c.decay_body = 0.95;
  c.decay_head = 0.95;
  c.optimizer = RTU_OBGD;
  c.preconditioner = RTU_PRECONDITIONER_LARGER;
  c.actor_step_size = 1.0;
  c.actor_kappa = 3.0;
  c.critic_step_size = 1.0;
  c.critic_kappa = 2.0;
  c.critic_decay_recurrent = 0.8;
  c.critic_decay_body = 0.8;
  c.critic_decay_head = 0.8;
  c.actor_warmup = 2000;
  c.entropy = 0.01;
  c.r_min = 0.7;
  c.r_max = 1.0;
  c.max_phase = 6.28;
  c.sparsity = 0.9;
  c.sigma_floor = 0.1;
  c.exploration_correlation = 0.6;
  c.normalize_observation = 1;
  c.observation_bound = 10.0;
  c.scale_reward = 1;
  c.recompute = 0;
  c.previous_action = 0;
  c.previous_reward = 0;
}

inline bool in_range(const rtu_agent_config& c) {
  if (!within(c.observation_size, 1, 1024)) return false;
  if (c.discrete == 0 && !within(c.actions, 1, 32)) return false;
  if (c.discrete != 0 && !within(c.actions, 2, 64)) return false;
  if (!within(c.units, 1, 65536)) return false;
  if (!within(c.layers, 0, RTU_LAYERS_MAX)) return false;
  for (int32_t i = 0; i < c.layers; ++i)
    if (!within(c.hidden[i], 1, 65536)) return false;
  if (!within(c.encoder_layers, 0, RTU_LAYERS_MAX)) return false;
  for (int32_t i = 0; i < c.encoder_layers; ++i)
    if (!within(c.encoder[i], 1, 65536)) return false;
  if (!within(c.cell, 0, 5)) return false;
  if (!within(c.credit, 0, 2)) return false;
  if (!within(c.activation, 0, 2)) return false;
  if (!within(c.units_per_pole, 1, 4096)) return false;
  if (!number(c.gamma, 0.0, 1.0)) return false;
  if (!number(c.decay_recurrent, 0.0, 1.0)) return false;
  if (!number(c.decay_body, 0.0, 1.0)) return false;
  if (!number(c.decay_head, 0.0, 1.0)) return false;
  if (!within(c.optimizer, 0, 4)) return false;
  if (!within(c.preconditioner, 0, 2)) return false;
  if (!number(c.actor_step_size, 0.0, 1000000.0)) return false;
  if (!above(c.actor_kappa, 0.0, 1000000.0)) return false;
  if (!number(c.critic_step_size, 0.0, 1000000.0)) return false;
  if (!above(c.critic_kappa, 0.0, 1000000.0)) return false;
  if (!number(c.critic_decay_recurrent, 0.0, 1.0)) return false;
  if (!number(c.critic_decay_body, 0.0, 1.0)) return false;
  if (!number(c.critic_decay_head, 0.0, 1.0)) return false;
  if (!within(c.actor_warmup, 0, 2147483647)) return false;
  if (!number(c.entropy, 0.0, 1000.0)) return false;
  if (!number(c.r_min, 0.0, 0.9999999)) return false;
  if (!above(c.r_max, 0.0, 1.0)) return false;
  if (!above(c.max_phase, 0.0, 1000.0)) return false;
  if (!number(c.sparsity, 0.0, 1.0)) return false;
  if (!number(c.sigma_floor, 0.0, 1000.0)) return false;
  if (!number(c.exploration_correlation, 0.0, 0.99)) return false;
  if (!(c.observation_bound == 0.0 || number(c.observation_bound, 2.0, 1000000.0))) return false;
  return true;
}

}  // namespace rtu::bindings
