// A table of kernels that measures time: each entry calls the real one and adds its duration to its part of the step.
// Only in the thread that has a Timing, one at a time.
#pragma once

#include <array>
#include <chrono>
#include <type_traits>
#include <utility>

#include "native/kernels/kernels.h"

namespace rtu::testing {

enum Part : int { kRecurrent, kCoefficients, kUnits, kDense, kOptimizer, kParts };
constexpr const char* kPartNames[kParts] = {"recurrent", "coefficients", "units", "dense", "optimizer"};

class Timing {
 public:
  using Table = kernels::Kernels<float>;

  explicit Timing(const Table* real) : table_(*real) {
    real_ = real;
    keep<&Table::forward, kRecurrent>();
    keep<&Table::apply, kRecurrent>();
    keep<&Table::learn_linear, kRecurrent>();
    keep<&Table::learn_nonlinear, kRecurrent>();
    keep<&Table::step_linear, kRecurrent>();
    keep<&Table::step_sgd, kRecurrent>();
    keep<&Table::learn_gated, kRecurrent>();
    keep<&Table::descend, kRecurrent>();
    keep<&Table::descend_units, kUnits>();
    keep<&Table::dense_descend, kDense>();
    keep<&Table::coefficients, kCoefficients>();
    keep<&Table::state, kUnits>();
    keep<&Table::learn_units, kUnits>();
    keep<&Table::gate, kUnits>();
    keep<&Table::learn_gates, kUnits>();
    keep<&Table::dense_forward, kDense>();
    keep<&Table::dense_backward, kDense>();
    keep<&Table::dense_learn, kDense>();
    keep<&Table::norm_relu, kDense>();
    keep<&Table::norm_relu_backward, kDense>();
    keep<&Table::add, kOptimizer>();
    keep<&Table::decay_add, kOptimizer>();
    keep<&Table::adam, kOptimizer>();
    keep<&Table::condition, kOptimizer>();
    keep<&Table::dense_condition, kOptimizer>();
    reset();
    // Overhead of an entry, between its two clock readings.
    Kept<&Table::add, kOptimizer>::call(0, 0.0f, nullptr, nullptr);
    constexpr int calls = 4096;
    reset();
    for (int i = 0; i < calls; ++i) Kept<&Table::add, kOptimizer>::call(0, 0.0f, nullptr, nullptr);
    empty_ns_ = spent_[kOptimizer] / calls;
    reset();
  }
  ~Timing() { real_ = nullptr; }
  Timing(const Timing&) = delete;
  Timing& operator=(const Timing&) = delete;

  const Table* table() const { return &table_; }
  static void reset() {
    spent_ = {};
    calls_ = {};
  }
  // ns since reset(), without the overhead of the clock.
  double spent(int part) const {
    const size_t i = static_cast<size_t>(part);
    const double net = spent_[i] - empty_ns_ * calls_[i];
    return net > 0 ? net : 0;
  }

 private:
  template <auto Entry, int P, class Function>
  struct KeptAs;
  template <auto Entry, int P, class R, class... A>
  struct KeptAs<Entry, P, R (*)(A...)> {
    static R call(A... arguments) {
      const Watch watch(P);
      return (real_->*Entry)(arguments...);
    }
  };
  template <auto Entry, int P>
  using Kept = KeptAs<Entry, P, std::remove_reference_t<decltype(std::declval<Table&>().*Entry)>>;

  template <auto Entry, int P>
  void keep() {
    table_.*Entry = &Kept<Entry, P>::call;
  }

  class Watch {
   public:
    explicit Watch(int part) : part_(static_cast<size_t>(part)), start_(std::chrono::steady_clock::now()) {}
    ~Watch() {
      spent_[part_] += std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start_).count();
      calls_[part_] += 1;
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    size_t part_;
    std::chrono::steady_clock::time_point start_;
  };

  Table table_;
  double empty_ns_ = 0;
  inline static thread_local const Table* real_ = nullptr;
  inline static thread_local std::array<double, kParts> spent_{}, calls_{};
};

}  // namespace rtu::testing
