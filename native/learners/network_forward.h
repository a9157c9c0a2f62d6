// A network's forward pass, which also applies the pending step of each weight.
#pragma once

#include "native/learners/network.h"

namespace rtu::learners {

// Where a network without an encoder takes its input.
template <class T>
T* features_input(const Network<T>& net) {
  return net.config.cell.kind == CellKind::kNone ? net.x : net.cell.x;
}

template <class T>
T* input_of(const Network<T>& net) {
  return net.config.encoders() > 0 ? net.encoding.input : features_input(net);
}

template <class T>
const T* features_of(const Network<T>& net) {
  return net.config.cell.kind == CellKind::kNone ? net.x : net.cell.y;
}

// ---- the pending step -----------------------------------------------------------------------------------------------

template <class T>
void flush_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, const T* a) {
  const int32_t n_b = round_up(kernel, dense.rows);
  for (int s = 0; s < dense.sets; ++s) {
    if (a[s] == T(0)) continue;
    kernel.add(dense.rows * dense.stride, a[s], dense.z_w[s], dense.w);
    kernel.add(n_b, a[s], dense.z_b[s], dense.b);
  }
}

// Applies pending weight steps, so that weights can be read or saved and eligibilities cleared.
template <class T>
void flush(const Network<T>& net) {
  if (net.config.cell.kind != CellKind::kNone) cells::apply_pending(net.cell, net.pending);
  for (int l = 0; l < net.config.depth(); ++l) flush_dense(*net.kernels, net.layer[l].dense, net.pending);
  for (int h = 0; h < net.config.heads; ++h) {
    flush_dense(*net.kernels, net.head[h].dense, net.pending + h);
    net.pending[h] = T(0);
  }
}

// ---- forward --------------------------------------------------------------------------------------------------------

template <class T>
void forward_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, const T* a, const T* x, T* y) {
  const int32_t n_b = round_up(kernel, dense.rows);
  for (int s = 0; s < dense.sets; ++s)
    if (a[s] != T(0)) kernel.add(n_b, a[s], dense.z_b[s], dense.b);
  kernel.dense_forward(dense.rows, dense.stride, dense.sets, dense.w, dense.z_w, a, x, y);
  if (core::kSmall) return kernel.add(dense.rows, T(1), dense.b, y);  // the same bits; one lane
  for (int32_t i = 0; i < dense.rows; ++i) y[i] += dense.b[i];
}

template <class T>
const T* forward_layer(const Network<T>& net, int32_t l, const T* x) {
  const Layer<T>& layer = net.layer[l];
  forward_dense(*net.kernels, layer.dense, net.pending, x, layer.pre);
  *layer.inverse_deviation = net.kernels->norm_relu(layer.dense.rows, layer.pre, layer.xhat, layer.y);
  return layer.y;
}

// The encoder's output from its input; also applies the pending weight steps.
template <class T>
const T* encode(const Network<T>& net, const T* input) {
  const T* x = input;
  for (int l = 0; l < net.config.encoders(); ++l) x = forward_layer(net, l, x);
  return x;
}

// The input of the cell, or of the body, from input_of(net).
template <class T>
void encode_input(const Network<T>& net) {
  const int32_t encoders = net.config.encoders();
  if (encoders == 0) return;
  const T* x = encode(net, static_cast<const T*>(net.encoding.input));
  memcpy(features_input(net), x, static_cast<size_t>(net.config.width(encoders - 1)) * sizeof(T));
}

// Body and heads from the features; also applies the pending weight steps.
template <class T>
void forward_body(const Network<T>& net, const T* features) {
  const T* x = features;
  for (int l = net.config.encoders(); l < net.config.depth(); ++l) x = forward_layer(net, l, x);
  for (int h = 0; h < net.config.heads; ++h) {
    forward_dense(*net.kernels, net.head[h].dense, net.pending + h, x, net.head[h].y);
    net.pending[h] = T(0);
  }
}

// One forward pass from input_of(net), which the caller has filled.
template <class T>
void predict(const Network<T>& net, T periods) {
  encode_input(net);
  if (net.config.cell.kind == CellKind::kNone) {
    forward_body(net, net.x);
    return;
  }
  cells::predict(net.cell, net.pending, periods);
  forward_body(net, net.cell.y);
}

}  // namespace rtu::learners
