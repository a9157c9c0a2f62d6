// The training loop of one learner on one plant in C, without Python code between two steps. The order of calls is that
// of rtu_edge/learn/training.py and evaluation.py, so that both give the same bits.
#pragma once

#include "native/bindings/python/native_plant.h"
#include "native/learners/health.h"

namespace rtu::bindings {

enum class Mode { kLearn, kMean, kSample };  // learn; or act by the mode of the policy, or by samples

template <class T>
class Trainer {
 public:
  // cut: an episode ends after so many steps; 0: never.
  Trainer(learners::StreamAc<T>& agent, NativePlant& plant, TrainingOutput& out, Mode mode, uint64_t cut)
      : agent_(agent), plant_(plant), out_(out), mode_(mode), cut_(cut), observation_(plant.x.size()) {}

  // At most `steps` steps, and until `episodes` episodes have ended (0: any number).
  Stopped run(uint64_t steps, uint64_t episodes) {
    Stopped stopped = Stopped::kNo;
    for (uint64_t i = 0; i < steps && stopped == Stopped::kNo; ++i) {
      if (plant_.due) stopped = begin();
      if (stopped == Stopped::kNo) stopped = step();
      if (episodes != 0 && out_.returns.size() >= episodes) break;
    }
    return stopped;
  }

 private:
  learners::StreamAc<T>& agent_;
  NativePlant& plant_;
  TrainingOutput& out_;
  Mode mode_;
  uint64_t cut_;
  std::vector<T> observation_;
  T action_[learners::kMaxActions], applied_[runtime::kMaxActuators];

  void observe() {
    plant_.observe(plant_.state, plant_.x.data());
    for (size_t i = 0; i < plant_.x.size(); ++i) observation_[i] = static_cast<T>(plant_.x[i]);
  }

  Stopped begin() {
    plant_.reset(plant_.state, plant_.next_seed++);
    if (plant_.limit != nullptr) plant_.limit(plant_.state, plant_.max_steps);
    plant_.due = false;
    plant_.episode_return = 0;
    plant_.episode_length = 0;
    learners::begin(agent_);
    const float rest[runtime::kMaxActuators] = {};
    plant_.limiter.start(rest);
    observe();
    return choose(0, false, false);
  }

  Stopped step() {
    const tl_plant_result result = plant_.step(plant_.state, plant_.u.data());
    const double reward = static_cast<double>(result.reward), clipped = plant_.clipped;
    if (!core::is_finite(reward)) return Stopped::kNonFinite;
    observe();
    const bool too_long = cut_ != 0 && plant_.episode_length + 1 >= cut_;
    const bool ended = result.terminated || result.truncated || too_long;
    if (mode_ == Mode::kLearn || !ended) {  // evaluation does not act on an episode's last observation
      const Stopped stopped = choose(reward, result.terminated, result.truncated);
      if (stopped != Stopped::kNo) return stopped;
    }
    ++plant_.steps;
    ++plant_.episode_length;
    plant_.reward_sum += reward;
    plant_.episode_return += reward;
    if (ended) end(result.terminated ? End::kTerminated : result.truncated ? End::kTruncated : End::kCut);
    if (mode_ == Mode::kLearn) count(reward, clipped);
    return Stopped::kNo;
  }

  void end(End end) {
    out_.returns.push_back(plant_.episode_return);
    out_.lengths.push_back(static_cast<int64_t>(plant_.episode_length));
    out_.ended_at.push_back(static_cast<int64_t>(plant_.steps));
    out_.ends.push_back(static_cast<uint8_t>(end));
    plant_.due = true;
  }

  // Shows the learner the observation and the transition before it, if any; sets the command for the next step.
  Stopped choose(double reward, bool terminated, bool truncated) {
    const learners::PolicyConfig& policy = agent_.config.policy;
    if (agent_.previous != nullptr) (void)learners::set_previous(agent_, static_cast<T>(reward), limited());
    if (core::failed(learners::predict(agent_, observation_.data(), mode_ == Mode::kLearn, T(1), action_)))
      return Stopped::kNonFinite;
    if (mode_ == Mode::kSample) learners::draw_instead(agent_, action_);
    if (mode_ == Mode::kLearn) {
      int clipped = 0;
      for (int k = 0; k < policy.width(); ++k)
        clipped += !policy.discrete && std::fabs(agent_.action[k]) > T(1) ? 1 : 0;
      plant_.clipped = static_cast<double>(clipped) / policy.width();
      if (core::failed(learners::update(agent_, static_cast<T>(reward), terminated, truncated, applied())))
        return Stopped::kNonFinite;
      if (!learners::healthy(agent_)) return Stopped::kDiverged;
    }
    command();
    return Stopped::kNo;
  }

  // What update() is told of the action before the newest one; null: it was carried out, also by way of the limiter.
  const T* applied() {
    const runtime::safety::CommandLimiter& limiter = plant_.limiter;
    if (limiter.m == 0 || !plant_.told || agent_.counters[learners::kFirst] != 0) return nullptr;
    if (!runtime::safety::overridden(limiter.limits, limiter.m, plant_.wanted.data(), plant_.u.data())) return nullptr;
    return limited();
  }

  // What the limiter made of that action, in the policy's units; null without a limiter.
  const T* limited() {
    const runtime::safety::CommandLimiter& limiter = plant_.limiter;
    if (limiter.m == 0) return nullptr;
    float action[runtime::kMaxActuators];
    runtime::safety::unmap_action(limiter.limits, limiter.m,
                                  agent_.config.policy.discrete ? agent_.config.policy.actions : 0, plant_.u.data(),
                                  action);
    for (int k = 0; k < limiter.m; ++k) applied_[k] = static_cast<T>(action[k]);
    return applied_;
  }

  // In the units of the plant: the arithmetic of rtu_edge/device/schema.py, scale_to().
  void command() {
    map();
    if (plant_.limiter.m == 0) return;
    plant_.wanted = plant_.u;
    (void)plant_.limiter.apply(plant_.u.data());
  }

  void map() {
    const size_t m = plant_.u.size();
    if (!plant_.levels.empty()) {
      const float* level = plant_.levels.data() + static_cast<size_t>(action_[0]) * m;
      for (size_t k = 0; k < m; ++k) plant_.u[k] = level[k];
      return;
    }
    for (size_t k = 0; k < m; ++k) {
      const float a = static_cast<float>(action_[k]);
      if (plant_.low.empty()) {
        plant_.u[k] = a;
        continue;
      }
      const float low = plant_.low[k], high = plant_.high[k], u = low + (a + 1.0f) * 0.5f * (high - low);
      plant_.u[k] = u < low ? low : u > high ? high : u;
    }
  }

  void count(double reward, double clipped) {
    plant_.window_reward += reward;
    plant_.window_clipped += clipped;
    plant_.window_error += std::fabs(static_cast<double>(agent_.info->delta));
    if (++plant_.in_window < plant_.window) return;
    const double n = static_cast<double>(plant_.window);
    const learners::Spread spread = learners::spread(agent_);
    const double row[kWindowColumns] = {plant_.window_reward / n, plant_.window_clipped / n, plant_.window_error / n,
                                        spread.sigma, spread.entropy};
    out_.windows.insert(out_.windows.end(), row, row + kWindowColumns);
    plant_.in_window = 0;
    plant_.window_reward = plant_.window_clipped = plant_.window_error = 0;
  }
};

}  // namespace rtu::bindings
