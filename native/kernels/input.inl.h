// The cotangent of a cell's input, for the layers before it: u1 = W1 x and u2 = W2 x backwards. Letters: kernels.h.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

using rtu::kernels::Block;

// J inputs at once for C pairs of cotangents: the weights of a unit group are read in runs of J pairs of vectors.
template <class T, int V, int C, int J>
RTU_INLINE void input_backward_columns(const Block<T>& block, const T* const* c1, const T* const* c2, T* const* dx,
                                       int32_t at) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const int32_t G = block.units_per_pole, poles = block.blocks * V;
  F sum[C][J] = {};
  for (int32_t b = 0; b < block.blocks; ++b) {
    for (int32_t k = 0; k < G; ++k) {
      const int32_t unit = k * poles + b * V;
      const T* w = block.weights + (static_cast<int64_t>(b * G + k) * block.inputs + at) * block.weight_step;
      F first[C], second[C];
      for (int c = 0; c < C; ++c) {
        first[c] = L::load(c1[c] + unit);
        second[c] = L::load(c2[c] + unit);
      }
      for (int j = 0; j < J; ++j) {
        const F w1 = L::load(w + j * block.weight_step), w2 = L::load(w + j * block.weight_step + V);
        for (int c = 0; c < C; ++c) sum[c][j] += w1 * first[c] + w2 * second[c];
      }
    }
  }
  for (int c = 0; c < C; ++c)
    for (int j = 0; j < J; ++j) dx[c][at + j] = L::sum(sum[c][j]);
}

template <class T, int V, int C>
void input_backward_some(const Block<T>& block, const T* const* c1, const T* const* c2, T* const* dx) {
  constexpr int J = 4;
  int32_t at = 0;
  for (; at + J <= block.inputs; at += J) input_backward_columns<T, V, C, J>(block, c1, c2, dx, at);
  for (; at < block.inputs; ++at) input_backward_columns<T, V, C, 1>(block, c1, c2, dx, at);
}

template <class T, int V>
void input_backward(const Block<T>& block, int32_t n_c, const T* const* c1, const T* const* c2, T* const* dx) {
  if (n_c == 1)
    input_backward_some<T, V, 1>(block, c1, c2, dx);
  else if (n_c == 2)
    input_backward_some<T, V, 2>(block, c1, c2, dx);
  else
    input_backward_some<T, V, 3>(block, c1, c2, dx);
}

}  // namespace
