// Steps of weights along a gradient that no eligibility keeps. Letters: kernels.h.
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

template <class T, int V>
void descend_units(int32_t poles, int32_t units_per_pole, T scale, const T* e1, const T* e2, const T* re, const T* im,
                   T* w) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  for (int32_t p = 0; p < poles; p += V) {
    F sum = L::all(T(0));
    for (int32_t at = p; at < poles * units_per_pole; at += poles) {
      sum += L::load(e1 + at) * L::load(re + at);
      if (im != nullptr) sum += L::load(e2 + at) * L::load(im + at);
    }
    L::store(w + p, L::load(w + p) + scale * sum);
  }
}

template <class T, int V, int R, bool Both>
RTU_INLINE void dense_descend_rows(int32_t stride, T keep, const T* c, const T* x, const T* d, const T* y, T* w) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F first[R], second[R] = {};
  for (int r = 0; r < R; ++r) {
    first[r] = L::all(c[r]);
    if constexpr (Both) second[r] = L::all(d[r]);
  }
  for (int32_t j = 0; j < stride; j += V) {
    const F input = L::load(x + j);
    F other = input;
    if constexpr (Both) other = L::load(y + j);
    for (int r = 0; r < R; ++r) {
      T* at = w + static_cast<int64_t>(r) * stride + j;
      F next = keep * L::load(at) + first[r] * input;
      if constexpr (Both) next += second[r] * other;
      L::store(at, next);
    }
  }
}

template <class T, int V, bool Both>
void dense_descend_of(int32_t rows, int32_t stride, T keep, const T* c, const T* x, const T* d, const T* y, T* w) {
  constexpr int R = 4;
  int32_t i = 0;
  for (; i + R <= rows; i += R)
    dense_descend_rows<T, V, R, Both>(stride, keep, c + i, x, Both ? d + i : nullptr, y,
                                      w + static_cast<int64_t>(i) * stride);
  for (; i < rows; ++i)
    dense_descend_rows<T, V, 1, Both>(stride, keep, c + i, x, Both ? d + i : nullptr, y,
                                      w + static_cast<int64_t>(i) * stride);
}

template <class T, int V>
void dense_descend(int32_t rows, int32_t stride, T keep, const T* c, const T* x, const T* d, const T* y, T* w) {
  const auto pass = d != nullptr ? dense_descend_of<T, V, true> : dense_descend_of<T, V, false>;
  pass(rows, stride, keep, c, x, d, y, w);
}

}  // namespace
