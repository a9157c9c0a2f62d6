// Kernel tables for one configuration, one lane, in TD order, for firmware. Each entry is the reference kernel with its
// options fixed at compile time: results are bit-identical to the scalar table, and code for other options is not
// generated. Entries that the configuration does not call are null.
//
// Like the reference kernels it includes: internal linkage, and the flags of isa_scalar.cpp (-ffp-contract=off).
#pragma once

#include "native/kernels/dense.inl.h"
#include "native/kernels/rtu_linear.inl.h"
#include "native/kernels/rtu_poles.inl.h"
#if defined(__thumb2__) && defined(__ARM_FP) && (__ARM_FP & 4)
#include "native/kernels/vfp.inl.h"
#endif

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

#if defined(__thumb2__) && defined(__ARM_FP) && (__ARM_FP & 4)
constexpr const char* kDeviceIsa = "vfp4";
template <int E>
using DeviceDense = VfpDense<E>;
inline void device_add(int32_t n, float a, const float* x, float* y) { vfp_add_all(n, a, x, y); }
inline float device_decay_add(int32_t n, float decay, const float* c, float* z) {
  return vfp_decay_add(n, decay, c, z);
}
inline void device_multiply(int32_t n, const float* x, const float* y, float* out) { vfp_multiply_all(n, x, y, out); }
#else
constexpr const char* kDeviceIsa = "device";
template <int E>
struct DeviceDense {
  static void forward(int32_t rows, int32_t stride, int32_t n_sets, float* w, float* const* z, const float* a,
                      const float* x, float* y) {
    if (E == 2 && n_sets == 1) return DeviceDense<1>::forward(rows, stride, 1, w, z, a, x, y);  // a head
    if (any_pending(E, a))
      dense_forward_sets<float, 1, E>(rows, stride, w, z, a, x, y);
    else
      dense_forward_sets<float, 1, 0>(rows, stride, w, z, a, x, y);
  }
  static void backward(int32_t rows, int32_t stride, const float* w, int32_t n_c, const float* const* c,
                       float* const* dx) {
    dense_backward<float, 1>(rows, stride, w, n_c, c, dx);
  }
  static float learn(int32_t rows, int32_t stride, float decay, const float* c, const float* x, float* z) {
    return dense_learn<float, 1>(rows, stride, decay, c, x, z);
  }
};
inline void device_add(int32_t n, float a, const float* x, float* y) { add<float, 1>(n, a, x, y); }
inline float device_decay_add(int32_t n, float decay, const float* c, float* z) {
  return decay_add<float, 1>(n, decay, c, z);
}
inline void device_multiply(int32_t n, const float* x, const float* y, float* out) {
  for (int32_t i = 0; i < n; ++i) out[i] = x[i] * y[i];
}
#endif

// Speed before size: their loops are short, and GCC 12 keeps more in registers.
#if defined(__clang__)
#define RTU_SPEED
#else
#define RTU_SPEED __attribute__((optimize("O2"), flatten))
#endif
RTU_SPEED inline float device_norm_relu(int32_t n, const float* x, float* xhat, float* y) {
  return norm_relu<float, 1>(n, x, xhat, y);
}
RTU_SPEED inline void device_norm_relu_backward(int32_t n, float inverse_deviation, const float* xhat, const float* dy,
                                                float* dx) {
  norm_relu_backward<float, 1>(n, inverse_deviation, xhat, dy, dx);
}

// For learners with ObGD or SGD, a linear cell with one unit a pole and output through F, and E heads on each body.
template <int E, Activation F>
constexpr rtu::kernels::Kernels<float> device_table() {
  rtu::kernels::Kernels<float> table{};
  table.name = kDeviceIsa;
  table.lanes = 1;
  table.coefficients = coefficients_of<float, 1, false>;
  table.forward = DeviceBlock<E>::forward;
  table.apply = DeviceBlock<E>::apply;
  table.state = device_state<F>;
  table.learn_linear = DeviceBlock<E>::learn_linear;
  table.learn_units = device_learn_units<E>;
  table.dense_forward = DeviceDense<E>::forward;
  table.dense_backward = DeviceDense<E>::backward;
  table.dense_learn = DeviceDense<E>::learn;
  table.add_phase = add_phase<float, 1>;
  table.add = device_add;
  table.decay_add = device_decay_add;
  table.norm_relu = device_norm_relu;
  table.norm_relu_backward = device_norm_relu_backward;
  return table;
}

}  // namespace
