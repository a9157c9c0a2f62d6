// Kernel tables for one configuration, one lane, in TD order, for firmware. Each entry is the reference kernel with its
// options fixed at compile time: results are bit-identical to the scalar table, and code for other options is not
// generated. Entries that the configuration does not call are null.
//
// Like the reference kernels it includes: internal linkage, and the flags of isa_scalar.cpp (-ffp-contract=off).
#pragma once

#include "native/kernels/dense.inl.h"
#include "native/kernels/rtu_linear.inl.h"
#include "native/kernels/rtu_poles.inl.h"

namespace {

// The recurrent block of this table: one unit per pole, E eligibility sets.
template <int E>
struct DeviceBlock {
  template <unsigned Do>
  static RTU_INLINE void pass(const Block<float>& block, const float* a, const float* x, float* u1, float* u2,
                              const Coefficients<float>* c, SetCotangent<float>* sets) {
    Block<float> one = block;
    one.units_per_pole = 1;
    one.weight_step = 2 + 2 * E;
    pass_blocks<float, 1, (Do & (kPending | kLearn)) != 0 ? E : 0, Do, 1>(one, a, x, u1, u2, c, x, sets);
  }
  static void forward(const Block<float>& block, const float* a, const float* x, float* u1, float* u2) {
    if (any_pending(E, a))
      pass<kForward | kPending>(block, a, x, u1, u2, nullptr, nullptr);
    else
      pass<kForward>(block, a, x, u1, u2, nullptr, nullptr);
  }
  static void apply(const Block<float>& block, const float* a) {
    if (any_pending(E, a)) pass<kPending | kWrite>(block, a, nullptr, nullptr, nullptr, nullptr, nullptr);
  }
  static void learn_linear(const Block<float>& block, const float* a, bool, const Coefficients<float>& c,
                           const float* x, SetCotangent<float>* sets) {
    if (any_pending(E, a))
      pass<kPending | kWrite | kLearn | kAdvance>(block, a, x, nullptr, nullptr, &c, sets);
    else
      pass<kLearn | kAdvance>(block, nullptr, x, nullptr, nullptr, &c, sets);
  }
};

template <Activation F>
void device_state(int32_t poles, int32_t, bool, Activation, const Coefficients<float>& c, const float* h1,
                  const float* h2, const float* u1, const float* u2, float* k1, float* k2, float* y1, float* y2,
                  float* s1, float* s2) {
  state<float, 1>(poles, 1, true, F, c, h1, h2, u1, u2, k1, k2, y1, y2, s1, s2);
}

template <int E>
void device_learn_units(int32_t poles, int32_t, int32_t, bool, const Coefficients<float>& c, const float* h1,
                        const float* h2, const float* u1, const float* u2, const float*, const float*,
                        const UnitTraces<float>& traces, SetCotangent<float>* sets) {
  learn_units_sets<float, 1, E, false, false, true>(poles, 1, c, h1, h2, u1, u2, nullptr, nullptr, traces, sets);
}

template <int E>
void device_dense_forward(int32_t rows, int32_t stride, int32_t, float* w, float* const* z, const float* a,
                          const float* x, float* y) {
  if (any_pending(E, a))
    dense_forward_sets<float, 1, E>(rows, stride, w, z, a, x, y);
  else
    dense_forward_sets<float, 1, 0>(rows, stride, w, z, a, x, y);
}

// One cotangent for a value, two for a policy.
inline void device_dense_backward(int32_t rows, int32_t stride, const float* w, int32_t n_c, const float* const* c,
                                  float* const* dx) {
  if (n_c == 1)
    dense_backward_some<float, 1, 1>(rows, stride, w, c, dx);
  else
    dense_backward_some<float, 1, 2>(rows, stride, w, c, dx);
}

// For learners with ObGD or SGD, a linear cell with one unit a pole and output through F, and E heads on each body.
template <int E, Activation F>
constexpr rtu::kernels::Kernels<float> device_table() {
  rtu::kernels::Kernels<float> table{};
  table.name = "device";
  table.lanes = 1;
  table.coefficients = coefficients_of<float, 1, false>;
  table.forward = DeviceBlock<E>::forward;
  table.apply = DeviceBlock<E>::apply;
  table.state = device_state<F>;
  table.learn_linear = DeviceBlock<E>::learn_linear;
  table.learn_units = device_learn_units<E>;
  table.dense_forward = device_dense_forward<E>;
  table.dense_backward = device_dense_backward;
  table.dense_learn = dense_learn<float, 1>;
  table.add_phase = add_phase<float, 1>;
  table.add = add<float, 1>;
  table.decay_add = decay_add<float, 1>;
  table.norm_relu = norm_relu<float, 1>;
  table.norm_relu_backward = norm_relu_backward<float, 1>;
  return table;
}

}  // namespace
