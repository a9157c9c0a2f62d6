// 300 learning steps of one cell, the same source for the Cortex-M4F and for the host: their output must agree.
//
// TD(lambda) on a synthetic stream through a fixed readout; in float only, without a mathematical library.
#pragma once

#include "native/cells/rtu.h"

namespace cell_run {

using namespace rtu;

constexpr int32_t kInputs = 8, kUnits = 16, kSteps = 300;

constexpr cells::RtuConfig config() {
  cells::RtuConfig out;
  out.inputs = kInputs;
  out.poles = kUnits;
  out.sets = 1;
  return out;
}

// The arena: the cell, and the cotangent of its state that learn() wants.
struct Model {
  cells::Rtu<float> cell;
  float *e1, *e2;
};

constexpr Model lay_out(core::Builder& arena) {
  Model model{};
  model.cell = cells::make_rtu<float>(arena, config(), core::Name("cell"));
  model.e1 = cells::unit_vector<float>(arena, config(), core::Name("e1"));
  model.e2 = cells::unit_vector<float>(arena, config(), core::Name("e2"));
  return model;
}

constexpr uint64_t planned_bytes() {
  core::Builder footprint(nullptr, nullptr, 1);
  (void)lay_out(footprint);
  return footprint.bytes();
}

constexpr float kDecay = 0.95f * 0.9f;

// The complete step of the cell, including learning: the code whose instructions are counted. `pending` is the pending
// weight step; returns sum |z|.
inline float step(const Model& model, float pending) {
  kernels::SetCotangent<float> set = {model.e1, model.e2, kDecay, 0.0f};
  cells::step_rtu(model.cell, &pending, 1.0f, &set);
  cells::advance_state(model.cell);
  return set.norm;
}

// Between -1 and 1, from a multiplicative congruential generator (Lehmer, modulus 2^31 - 1, multiplier 48271).
inline float draw(uint32_t& state) {
  state = static_cast<uint32_t>(static_cast<uint64_t>(state) * 48271u % 2147483647u);
  return static_cast<float>(static_cast<int32_t>(state >> 7u) - (1 << 23)) * (1.0f / (1 << 23));
}

inline void initialise(const Model& model, uint32_t seed) {
  for (int32_t p = 0; p < kUnits; ++p) {  // retention 0.69 to 0.98, a turn of 0.03 to 0.6 rad a step
    model.cell.nu_log[p] = -2.5f + 1.5f * draw(seed);
    model.cell.theta_log[p] = -2.0f + 1.5f * draw(seed);
  }
  for (int32_t half = 0; half < 2; ++half)
    for (int32_t i = 0; i < kUnits; ++i)
      for (int32_t j = 0; j < kInputs; ++j) cells::weight_at(model.cell, half, i, j) = 0.5f * draw(seed);
}

inline void run(const Model& model, float (*counted_step)(const Model&, float),
                void (*print)(const float* y, int32_t n)) {
  initialise(model, 1);
  uint32_t seed = 2;
  float readout[2 * kUnits], value = 0, pending = 0;
  for (float& w : readout) w = 0.3f * draw(seed);
  for (int32_t t = 0; t < kSteps; ++t) {
    for (int32_t j = 0; j < kInputs; ++j) model.cell.x[j] = draw(seed);
    const float norm = counted_step(model, pending);
    cells::cotangent_rtu(model.cell, model.cell.s1, model.cell.s2, readout, model.e1, model.e2);
    float next = 0;
    for (int32_t i = 0; i < 2 * kUnits; ++i) next += readout[i] * model.cell.y[i];
    const float delta = model.cell.x[0] + 0.95f * next - value, size = delta < 0 ? -delta : delta;
    const float bound = 2.0f * (size > 1.0f ? size : 1.0f) * norm;  // ObGD
    pending = (bound > 1.0f ? 1.0f / bound : 1.0f) * delta;
    value = next;
    print(model.cell.y, 2 * kUnits);
  }
}

}  // namespace cell_run
