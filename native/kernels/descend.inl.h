// A step of the weights of a recurrent block along a gradient that no eligibility keeps. Letters: kernels.h.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

using rtu::kernels::Block;
using rtu::kernels::TraceForm;

template <class T, int V, TraceForm Form>
void descend_as(const Block<T>& block, T keep, T scale, const T* e1, const T* e2) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  constexpr int32_t trace_step = (Form == TraceForm::kFour ? 4 : 2) * V;
  const int32_t poles = block.blocks * V, d = block.inputs;
  for (int32_t b = 0; b < block.blocks; ++b) {
    for (int32_t k = 0; k < block.units_per_pole; ++k) {
      const int32_t at = k * poles + b * V;
      const F first = scale * L::load(e1 + at);
      F second = first;
      if constexpr (Form != TraceForm::kReal) second = scale * L::load(e2 + at);
      const T* t = block.traces + static_cast<int64_t>(b) * d * trace_step;
      T* w = block.weights + static_cast<int64_t>(b * block.units_per_pole + k) * d * block.weight_step;
#pragma GCC unroll 4
      for (int32_t j = 0; j < d; ++j, t += trace_step, w += block.weight_step) {
        const F t1 = L::load(t), t2 = L::load(t + V);
        F w1 = keep * L::load(w), w2 = keep * L::load(w + V);
        if constexpr (Form == TraceForm::kReal) {
          w1 += first * t1;
          w2 += first * t2;
        } else {
          w1 += first * t1 + second * t2;
          if constexpr (Form == TraceForm::kComplex)
            w2 += second * t1 - first * t2;
          else
            w2 += first * L::load(t + 2 * V) + second * L::load(t + 3 * V);
        }
        L::store(w, w1);
        L::store(w + V, w2);
      }
    }
  }
}

template <class T, int V>
void descend(const Block<T>& block, TraceForm form, T keep, T scale, const T* e1, const T* e2) {
  if (form == TraceForm::kComplex)
    descend_as<T, V, TraceForm::kComplex>(block, keep, scale, e1, e2);
  else if (form == TraceForm::kFour)
    descend_as<T, V, TraceForm::kFour>(block, keep, scale, e1, e2);
  else
    descend_as<T, V, TraceForm::kReal>(block, keep, scale, e1, e2);
}

}  // namespace
