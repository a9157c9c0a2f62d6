// A plant in C that the native training loop steps (docs/study.md): its functions and state, and the run's progress.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "firmware_bridge/plants/plant.h"
#include "native/runtime/safety/command_limiter.h"

namespace rtu::bindings {

namespace py = pybind11;

struct NativePlant {
  py::object owner;  // keeps the state alive
  void (*reset)(void* state, uint32_t seed) = nullptr;
  tl_plant_result (*step)(void* state, const float* u) = nullptr;
  void (*observe)(const void* state, float* x) = nullptr;
  void (*limit)(void* state, uint32_t max_steps) = nullptr;  // called after reset(); may be null
  void* state = nullptr;
  uint32_t max_steps = 0;
  std::vector<float> low,
      high;                   // (action_size) the units of actions -1 and 1; empty: actions are passed on as they are
  std::vector<float> levels;  // (choices, action_size) of discrete actions
  runtime::safety::CommandLimiter limiter;  // m 0: none
  bool told = false;                        // the learner is told of limited commands, and its actor skips them
  uint64_t window = 1000;                   // steps of one row of statistics

  // Progress.
  uint32_t next_seed = 0;     // of the next episode; each counts it up
  bool due = true;            // an episode begins before the next step
  std::vector<float> wanted;  // the command before the limiter
  std::vector<float> x, u;    // the observation, the command
  double clipped = 0;         // share of actuators whose pending action was clipped
  uint64_t steps = 0;
  double reward_sum = 0, episode_return = 0;
  uint64_t episode_length = 0;

  // Sums over the running window.
  uint64_t in_window = 0;
  double window_reward = 0, window_clipped = 0, window_error = 0;

  // ValueError if an agent of these sizes cannot drive it; choices: of discrete actions, or 0.
  void check_fits(int observation_size, int actuators, int choices) const;
};

// One row of statistics per window.
enum WindowColumn : int { kMeanReward, kClippedShare, kMeanError, kSigma, kEntropy, kWindowColumns };

enum class End : uint8_t { kTerminated, kTruncated, kCut };

enum class Stopped { kNo, kDiverged, kNonFinite };  // why a call returned early

// Results of one call: of the episodes that ended in it, and of the windows that it completed. Reserved before the run.
struct TrainingOutput {
  std::vector<double> returns;
  std::vector<int64_t> lengths, ended_at;  // steps; the number of the last step in the run, from 1
  std::vector<uint8_t> ends;               // End
  std::vector<double> windows;             // (rows, kWindowColumns)
  Stopped stopped = Stopped::kNo;

  void reserve(uint64_t steps, uint64_t episodes, uint64_t window) {
    const uint64_t most = episodes != 0 && episodes < steps ? episodes : steps;
    returns.reserve(most);
    lengths.reserve(most);
    ended_at.reserve(most);
    ends.reserve(most);
    windows.reserve((steps / window + 1) * kWindowColumns);
  }
};

pybind11::dict training_result(const NativePlant& plant, const TrainingOutput& out);

}  // namespace rtu::bindings
