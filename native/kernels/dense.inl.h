// Dense layers, LayerNorm, leaky relu, Adam. Weights row after row, rows padded to whole lanes. Letters: kernels.h.
#pragma once

#include "native/kernels/kernels.h"
#include "native/kernels/vec.h"

namespace {

using rtu::kernels::AdamStep;
using rtu::kernels::ConditionStep;
using rtu::kernels::ConditionSums;

// R rows at once, so that x is read only once.
template <class T, int V, int E, int R>
RTU_INLINE void dense_forward_rows(int32_t stride, T* w, T* const* z, const T* a, const T* x, T* y) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F sum[R] = {}, pending[E > 0 ? E : 1];
  const T* zs[E > 0 ? E : 1];
  for (int s = 0; s < E; ++s) {
    pending[s] = L::all(a[s]);
    zs[s] = z[s];
  }
  for (int32_t j = 0; j < stride; j += V) {
    const F input = L::load(x + j);
    for (int r = 0; r < R; ++r) {
      const int64_t at = static_cast<int64_t>(r) * stride + j;
      F weight = L::load(w + at);
      for (int s = 0; s < E; ++s) weight += pending[s] * L::load(zs[s] + at);
      if constexpr (E > 0) L::store(w + at, weight);
      sum[r] += weight * input;
    }
  }
  for (int r = 0; r < R; ++r) y[r] = L::sum(sum[r]);
}

template <class T, int V, int E>
void dense_forward_sets(int32_t rows, int32_t stride, T* w, T* const* z, const T* a, const T* x, T* y) {
  constexpr int R = 4;
  T* zi[E > 0 ? E : 1];
  for (int32_t i = 0; i < rows;) {
    const int64_t at = static_cast<int64_t>(i) * stride;
    for (int s = 0; s < E; ++s) zi[s] = z[s] + at;
    if (i + R <= rows) {
      dense_forward_rows<T, V, E, R>(stride, w + at, zi, a, x, y + i);
      i += R;
    } else {
      dense_forward_rows<T, V, E, 1>(stride, w + at, zi, a, x, y + i);
      ++i;
    }
  }
}

template <class T, int V>
void dense_forward(int32_t rows, int32_t stride, int32_t n_sets, T* w, T* const* z, const T* a, const T* x, T* y) {
  bool pending = false;
  for (int32_t s = 0; s < n_sets; ++s) pending |= a[s] != T(0);
  if (!pending)
    dense_forward_sets<T, V, 0>(rows, stride, w, z, a, x, y);
  else if (n_sets == 1)
    dense_forward_sets<T, V, 1>(rows, stride, w, z, a, x, y);
  else
    dense_forward_sets<T, V, 2>(rows, stride, w, z, a, x, y);
}

// J vectors of dx at once for C cotangents: the weights are read in runs of J vectors.
template <class T, int V, int C, int J>
RTU_INLINE void dense_backward_columns(int32_t rows, int32_t stride, const T* w, const T* const* c, T* const* dx,
                                       int32_t at) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F sum[C][J] = {};
  for (int32_t i = 0; i < rows; ++i) {
    const T* row = w + static_cast<int64_t>(i) * stride + at;
    for (int k = 0; k < C; ++k)
      for (int j = 0; j < J; ++j) sum[k][j] += L::load(row + j * V) * c[k][i];
  }
  for (int k = 0; k < C; ++k)
    for (int j = 0; j < J; ++j) L::store(dx[k] + at + j * V, sum[k][j]);
}

template <class T, int V, int C>
void dense_backward_some(int32_t rows, int32_t stride, const T* w, const T* const* c, T* const* dx) {
  constexpr int J = 4;
  int32_t at = 0;
  for (; at + J * V <= stride; at += J * V) dense_backward_columns<T, V, C, J>(rows, stride, w, c, dx, at);
  for (; at < stride; at += V) dense_backward_columns<T, V, C, 1>(rows, stride, w, c, dx, at);
}

template <class T, int V>
void dense_backward(int32_t rows, int32_t stride, const T* w, int32_t n_c, const T* const* c, T* const* dx) {
  if (n_c == 1)
    dense_backward_some<T, V, 1>(rows, stride, w, c, dx);
  else if (n_c == 2)
    dense_backward_some<T, V, 2>(rows, stride, w, c, dx);
  else
    dense_backward_some<T, V, 3>(rows, stride, w, c, dx);
}

template <class T, int V, int R>
RTU_INLINE void dense_learn_rows(int32_t stride, T decay, const T* c, const T* x, T* z, Vec<T, V>& norm) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F sum[R] = {}, cotangent[R];
  for (int r = 0; r < R; ++r) cotangent[r] = L::all(c[r]);
  for (int32_t j = 0; j < stride; j += V) {
    const F input = L::load(x + j);
    for (int r = 0; r < R; ++r) {
      T* at = z + static_cast<int64_t>(r) * stride + j;
      const F next = decay * L::load(at) + cotangent[r] * input;
      L::store(at, next);
      sum[r] += L::abs(next);
    }
  }
  for (int r = 0; r < R; ++r) norm += sum[r];
}

template <class T, int V>
T dense_learn(int32_t rows, int32_t stride, T decay, const T* c, const T* x, T* z) {
  constexpr int R = 4;
  Vec<T, V> norm = Lanes<T, V>::all(T(0));
  int32_t i = 0;
  for (; i + R <= rows; i += R)
    dense_learn_rows<T, V, R>(stride, decay, c + i, x, z + static_cast<int64_t>(i) * stride, norm);
  for (; i < rows; ++i) dense_learn_rows<T, V, 1>(stride, decay, c + i, x, z + static_cast<int64_t>(i) * stride, norm);
  return Lanes<T, V>::sum(norm);
}

template <class T, int V>
void add(int32_t n, T a, const T* x, T* y) {
  typedef Lanes<T, V> L;
  for (int32_t i = 0; i < n; i += V) L::store(y + i, L::load(y + i) + a * L::load(x + i));
}

template <class T, int V>
T decay_add(int32_t n, T decay, const T* c, T* z) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  F norm = L::all(T(0));
  for (int32_t i = 0; i < n; i += V) {
    const F next = decay * L::load(z + i) + L::load(c + i);
    L::store(z + i, next);
    norm += L::abs(next);
  }
  return L::sum(norm);
}

// Whole lanes first, then the rest one by one: elements beyond n in a padded vector are not summed.
template <class T, int V>
T norm_relu(int32_t n, const T* x, T* xhat, T* y) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const int32_t whole = n / V * V;
  F sums = L::all(T(0));
  T rest = 0;
  for (int32_t i = 0; i < whole; i += V) sums += L::load(x + i);
  for (int32_t i = whole; i < n; ++i) rest += x[i];
  const T mean = (L::sum(sums) + rest) / static_cast<T>(n);
  F squares = L::all(T(0));
  rest = 0;
  for (int32_t i = 0; i < whole; i += V) {
    const F centred = L::load(x + i) - mean;
    squares += centred * centred;
  }
  for (int32_t i = whole; i < n; ++i) rest += (x[i] - mean) * (x[i] - mean);
  const T variance = (L::sum(squares) + rest) / static_cast<T>(n);
  const T inverse_deviation = T(1) / Lanes<T, 1>::sqrt(variance + T(1e-5));
  for (int32_t i = 0; i < whole; i += V) {
    const F normed = (L::load(x + i) - mean) * inverse_deviation;
    L::store(xhat + i, normed);
    L::store(y + i, normed > T(0) ? normed : normed * T(0.01));
  }
  for (int32_t i = whole; i < n; ++i) {
    const T normed = (x[i] - mean) * inverse_deviation;
    xhat[i] = normed;
    y[i] = normed > 0 ? normed : normed * T(0.01);
  }
  return inverse_deviation;
}

// dx = (q - mean(q) - xhat mean(q xhat)) / deviation, q = dy through the leaky relu. dx holds q temporarily; dy and dx
// may be the same array.
template <class T, int V>
void norm_relu_backward(int32_t n, T inverse_deviation, const T* xhat, const T* dy, T* dx) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const int32_t whole = n / V * V;
  F sums = L::all(T(0)), products = sums;
  T rest_sum = 0, rest_product = 0;
  for (int32_t i = 0; i < whole; i += V) {
    const F normed = L::load(xhat + i), c = L::load(dy + i);
    const F q = normed > T(0) ? c : c * T(0.01);
    L::store(dx + i, q);
    sums += q;
    products += q * normed;
  }
  for (int32_t i = whole; i < n; ++i) {
    dx[i] = xhat[i] > 0 ? dy[i] : dy[i] * T(0.01);
    rest_sum += dx[i];
    rest_product += dx[i] * xhat[i];
  }
  const T mean = (L::sum(sums) + rest_sum) / static_cast<T>(n),
          slant = (L::sum(products) + rest_product) / static_cast<T>(n);
  for (int32_t i = 0; i < whole; i += V)
    L::store(dx + i, (L::load(dx + i) - mean - L::load(xhat + i) * slant) * inverse_deviation);
  for (int32_t i = whole; i < n; ++i) dx[i] = (dx[i] - mean - xhat[i] * slant) * inverse_deviation;
}

template <class T, int V>
void adam(int32_t n_groups, int32_t width, int32_t stride_w, int32_t stride_m, const AdamStep<T>& step, T* w,
          const T* z, T* m, T* v) {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  for (int32_t group = 0; group < n_groups; ++group) {
    for (int32_t i = 0; i < width; i += V) {
      const int64_t at = static_cast<int64_t>(group) * stride_w + i,
                    moment = static_cast<int64_t>(group) * stride_m + i;
      const F q = step.scale * L::load(z + at);
      const F first = step.b1 * L::load(m + moment) + (T(1) - step.b1) * q;
      const F second = step.b2 * L::load(v + moment) + (T(1) - step.b2) * (q * q);
      L::store(m + moment, first);
      L::store(v + moment, second);
      L::store(w + at, L::load(w + at) + step.rate * first / (L::sqrt(second * step.unbias2) + step.eps));
    }
  }
}

// A pass of condition() or dense_condition(). Norm: sum |e / p| is wanted and s^2 is of_trace e^2; else the other two
// sums, and s^2 is the larger of both squares.
template <class T, int V, bool Norm>
struct Conditioning {
  typedef Lanes<T, V> L;
  typedef Vec<T, V> F;
  const F decay, of_gradient, of_trace, b2, unbias2, inside;
  F gradient = L::all(T(0)), trace = gradient, norm = gradient;

  RTU_INLINE explicit Conditioning(const ConditionStep<T>& step)
      : decay(L::all(step.decay)),
        of_gradient(L::all((T(1) - step.b2) * step.of_gradient)),
        of_trace(L::all((T(1) - step.b2) * step.of_trace)),
        b2(L::all(step.b2)),
        unbias2(L::all(step.unbias2)),
        inside(L::all(step.inside)) {}

  // Eligibility and second moment of V weights, from their gradient; returns e / p.
  RTU_INLINE F direction(F g, T* e, T* v) {
    const F eligibility = decay * L::load(e) + g;
    L::store(e, eligibility);
    F squares = of_trace * (eligibility * eligibility);
    if constexpr (!Norm) squares = L::max(of_gradient * (g * g), squares);
    const F second = b2 * L::load(v) + squares;
    L::store(v, second);
    const F inverse = L::inverse_sqrt(second * unbias2 + inside);
    const F along = eligibility * inverse;
    if constexpr (Norm) {
      norm += L::abs(along);
    } else {
      gradient += g * g * inverse;
      trace += eligibility * along;
    }
    return along;
  }
  RTU_INLINE void add_to(ConditionSums<T>& sums) const {
    sums.gradient += L::sum(gradient);
    sums.trace += L::sum(trace);
    sums.norm += L::sum(norm);
  }
};

template <class T, int V, bool Norm>
void condition_of(int32_t n_groups, int32_t width, int32_t stride_z, int32_t stride_m, const ConditionStep<T>& step,
                  T* z, T* e, T* v, ConditionSums<T>& sums) {
  typedef Lanes<T, V> L;
  Conditioning<T, V, Norm> pass(step);
  for (int32_t group = 0; group < n_groups; ++group) {
    T* slot = z + static_cast<int64_t>(group) * stride_z;
    const int64_t moment = static_cast<int64_t>(group) * stride_m;
    for (int32_t i = 0; i < width; i += V)
      L::store(slot + i, pass.direction(L::load(slot + i), e + moment + i, v + moment + i));
  }
  pass.add_to(sums);
}

template <class T, int V>
void condition(int32_t n_groups, int32_t width, int32_t stride_z, int32_t stride_m, const ConditionStep<T>& step, T* z,
               T* e, T* v, ConditionSums<T>& sums) {
  const auto pass = step.wants_norm ? condition_of<T, V, true> : condition_of<T, V, false>;
  pass(n_groups, width, stride_z, stride_m, step, z, e, v, sums);
}

template <class T, int V, bool Norm>
void dense_condition_of(int32_t rows, int32_t stride, const ConditionStep<T>& step, const T* c, const T* x, T* z, T* e,
                        T* v, ConditionSums<T>& sums) {
  typedef Lanes<T, V> L;
  Conditioning<T, V, Norm> pass(step);
  for (int32_t i = 0; i < rows; ++i) {
    const int64_t row = static_cast<int64_t>(i) * stride;
    const Vec<T, V> cotangent = L::all(c[i]);
    for (int32_t j = 0; j < stride; j += V)
      L::store(z + row + j, pass.direction(cotangent * L::load(x + j), e + row + j, v + row + j));
  }
  pass.add_to(sums);
}

template <class T, int V>
void dense_condition(int32_t rows, int32_t stride, const ConditionStep<T>& step, const T* c, const T* x, T* z, T* e,
                     T* v, ConditionSums<T>& sums) {
  const auto pass = step.wants_norm ? dense_condition_of<T, V, true> : dense_condition_of<T, V, false>;
  pass(rows, stride, step, c, x, z, e, v, sums);
}

}  // namespace
