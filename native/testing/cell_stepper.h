// One recurrent cell with a learner's operations on it, without the learner: timed by benchmarks.step and counted by
// tests/native/count_step.cpp. Letters: native/kernels/kernels.h.
#pragma once

#include <stdlib.h>
#include <string.h>

#include <memory>
#include <new>
#include <utility>

#include "native/cells/cell.h"
#include "native/optim/optimizer.h"

namespace rtu::testing {

// The repeated operation. All except `evaluate` learn all parameters of the cell.
enum class Work {
  kSgd,       // one pass: traces, gradient of a given cotangent, SGD, forward
  kObgd,      // one pass: ObGD with an eligibility trace, traces, forward
  kSplit,     // the same in two passes: predict (pending weight step, coefficients, forward, state), then update
  kEvaluate,  // predict alone, no weight moves
};

struct StepConfig {
  Work work = Work::kSgd;
  cells::RtuConfig cell;
  const kernels::Kernels<float>* kernels = nullptr;
};

class Stepper {
 public:
  explicit Stepper(const StepConfig& config) : config_(config) {
    cells::RtuConfig& shape = config_.cell;
    shape.sets = config.work == Work::kSgd ? 0 : 1;
    const uint32_t lanes = static_cast<uint32_t>(config.kernels->lanes);
    core::Builder footprint(nullptr, nullptr, lanes);
    lay_out(footprint);
    const uint64_t bytes = (footprint.bytes() + 63) / 64 * 64;
    memory_.reset(static_cast<unsigned char*>(aligned_alloc(64, bytes)));
    if (memory_ == nullptr) throw std::bad_alloc();
    memset(memory_.get(), 0, bytes);
    core::Builder arena(memory_.get(), nullptr, lanes);
    lay_out(arena);
    cell_.kernels = config.kernels;
    fill();
  }

  // Minimum bytes that a step reads and writes: traces, weights, eligibilities.
  uint64_t block_bytes() const {
    const kernels::Block<float>& block = cell_.block;
    const uint64_t traces = config_.cell.kind == cells::CellKind::kNonlinear ? 4 : 2;
    const uint64_t weights = 2 + 2 * static_cast<uint64_t>(block.sets);
    const uint64_t of_lanes = static_cast<uint64_t>(block.blocks * block.inputs) * sizeof(float) *
                              static_cast<uint64_t>(cell_.kernels->lanes);
    return of_lanes * (traces + weights * static_cast<uint64_t>(block.units_per_pole));
  }

  void run(int64_t steps) {
    for (int64_t t = 0; t < steps; ++t) {
      switch (config_.work) {
        case Work::kSgd:
          step_sgd();
          break;
        case Work::kObgd: {
          kernels::SetCotangent<float> set{e1_, e2_, kDecay, 0};
          cells::step(cell_, &pending_, 1.0f, &set);
          apply_update(set.norm);
          break;
        }
        case Work::kSplit:
          predict();
          update();
          break;
        case Work::kEvaluate:
          predict();
          cells::advance_state(cell_);
          break;
      }
    }
  }

  // The halves of `split`.
  void predict() { cells::predict(cell_, &pending_, 1.0f); }
  void update() {
    kernels::SetCotangent<float> set{e1_, e2_, kDecay, 0};
    cells::update(cell_, false, &set);
    apply_update(set.norm);
  }

  float output() const { return cell_.k1[0]; }

 private:
  static constexpr float kDecay = 0.9f, kRate = 1e-6f;

  struct Free {
    void operator()(unsigned char* p) const { free(p); }
  };

  // The cell, and the learner's data: the cotangent, with and without the step factor; for SGD also the gradients of
  // the poles and the previous input.
  void lay_out(core::Builder& arena) {
    cell_ = cells::make_rtu<float>(arena, config_.cell, core::Name());
    const uint32_t poles = static_cast<uint32_t>(cell_.poles);
    const uint32_t units = poles * static_cast<uint32_t>(config_.cell.units_per_pole);
    for (float** at : {&e1_, &e2_, &scaled1_, &scaled2_}) *at = arena.reserve<float>(units);
    if (config_.work == Work::kSgd)
      for (float** at : {&cell_.traces.z_nu[0], &cell_.traces.z_theta[0]}) *at = arena.reserve<float>(poles);
    before_ = arena.reserve<float>(static_cast<uint32_t>(config_.cell.inputs));
  }

  void fill() {
    uint64_t words[2];
    const core::Rng rng{words};
    core::seed_rng(rng, 1, 0);
    cells::init_rtu(cell_, rng);
    for (int32_t j = 0; j < config_.cell.inputs; ++j)
      cell_.x[j] = before_[j] = static_cast<float>(2 * core::uniform(rng) - 1);
    for (int32_t i = 0; i < config_.cell.units(); ++i) {
      const int32_t at = cells::unit_at(cell_, i);
      e1_[at] = static_cast<float>(0.01 * core::uniform(rng));
      e2_[at] = static_cast<float>(-0.01 * core::uniform(rng));
      scaled1_[at] = kRate * e1_[at];
      scaled2_[at] = kRate * e2_[at];
    }
    pending_ = config_.work == Work::kEvaluate ? 0.0f : kRate;
  }

  // The fused step of SGD runs one step behind: traces absorb the previous input, W is updated through them, then u = W
  // x.
  void step_sgd() {
    const kernels::Kernels<float>& kernel = *cell_.kernels;
    kernel.step_sgd(cell_.block, cell_.c, before_, {scaled1_, scaled2_, 0, 0}, cell_.x, cell_.u1, cell_.u2);
    kernel.add(cell_.poles, kRate, cell_.traces.z_nu[0], cell_.nu_log);
    kernel.add_phase(cell_.poles, kRate, cell_.traces.z_theta[0], cell_.theta_log);
    kernel.coefficients(cell_.poles, cell_.nu_log, cell_.theta_log, 1.0f, cell_.c);
    kernel.state(cell_.poles, cell_.config.units_per_pole, true, cell_.config.activation, cell_.c, cell_.h1, cell_.h2,
                 cell_.u1, cell_.u2, cell_.k1, cell_.k2, cell_.y1, cell_.y2, cell_.s1, cell_.s2);
    kernels::SetCotangent<float> set{e1_, e2_, 0, 0};
    kernel.learn_units(cell_.poles, cell_.config.units_per_pole, 1, true, cell_.c, cell_.h1, cell_.h2, cell_.u1,
                       cell_.u2, nullptr, nullptr, cell_.traces, &set);
    std::swap(cell_.h1, cell_.k1);
    std::swap(cell_.h2, cell_.k2);
  }

  // ObGD for an error that changes sign, so that weights stay where they are on average.
  void apply_update(float norm) {
    error_ = -error_;
    pending_ = optim::step_size(optim::OptimizerConfig{}, error_, norm) * error_;
  }

  StepConfig config_;
  std::unique_ptr<unsigned char, Free> memory_;
  cells::Rtu<float> cell_{};
  float *e1_ = nullptr, *e2_ = nullptr, *scaled1_ = nullptr, *scaled2_ = nullptr, *before_ = nullptr;
  float pending_ = 0, error_ = 0.1f;
};

}  // namespace rtu::testing
