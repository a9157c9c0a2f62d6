// A learner as the loop's Policy.
#pragma once

#include <limits>
#include <type_traits>

#include "native/core/checkpoint.h"
#include "native/learners/health.h"
#include "native/runtime/denormals.h"
#include "native/runtime/policy.h"

namespace rtu::runtime {

// agent and its memory must outlive it.
template <class T>
struct AgentPolicy {
  static constexpr int kMostObservations = 1024;  // of StreamAC (rtu_edge/learn/parameters.py)
  static constexpr double kLost = std::numeric_limits<double>::quiet_NaN();  // a missing reward

  learners::StreamAc<T> agent;
  const core::SectionTable* sections = nullptr;
  unsigned char* memory = nullptr;
  uint64_t bytes = 0;
  StepInfo step_info{};

  Policy policy() noexcept {
    Policy policy{};
    policy.self = this;
    policy.observation_size = agent.config.observation_size;
    policy.action_size = agent.config.policy.width();
    policy.n_levels = agent.config.policy.discrete ? agent.config.policy.actions : 0;
    policy.begin = begin;
    policy.previous = agent.previous != nullptr ? previous : nullptr;
    policy.predict = predict;
    policy.update = update;
    policy.info = info;
    policy.hash = hash;
    policy.spread = spread;
    if (agent.windows != nullptr) policy.findings = findings;
    policy.state = memory;
    policy.state_bytes = static_cast<size_t>(bytes);
    policy.sections = sections;
    policy.healthy = [](void* self) noexcept { return learners::healthy(of(self).agent); };
    policy.halvings = [](void* self, int set) noexcept {
      T& halvings = of(self).agent.scalars[learners::kHalvings];
      if (set >= 0) halvings = static_cast<T>(set);
      return static_cast<int>(halvings);
    };
    return policy;
  }

 private:
  static AgentPolicy& of(void* self) noexcept { return *static_cast<AgentPolicy*>(self); }

  static int begin(void* self) noexcept {
    learners::begin(of(self).agent);
    return 0;
  }

  static void previous(void* self, float reward, const float* applied) noexcept {
    T action[learners::kMaxActions];
    for (int i = 0; applied != nullptr && i < of(self).agent.config.policy.width(); ++i)
      action[i] = static_cast<T>(applied[i]);
    (void)learners::set_previous(of(self).agent, static_cast<T>(reward), applied == nullptr ? nullptr : action);
  }

  static int predict(void* self, const float* observation, int explore, float* action) noexcept {
    const auto& agent = of(self).agent;
    // A predict() after a predict(): the transition between them was not learned from, but the traces must still
    // advance over it.
    if (agent.phase() == learners::Phase::kPredicted) (void)learners::update<T>(agent, 0, false, false, nullptr, false);
    if constexpr (std::is_same_v<T, float>) {
      return static_cast<int>(learners::predict(agent, observation, explore != 0, T(1), action));
    } else {
      T x[kMostObservations], a[learners::kMaxActions];
      for (int i = 0; i < agent.config.observation_size; ++i) x[i] = static_cast<T>(observation[i]);
      const core::Status status = learners::predict(agent, x, explore != 0, T(1), a);
      if (!core::failed(status))
        for (int i = 0; i < agent.config.policy.width(); ++i) action[i] = static_cast<float>(a[i]);
      return static_cast<int>(status);
    }
  }

  static int update(void* self, float reward, int terminated, int truncated, const float* applied,
                    int move_weights) noexcept {
    const auto& agent = of(self).agent;
    T action[learners::kMaxActions];
    for (int i = 0; applied != nullptr && i < agent.config.policy.width(); ++i) action[i] = static_cast<T>(applied[i]);
    const bool critic = applied != nullptr && learners::overridden(agent, action);
    const auto status =
        static_cast<int>(learners::update(agent, static_cast<T>(reward), terminated != 0, truncated != 0,
                                          applied == nullptr ? nullptr : action, move_weights != 0));
    return status == 0 && critic ? kPolicyCritic : status;
  }

  static const StepInfo* info(void* self) noexcept {
    const learners::StepInfo& info = *of(self).agent.info;
    StepInfo& out = of(self).step_info;
    out.value = info.value;
    out.delta = info.delta;
    out.step_size_actor = info.step_size_actor;
    out.step_size_critic = info.step_size_critic;
    return &out;
  }

  static Spread spread(void* self) noexcept {
    const auto& agent = of(self).agent;
    const learners::PolicyConfig& config = agent.config.policy;
    const learners::Spread found = learners::spread(agent);
    return {config.discrete ? std::numeric_limits<double>::quiet_NaN() : found.sigma, found.entropy};
  }

  static uint32_t findings(void* self) noexcept { return of(self).agent.windows->now; }

  static uint64_t hash(void* self) noexcept {
    const DenormalsFlushed flushed;
    learners::flush(of(self).agent);
    return core::state_hash(*of(self).sections, of(self).memory);
  }
};

}  // namespace rtu::runtime
