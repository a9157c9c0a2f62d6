// Learning of a network: the cotangents kept from a step, the eligibilities that they enter in the next, the weight
// step.
#pragma once

#include "native/learners/network_condition.h"
#include "native/learners/network_forward.h"

namespace rtu::learners {

// ---- cotangents -----------------------------------------------------------------------------------------------------

// Cotangents `above` of layer l's output, of `count` kinds from first on, enter its own, and reach the layer's input,
// in net.scratch, with `down`.
template <class T>
void backward_layer(const Network<T>& net, int32_t l, T* const* above, int32_t first, int32_t count, bool down) {
  const Layer<T>& layer = net.layer[l];
  for (int k = first; k < first + count; ++k)
    net.kernels->norm_relu_backward(layer.dense.rows, *layer.inverse_deviation, layer.xhat, above[k], layer.cot[k]);
  if (down)
    net.kernels->dense_backward(layer.dense.rows, layer.dense.stride, layer.dense.w, count, layer.cot + first,
                                net.scratch + first);
}

// Keeps what the encoder's cotangents of the newest input will need.
template <class T>
void keep_input(const Network<T>& net) {
  const int32_t inputs = net.layer[0].dense.cols;
  memcpy(net.encoding.kept, net.encoding.input, static_cast<size_t>(inputs) * sizeof(T));
  if (net.config.cell.kind != CellKind::kNone) cells::input_slopes(net.cell, net.encoding.slope1, net.encoding.slope2);
}

// The encoder's part of store_gradients(): net.scratch holds the cotangents of the features. Of an earlier input its
// layers are evaluated again, with the weights of now.
template <class T>
void store_encoder_gradients(const Network<T>& net, bool newest) {
  const Encoding<T>& encoding = net.encoding;
  const int32_t kinds = net.config.kinds();
  if (newest)
    keep_input(net);
  else
    (void)encode(net, static_cast<const T*>(encoding.kept));
  T* const* above = net.scratch;
  if (net.config.cell.kind != CellKind::kNone) {
    cells::input_cotangents(net.cell, kinds, encoding.slope1, encoding.slope2, above, encoding.c1, encoding.c2,
                            encoding.dx);
    above = encoding.dx;
  }
  for (int l = net.config.encoders() - 1; l >= 0; --l, above = net.scratch) {
    const T* input = l > 0 ? net.layer[l - 1].y : encoding.kept;
    memcpy(net.layer[l].input, input, static_cast<size_t>(net.layer[l].dense.cols) * sizeof(T));
    backward_layer(net, l, above, 0, kinds, l > 0);
  }
}

// Propagates the cotangents head[h].cot[kind], which the caller has filled, back to every layer and to the cell: those
// of the kinds from first on, `count` of them; a part of them only where there is one head. s1, s2: the cell's slopes
// of the step they belong to.
template <class T>
void propagate(const Network<T>& net, const T* s1, const T* s2, int32_t first, int32_t count) {
  const NetworkConfig& config = net.config;
  const kernels::Kernels<T>& kernel = *net.kernels;
  const bool recurrent = config.cell.learns(), down = recurrent || config.encoders() > 0;
  for (int h = 0; h < config.heads && (config.layers > 0 || down); ++h) {
    const Head<T>& head = net.head[h];
    const int32_t from = config.heads > 1 ? head.first_kind : first;
    kernel.dense_backward(head.dense.rows, head.dense.stride, head.dense.w,
                          config.heads > 1 ? config.head[h].kinds : count, head.cot + from, net.scratch + from);
  }
  for (int l = config.depth() - 1; l >= config.encoders(); --l)
    backward_layer(net, l, net.scratch, first, count, l > config.encoders() || down);
  if (!recurrent) return;
  for (int k = first; k < first + count; ++k) cells::cotangent(net.cell, s1, s2, net.scratch[k], net.e1[k], net.e2[k]);
}

// Keeps the inputs of the body and of the heads, which belong to the kept cotangents. features: the cell's output.
template <class T>
void keep_inputs(const Network<T>& net, const T* features) {
  const NetworkConfig& config = net.config;
  const T* x = features;
  for (int l = config.encoders(); l < config.depth(); x = net.layer[l++].y)
    memcpy(net.layer[l].input, x, static_cast<size_t>(net.layer[l].dense.cols) * sizeof(T));
  for (int h = 0; h < config.heads; ++h)
    memcpy(net.head[h].input, x, static_cast<size_t>(net.head[h].dense.cols) * sizeof(T));
}

// Keeps this step's cotangents, of every kind, as propagate().
template <class T>
void store_gradients(const Network<T>& net, const T* features, const T* s1, const T* s2) {
  keep_inputs(net, features);
  propagate(net, s1, s2, 0, net.config.kinds());
  if (net.config.encoders() > 0) store_encoder_gradients(net, features == features_of(net));
}

// Copies the newest output of the cell and its slopes, for a later store_gradients(). s2: null for a cell with gates.
template <class T>
void keep_output(const Network<T>& net, T* features, T* s1, T* s2) {
  memcpy(features, features_of(net), static_cast<size_t>(net.config.features()) * sizeof(T));
  if (net.config.encoders() > 0) keep_input(net);
  if (net.config.cell.kind == CellKind::kNone) return;
  const size_t bytes = static_cast<size_t>(cells::unit_vector_size(net.cell)) * sizeof(T);
  memcpy(s1, net.cell.s1, bytes);
  if (s2 != nullptr) memcpy(s2, net.cell.s2, bytes);
}

// cot[to] += a cot[from] everywhere: the entropy's cotangent is added to that of log pi once the sign of delta is
// known.
template <class T>
void mix_cotangents(const Network<T>& net, int32_t h, int32_t to, int32_t from, T a) {
  const kernels::Kernels<T>& kernel = *net.kernels;
  kernel.add(round_up(kernel, net.config.head[h].outputs), a, net.head[h].cot[from], net.head[h].cot[to]);
  for (int l = 0; l < net.config.depth(); ++l)
    kernel.add(round_up(kernel, net.config.width(l)), a, net.layer[l].cot[from], net.layer[l].cot[to]);
  if (!net.config.cell.learns()) return;
  const int32_t units = static_cast<int32_t>(cells::unit_vector_size(net.cell));
  kernel.add(units, a, net.e1[from], net.e1[to]);
  if (net.e2[to] != nullptr) kernel.add(units, a, net.e2[from], net.e2[to]);
}

template <class T>
void clear_cell_cotangents(const Network<T>& net, int32_t kind) {
  if (!net.config.cell.learns()) return;
  cells::zero(net.e1[kind], cells::unit_vector_size(net.cell));
  if (net.e2[kind] != nullptr) cells::zero(net.e2[kind], cells::unit_vector_size(net.cell));
}

// Removes the cotangents of one kind from the step (for example, when the learner's action was overridden).
template <class T>
void clear_cotangents(const Network<T>& net, int32_t h, int32_t kind) {
  cells::zero(net.head[h].cot[kind], net.config.head[h].outputs);
  for (int l = 0; l < net.config.depth(); ++l) cells::zero(net.layer[l].cot[kind], net.config.width(l));
  clear_cell_cotangents(net, kind);
}

// ---- eligibilities --------------------------------------------------------------------------------------------------

template <class T>
void clear_dense(const Dense<T>& dense) {
  for (int s = 0; s < dense.sets; ++s) {
    cells::zero(dense.z_w[s], static_cast<int64_t>(dense.rows) * dense.stride);
    cells::zero(dense.z_b[s], dense.rows);
  }
}

// Zeroes the eligibilities of every set (after a flush) and the cotangents kept.
template <class T>
void clear_credit(const Network<T>& net) {
  flush(net);
  const NetworkConfig& config = net.config;
  if (config.cell.learns()) cells::clear_eligibilities(net.cell);
  for (int l = 0; l < config.depth(); ++l) clear_dense(net.layer[l].dense);
  for (int h = 0; h < config.heads; ++h) clear_dense(net.head[h].dense);
  if (net.rule != nullptr) clear_conditioned(net);
  for (int k = 0; k < config.kinds(); ++k) {
    clear_cell_cotangents(net, k);
    for (int l = 0; l < config.depth(); ++l) cells::zero(net.layer[l].cot[k], config.width(l));
  }
  for (int h = 0; h < config.heads; ++h)
    for (int k = 0; k < config.head[h].kinds; ++k)
      cells::zero(net.head[h].cot[net.head[h].first_kind + k], config.head[h].outputs);
}

// An episode's start: state, traces, eligibilities, cotangents.
template <class T>
void begin(const Network<T>& net) {
  clear_credit(net);
  if (net.config.cell.kind == CellKind::kNone) return;
  cells::clear_state(net.cell);
  cells::clear_traces(net.cell);
}

// ---- learning -------------------------------------------------------------------------------------------------------

template <class T>
T update_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, int32_t set, T decay, const T* c,
               const T* input) {
  const T w = kernel.dense_learn(dense.rows, dense.stride, decay, c, input, dense.z_w[set]);
  return w + kernel.decay_add(round_up(kernel, dense.rows), decay, c, dense.z_b[set]);
}

// The cell's eligibility sets, each with its kept cotangent and decay. Where condition() keeps the eligibilities, the
// pass leaves the gradient alone.
template <class T>
void fill_sets(const Network<T>& net, SetCotangent<T>* sets) {
  for (int h = 0; h < net.config.heads; ++h) {
    const int32_t kind = net.head[h].first_kind;
    const HeadConfig& head = net.config.head[h];
    const T decay = optim::conditions(head.optimizer.rule) ? T(0) : static_cast<T>(head.decay_recurrent);
    sets[h] = {net.e1[kind], net.e2[kind], decay, T(0)};
  }
}

// Body and heads but those of condition(): z <- gamma lambda z + gradient; adds to norm.
template <class T>
void update_body(const Network<T>& net, T* norm) {
  const NetworkConfig& config = net.config;
  for (int h = 0; h < config.heads; ++h) {
    const int32_t kind = net.head[h].first_kind;
    const HeadConfig& head = config.head[h];
    if (optim::conditions(head.optimizer.rule)) continue;
    const T body = static_cast<T>(head.decay_body), top = static_cast<T>(head.decay_head);
    for (int l = 0; l < config.depth(); ++l)
      norm[h] += update_dense(*net.kernels, net.layer[l].dense, h, body, net.layer[l].cot[kind], net.layer[l].input);
    if (head.online) continue;
    norm[h] += update_dense(*net.kernels, net.head[h].dense, 0, top, net.head[h].cot[kind], net.head[h].input);
  }
}

// z <- gamma lambda z + gradient for every set, RTRL traces advanced; norm[h] is sum |z| over all that optimiser h
// moves.
template <class T>
void update(const Network<T>& net, bool advance_first, T* norm) {
  SetCotangent<T> sets[kMaxSets] = {};
  if (net.config.cell.kind != CellKind::kNone) {
    fill_sets(net, sets);
    cells::update(net.cell, advance_first, sets);
  }
  for (int h = 0; h < net.config.heads; ++h) norm[h] = sets[h].norm;
  update_body(net, norm);
}

// predict() and update() in TD order in one pass, bit-identical; for learners whose output is not needed in between.
template <class T>
void step(const Network<T>& net, T periods, T* norm) {
  if (net.config.cell.kind == CellKind::kNone) {
    predict(net, periods);
    update(net, false, norm);
    return;
  }
  SetCotangent<T> sets[kMaxSets] = {};
  fill_sets(net, sets);
  encode_input(net);
  cells::step(net.cell, net.pending, periods, sets);
  forward_body(net, static_cast<const T*>(net.cell.y));
  for (int h = 0; h < net.config.heads; ++h) norm[h] = sets[h].norm;
  update_body(net, norm);
}

// Step t of Adam along scale z; `factor` reduces the step size.
template <class T>
kernels::AdamStep<T> adam_step(const optim::OptimizerConfig& config, uint64_t t, T factor, T scale) {
  kernels::AdamStep<T> step{};
  step.rate = factor * static_cast<T>(config.step_size / (1.0 - optim::power(config.b1, t)));
  step.unbias2 = static_cast<T>(1.0 / (1.0 - optim::power(config.b2, t)));
  step.b1 = static_cast<T>(config.b1);
  step.b2 = static_cast<T>(config.b2);
  step.eps = static_cast<T>(config.eps);
  step.scale = scale;
  return step;
}

template <class T>
void adam_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, int32_t s, const kernels::AdamStep<T>& step) {
  kernel.adam(1, dense.rows * dense.stride, 0, 0, step, dense.w, dense.z_w[s], dense.m_w[s], dense.v_w[s]);
  kernel.adam(1, round_up(kernel, dense.rows), 0, 0, step, dense.b, dense.z_b[s], dense.m_b[s], dense.v_b[s]);
}

// Updates all parameters of head h's optimiser by step delta z. All but Adam leave the step pending; the next forward
// pass applies it. `factor` is the learner monitor's reduction of the step size. Returns the step size used.
template <class T>
T apply_update(const Network<T>& net, int32_t h, T delta, T norm, T factor = T(1)) {
  const optim::OptimizerConfig& config = net.config.head[h].optimizer;
  if (!core::kSmall && config.rule == optim::Rule::kIntentional) {
    double* rule = rule_of(net, h);
    const double step = static_cast<double>(factor) * intended_step(config, static_cast<double>(norm), rule);
    const double error = intended_error(config, static_cast<double>(delta), rule);
    net.pending[h] = static_cast<T>(optim::along(step, error));
    return static_cast<T>(step);
  }
  const T alpha = factor * optim::step_size(config, delta, norm);
  if (core::kSmall || config.rule != optim::Rule::kAdam) {
    net.pending[h] = optim::along(alpha, delta);
    return alpha;
  }
  const kernels::AdamStep<T> step = adam_step(config, ++net.updates[h], factor, delta);
  if (net.config.cell.learns()) cells::adam(net.cell, h, step);
  for (int l = 0; l < net.config.depth(); ++l) adam_dense(*net.kernels, net.layer[l].dense, h, step);
  if (!net.config.head[h].online) adam_dense(*net.kernels, net.head[h].dense, 0, step);
  return alpha;
}

}  // namespace rtu::learners
