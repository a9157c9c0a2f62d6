#include "native/runtime/calibrate.h"

#include <algorithm>
#include <vector>

namespace rtu::runtime {

namespace {

constexpr size_t kRoundsMin = 16;
constexpr size_t kRoundsMax = 16384;

double median(std::vector<int64_t>& samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return static_cast<double>(*middle);
}

// Overhead of reading the clock in each measurement.
double cost_of(const Clock& clock) {
  std::vector<int64_t> samples(101);
  for (int64_t& sample : samples) {
    const int64_t before = clock.now();
    sample = clock.now() - before;
  }
  return median(samples);
}

}  // namespace

StepTimes calibrate(const Subject& subject, const Clock& clock, int64_t budget_ns) {
  std::vector<int64_t> predict, traces, step;
  for (std::vector<int64_t>* samples : {&predict, &traces, &step}) samples->reserve(kRoundsMax);
  const double cost = cost_of(clock);
  const int64_t begun = clock.now(), warm = begun + budget_ns / 10;
  for (size_t i = 0; i < kRoundsMin || (i < kRoundsMax && clock.now() < warm); ++i) subject.step(subject.self);
  while (step.size() < kRoundsMin || (step.size() < kRoundsMax && clock.now() - begun < budget_ns)) {
    // Two of each, of which the second is timed: the cost of a pending weight step falls on the next prediction.
    subject.step(subject.self);
    const int64_t t0 = clock.now();
    subject.step(subject.self);
    const int64_t t1 = clock.now();
    step.push_back(t1 - t0);
    subject.predict(subject.self);
    subject.advance(subject.self);
    const int64_t t2 = clock.now();
    subject.predict(subject.self);
    const int64_t t3 = clock.now();
    subject.advance(subject.self);
    const int64_t t4 = clock.now();
    predict.push_back(t3 - t2);
    traces.push_back(t4 - t3);
  }
  StepTimes times;
  const double whole = std::max(0.0, median(step) - cost);
  // A fused step may take less time than the sum of its separate parts.
  times.predict_ns = std::min(std::max(0.0, median(predict) - cost), whole);
  times.traces_ns = std::min(std::max(0.0, median(traces) - cost), whole - times.predict_ns);
  times.update_ns = whole - times.predict_ns - times.traces_ns;
  times.rounds = static_cast<int64_t>(step.size());
  return times;
}

}  // namespace rtu::runtime
