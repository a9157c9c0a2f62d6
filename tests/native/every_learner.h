// Every learner, cell and optimiser as in firmware: in caller-supplied memory, without an operating system.
// Compiled for a Cortex-M4 and searched for forbidden symbols through freestanding.cpp; stepped under the allocation
// guard by test_heap_step.cpp.
#pragma once

#include "native/core/checkpoint.h"
#include "native/learners/stream_ac.h"
#include "native/learners/supervised.h"
#include "native/learners/td_bank.h"
#include "native/learners/td_lambda.h"

namespace every {

using namespace rtu;
using core::Status;

constexpr int kAgents = 12;  // from 9 on: action values, by each rule
constexpr int kBanks = 3;
constexpr int kInputs = 3;
constexpr int kActions = 2;

constexpr learners::NetworkConfig body(int variant) {
  learners::NetworkConfig out;
  out.cell.kind = variant == 1 || variant == 4 ? cells::CellKind::kNonlinear
                  : variant == 5               ? cells::CellKind::kNone
                  : variant == 6               ? cells::CellKind::kMinGru
                  : variant == 7               ? cells::CellKind::kElstm
                  : variant == 8               ? cells::CellKind::kLru
                                               : cells::CellKind::kLinear;
  out.cell.activation = variant % 3 == 0   ? kernels::Activation::kRelu
                        : variant % 3 == 1 ? kernels::Activation::kTanh
                                           : kernels::Activation::kIdentity;
  out.cell.inputs = kInputs;
  out.cell.poles = 8;
  out.cell.units_per_pole = variant == 2 ? 2 : 1;
  out.cell.r_min = 0.5;
  out.layers = variant % 3;
  for (int i = 0; i < out.layers; ++i) out.hidden[i] = 8;
  return out;
}

constexpr learners::HeadConfig head(int variant) {
  learners::HeadConfig out;
  out.decay_recurrent = out.decay_body = out.decay_head = 0.8;
  out.optimizer.rule = static_cast<optim::Rule>(variant % 3);
  out.optimizer.step_size = out.optimizer.rule == optim::Rule::kObgd ? 1.0 : 1e-4;
  return out;
}

constexpr learners::StreamAcConfig agent_config(int variant) {
  learners::StreamAcConfig out;
  out.observation_size = kInputs;
  out.policy.discrete = variant % 2 == 1;
  out.policy.actions = kActions;
  out.body = body(variant);
  out.actor = out.critic = head(variant);
  out.shared_body = variant >= 3;
  out.recompute = variant == 2;
  if (variant < 9) return out;
  out.policy.discrete = true;
  out.shared_body = false;
  out.values.rule = static_cast<learners::ValueRule>(variant - 8);
  if (out.values.corrects()) out.actor.optimizer.rule = out.critic.optimizer.rule = optim::Rule::kSgd;
  return out;
}

constexpr learners::TdConfig td_config() {
  learners::TdConfig out;
  out.observation_size = kInputs;
  out.body = body(0);
  out.head = head(0);
  return out;
}

constexpr int kHeads = 3;

constexpr learners::TdBankConfig bank_config(int variant) {
  learners::TdBankConfig out;
  out.observation_size = kInputs;
  out.heads = kHeads;
  out.body = body(variant);
  out.optimizer = head(variant).optimizer;
  return out;
}

constexpr learners::RegressorConfig regressor_config() {
  learners::RegressorConfig out;
  out.observation_size = kInputs;
  out.outputs = kActions;
  out.body = body(1);
  out.head = head(2);
  out.normalize_input = true;
  return out;
}

template <class T>
struct Models {
  learners::StreamAc<T> agent[kAgents];
  learners::TdPredictor<T> td;
  learners::TdBank<T> bank[kBanks];
  learners::Regressor<T> regressor;
};

template <class T>
constexpr Models<T> make_models(core::Builder& arena) {
  Models<T> models{};
  for (int i = 0; i < kAgents; ++i) models.agent[i] = learners::make_stream_ac<T>(arena, agent_config(i));
  models.td = learners::make_td<T>(arena, td_config());
  for (int i = 0; i < kBanks; ++i) models.bank[i] = learners::make_bank<T>(arena, bank_config(i));
  models.regressor = learners::make_regressor<T>(arena, regressor_config());
  return models;
}

// A compile-time constant, so that firmware can size its memory statically.
template <class T>
constexpr uint64_t bytes(uint32_t lanes) {
  core::Builder footprint(nullptr, nullptr, lanes);
  (void)make_models<T>(footprint);
  return footprint.bytes();
}

// memory: zeroed, bytes<T>(kernels->lanes), aligned to core::kAlignment.
template <class T>
Models<T> set_up(unsigned char* memory, const kernels::Kernels<T>* kernels) {
  core::Builder arena(memory, nullptr, static_cast<uint32_t>(kernels->lanes));
  Models<T> models = make_models<T>(arena);
  for (auto& agent : models.agent) {
    for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], kernels);
    learners::init(agent, 1);
    learners::begin(agent);
  }
  learners::bind_kernels(models.td.net, kernels);
  learners::init(models.td, 2);
  const double gammas[kHeads] = {0.5, 0.9, 0.99}, lambdas[kHeads] = {0.0, 0.8, 1.0};
  for (auto& bank : models.bank) {
    learners::bind_kernels(bank.net, kernels);
    learners::init(bank, 4, gammas, lambdas);
  }
  learners::bind_kernels(models.regressor.net, kernels);
  learners::init(models.regressor, 3);
  return models;
}

// One step of each: step i of a varying stream, with episodes of 100 steps.
template <class T>
Status step(const Models<T>& models, uint32_t i) {
  const T x[kInputs] = {static_cast<T>(i % 7) - T(3), static_cast<T>(i % 11) * T(0.1), static_cast<T>(i % 2)};
  const bool ends = i % 100 == 99;
  for (const auto& agent : models.agent) {
    T action[learners::kMaxActions];
    Status status = learners::predict(agent, x, true, T(1), action);
    if (core::failed(status)) return status;
    status = learners::update(agent, x[0], ends && i % 200 == 99, ends && i % 200 != 99,
                              i % 13 == 0 ? action : static_cast<const T*>(nullptr), i % 17 != 0);
    if (core::failed(status)) return status;
    if (ends) learners::begin(agent);
  }
  T value = 0;
  Status status = learners::step(models.td, x, static_cast<double>(x[1]), &value);
  if (core::failed(status)) return status;
  T values[kHeads];
  for (const auto& bank : models.bank) {
    status = learners::step(bank, x, x, values);
    if (core::failed(status)) return status;
  }
  T y[kActions];
  status = learners::predict(models.regressor, x, y);
  if (core::failed(status)) return status;
  const T target[kActions] = {x[0], x[1]};
  return learners::update(models.regressor, target, &value);
}

// The other operations of firmware: evaluation, checkpoints. buffer: core::checkpoint_bytes().
template <class T>
Status save_and_load(unsigned char* memory, unsigned char* buffer, core::SectionTable& table,
                     const kernels::Kernels<T>* kernels) {
  core::Builder arena(memory, &table, static_cast<uint32_t>(kernels->lanes));
  auto agent = learners::make_stream_ac<T>(arena, agent_config(0));
  for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], kernels);
  learners::init(agent, 1);
  const T x[kInputs] = {};
  T action[kActions];
  const Status status = learners::predict(agent, x, false, T(1), action);
  if (core::failed(status)) return status;
  learners::flush(agent);
  core::write_checkpoint(table, memory, "", 0, buffer);
  const char* where = "";
  return core::read_checkpoint(table, buffer, core::checkpoint_bytes(table, 0), memory, where);
}

}  // namespace every
