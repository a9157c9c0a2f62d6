// A cell, a body of dense layers, one or two linear heads; one eligibility set per head, which covers the head and everything below it.
//
//   x -> cell -> y (2n) -> [W y + b -> LayerNorm -> leaky relu] * layers -> head 0, head 1
//
// Gradients are never stored: the cotangents of one step are kept (one kind for a value, two for a policy: log pi and its entropy) and
// contracted in the next, when the error is known. Heads without a shared body are two networks of one head each.
#pragma once

#include "native/cells/rtu.h"
#include "native/optim/optimizer.h"

namespace rtu::learners {

using cells::CellKind;
using core::Builder;
using core::Name;
using kernels::kMaxSets;
using kernels::SetCotangent;

constexpr int32_t kMaxLayers = 4;
constexpr int32_t kMaxKinds = 3;  // cotangents kept: value, log pi, entropy

struct HeadConfig {
  const char* name = "head";
  int32_t outputs = 1;
  int32_t kinds = 1;           // cotangents kept for it
  double decay_recurrent = 0;  // gamma lambda of each parameter group
  double decay_body = 0;
  double decay_head = 0;
  optim::OptimizerConfig optimizer;
};

struct NetworkConfig {
  cells::RtuConfig cell;
  int32_t layers = 0;
  int32_t hidden[kMaxLayers] = {};
  int32_t heads = 1;
  HeadConfig head[kMaxSets];
  double sparsity = 0.9;

  constexpr int32_t features() const { return cell.kind == CellKind::none ? cell.inputs : 2 * cell.units(); }
  constexpr bool moments() const {
    for (int h = 0; h < heads; ++h)
      if (head[h].optimizer.rule == optim::Rule::adam) return true;
    return false;
  }
  constexpr int32_t kinds() const {
    int32_t sum = 0;
    for (int h = 0; h < heads; ++h) sum += head[h].kinds;
    return sum;
  }
};

template <class T>
struct Dense {
  int32_t rows, cols, stride, sets;
  T *w, *b;  // (rows, cols), (rows)
  T *z_w[kMaxSets], *z_b[kMaxSets];
  T *m_w[kMaxSets], *v_w[kMaxSets], *m_b[kMaxSets], *v_b[kMaxSets];
};

template <class T>
struct Layer {
  Dense<T> dense;
  T *pre, *xhat, *y;     // (rows) before LayerNorm, normalised, after leaky relu
  T* input;              // (cols) what the kept cotangents belong to
  T* inverse_deviation;  // (1)
  T* cot[kMaxKinds];     // (rows) of pre
};

template <class T>
struct Head {
  Dense<T> dense;
  T* y;               // (outputs)
  T* input;           // (cols)
  T* cot[kMaxKinds];  // (outputs), by the network's kind
  int32_t first_kind;
};

template <class T>
struct Network {
  NetworkConfig config;
  const kernels::Kernels<T>* kernels;
  cells::Rtu<T> cell;
  T* x;  // (inputs) memoryless: the body's input
  Layer<T> layer[kMaxLayers];
  Head<T> head[kMaxSets];
  T *e1[kMaxKinds], *e2[kMaxKinds];  // cotangents of the cell
  T* scratch[kMaxKinds];
  T* pending;         // (heads) step delta, not yet applied
  uint64_t* updates;  // (heads) Adam's t
};

// ---- layout -----------------------------------------------------------------------------------------------------------------

template <class T>
constexpr Dense<T> make_dense(Builder& arena, int32_t rows, int32_t cols, int32_t sets, bool moments,
                              const Name& name) {
  Dense<T> dense{};
  const uint32_t r = static_cast<uint32_t>(rows), c = static_cast<uint32_t>(cols);
  dense.rows = rows;
  dense.cols = cols;
  dense.stride = static_cast<int32_t>(core::padded(c, arena.lanes()));
  dense.sets = sets;
  dense.w = arena.matrix<T>(name.dot("weight"), r, c);
  dense.b = arena.vector<T>(name.dot("bias"), r);
  for (int s = 0; s < sets; ++s) {
    const Name set = name.dot(s == 0 ? "z0" : "z1");
    dense.z_w[s] = arena.matrix<T>(set.dot("weight"), r, c);
    dense.z_b[s] = arena.vector<T>(set.dot("bias"), r);
    if (!moments) continue;
    dense.m_w[s] = arena.matrix<T>(set.dot("m.weight"), r, c);
    dense.v_w[s] = arena.matrix<T>(set.dot("v.weight"), r, c);
    dense.m_b[s] = arena.vector<T>(set.dot("m.bias"), r);
    dense.v_b[s] = arena.vector<T>(set.dot("v.bias"), r);
  }
  return dense;
}

template <class T>
constexpr Network<T> make_network(Builder& arena, NetworkConfig config, const Name& body, const Name* head_names) {
  config.cell.sets = config.heads;
  config.cell.moments = config.moments();
  Network<T> net{};
  net.config = config;
  const int32_t kinds = config.kinds();
  const bool recurrent = config.cell.kind != CellKind::none;
  if (recurrent) {
    const Name cell = body.dot("cell");
    net.cell = cells::make_rtu<T>(arena, config.cell, cell);
    for (int k = 0; k < kinds; ++k) {
      net.e1[k] = cells::unit_vector<T>(arena, config.cell, cell.dot("e1.").number(k));
      net.e2[k] = cells::unit_vector<T>(arena, config.cell, cell.dot("e2.").number(k));
    }
  } else {
    net.x = arena.vector<T>(body.dot("x"), static_cast<uint32_t>(config.cell.inputs));
  }
  int32_t width = config.features(), widest = width;
  for (int l = 0; l < config.layers; ++l) {
    Layer<T>& layer = net.layer[l];
    const Name name = body.dot("layer").number(l);
    const uint32_t rows = static_cast<uint32_t>(config.hidden[l]);
    layer.dense = make_dense<T>(arena, config.hidden[l], width, config.heads, config.moments(), name);
    layer.pre = arena.vector<T>(name.dot("pre"), rows);
    layer.xhat = arena.vector<T>(name.dot("xhat"), rows);
    layer.y = arena.vector<T>(name.dot("y"), rows);
    layer.input = arena.vector<T>(name.dot("input"), static_cast<uint32_t>(width));
    layer.inverse_deviation = arena.vector<T>(name.dot("inverse_deviation"), 1);
    for (int k = 0; k < kinds; ++k) layer.cot[k] = arena.vector<T>(name.dot("cot").number(k), rows);
    width = config.hidden[l];
    if (width > widest) widest = width;
  }
  int32_t kind = 0;
  for (int h = 0; h < config.heads; ++h) {
    Head<T>& head = net.head[h];
    const Name name = head_names[h];
    head.first_kind = kind;
    head.dense = make_dense<T>(arena, config.head[h].outputs, width, 1, config.moments(), name);
    head.y = arena.vector<T>(name.dot("y"), static_cast<uint32_t>(config.head[h].outputs));
    head.input = arena.vector<T>(name.dot("input"), static_cast<uint32_t>(width));
    for (int k = 0; k < config.head[h].kinds; ++k)
      head.cot[kind + k] = arena.vector<T>(name.dot("cot").number(k), static_cast<uint32_t>(config.head[h].outputs));
    kind += config.head[h].kinds;
  }
  for (int k = 0; k < kinds; ++k)
    net.scratch[k] = arena.vector<T>(body.dot("scratch").number(k), static_cast<uint32_t>(widest), false);
  net.pending = arena.vector<T>(body.dot("pending"), static_cast<uint32_t>(config.heads));
  net.updates = arena.vector<uint64_t>(body.dot("updates"), static_cast<uint32_t>(config.heads));
  return net;
}

template <class T>
void bind_kernels(Network<T>& net, const kernels::Kernels<T>* kernels) {
  net.kernels = kernels;
  net.cell.kernels = kernels;
}

// ---- start ------------------------------------------------------------------------------------------------------------------

// Sparse init (Elsayed et al. 2024), never killing a row: min(ceil(0.9 fan_in), fan_in - 1) weights of each row are 0, the rest uniform
// in +-1 / sqrt(fan_in); biases 0.
template <class T>
void init_dense(const Dense<T>& dense, double sparsity, core::Rng rng) {
  const int32_t n = dense.cols;
  int32_t zeros = static_cast<int32_t>(sparsity * n);
  if (zeros < sparsity * n) ++zeros;
  if (zeros > n - 1) zeros = n - 1;
  const double bound = 1.0 / core::square_root(static_cast<double>(n));
  for (int32_t i = 0; i < dense.rows; ++i) {
    T* row = dense.w + static_cast<int64_t>(i) * dense.stride;
    for (int32_t j = 0; j < n; ++j) row[j] = static_cast<T>((2 * core::uniform(rng) - 1) * bound);
    // Selection sampling (Knuth, algorithm S): each choice of `zeros` columns is equally likely.
    for (int32_t j = 0, left = zeros; j < n && left > 0; ++j) {
      if (core::uniform(rng) * (n - j) >= left) continue;
      row[j] = T(0);
      --left;
    }
  }
}

template <class T>
void init_network(const Network<T>& net, core::Rng rng) {
  if (net.config.cell.kind != CellKind::none) cells::init_rtu(net.cell, rng);
  for (int l = 0; l < net.config.layers; ++l) init_dense(net.layer[l].dense, net.config.sparsity, rng);
  for (int h = 0; h < net.config.heads; ++h) init_dense(net.head[h].dense, net.config.sparsity, rng);
}

template <class T>
void clear_dense(const Dense<T>& dense) {
  for (int s = 0; s < dense.sets; ++s) {
    cells::zero(dense.z_w[s], static_cast<int64_t>(dense.rows) * dense.stride);
    cells::zero(dense.z_b[s], dense.rows);
  }
}

// ---- the pending step -------------------------------------------------------------------------------------------------------

template <class T>
void flush_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, const T* a) {
  const int32_t V = kernel.lanes;
  const int32_t n_b = (dense.rows + V - 1) / V * V;
  for (int s = 0; s < dense.sets; ++s) {
    if (a[s] == T(0)) continue;
    kernel.add(dense.rows * dense.stride, a[s], dense.z_w[s], dense.w);
    kernel.add(n_b, a[s], dense.z_b[s], dense.b);
  }
}

// Applies what is pending, so that weights may be read, saved or cleared of their eligibilities.
template <class T>
void flush(const Network<T>& net) {
  if (net.config.cell.kind != CellKind::none) cells::apply_pending(net.cell, net.pending);
  for (int l = 0; l < net.config.layers; ++l) flush_dense(*net.kernels, net.layer[l].dense, net.pending);
  for (int h = 0; h < net.config.heads; ++h) {
    flush_dense(*net.kernels, net.head[h].dense, net.pending + h);
    net.pending[h] = T(0);
  }
}

// Zeroes the eligibilities of every set (after a flush) and the cotangents kept.
template <class T>
void clear_credit(const Network<T>& net) {
  flush(net);
  const NetworkConfig& config = net.config;
  if (config.cell.kind != CellKind::none) cells::clear_eligibilities(net.cell);
  for (int l = 0; l < config.layers; ++l) clear_dense(net.layer[l].dense);
  for (int h = 0; h < config.heads; ++h) clear_dense(net.head[h].dense);
  for (int k = 0; k < config.kinds(); ++k) {
    if (config.cell.kind != CellKind::none) {
      cells::zero(net.e1[k], static_cast<int64_t>(net.cell.poles) * config.cell.members);
      cells::zero(net.e2[k], static_cast<int64_t>(net.cell.poles) * config.cell.members);
    }
    for (int l = 0; l < config.layers; ++l) cells::zero(net.layer[l].cot[k], config.hidden[l]);
  }
  for (int h = 0; h < config.heads; ++h)
    for (int k = 0; k < config.head[h].kinds; ++k)
      cells::zero(net.head[h].cot[net.head[h].first_kind + k], config.head[h].outputs);
}

// An episode's start: state, traces, eligibilities, cotangents.
template <class T>
void begin(const Network<T>& net) {
  clear_credit(net);
  if (net.config.cell.kind == CellKind::none) return;
  cells::clear_state(net.cell);
  cells::clear_traces(net.cell);
}

// ---- forward ----------------------------------------------------------------------------------------------------------------

template <class T>
T* input_of(const Network<T>& net) {
  return net.config.cell.kind == CellKind::none ? net.x : net.cell.x;
}

template <class T>
void forward_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, const T* a, const T* x, T* y) {
  const int32_t V = kernel.lanes;
  const int32_t n_b = (dense.rows + V - 1) / V * V;
  for (int s = 0; s < dense.sets; ++s)
    if (a[s] != T(0)) kernel.add(n_b, a[s], dense.z_b[s], dense.b);
  kernel.dense_forward(dense.rows, dense.stride, dense.sets, dense.w, dense.z_w, a, x, y);
  for (int32_t i = 0; i < dense.rows; ++i) y[i] += dense.b[i];
}

// Body and heads from the features (2n), moving weights by the pending steps on the way.
template <class T>
void forward_body(const Network<T>& net, const T* features) {
  const T* x = features;
  for (int l = 0; l < net.config.layers; ++l) {
    const Layer<T>& layer = net.layer[l];
    forward_dense(*net.kernels, layer.dense, net.pending, x, layer.pre);
    *layer.inverse_deviation = net.kernels->norm_relu(layer.dense.rows, layer.pre, layer.xhat, layer.y);
    x = layer.y;
  }
  for (int h = 0; h < net.config.heads; ++h) {
    forward_dense(*net.kernels, net.head[h].dense, net.pending + h, x, net.head[h].y);
    net.pending[h] = T(0);
  }
}

// One forward pass from input_of(net), which the caller has filled.
template <class T>
void predict(const Network<T>& net, T periods) {
  if (net.config.cell.kind == CellKind::none) {
    forward_body(net, net.x);
    return;
  }
  cells::predict(net.cell, net.pending, periods);
  forward_body(net, net.cell.y);
}

template <class T>
const T* features_of(const Network<T>& net) {
  return net.config.cell.kind == CellKind::none ? net.x : net.cell.y;
}

// ---- cotangents -------------------------------------------------------------------------------------------------------------

// Keeps this step's cotangents: head[h].cot[kind] has been filled by the caller; they are carried back to every layer and to the cell.
// features, s1, s2: the cell's output and slopes of the step they belong to.
template <class T>
void remember(const Network<T>& net, const T* features, const T* s1, const T* s2) {
  const NetworkConfig& config = net.config;
  const kernels::Kernels<T>& kernel = *net.kernels;
  const int32_t kinds = config.kinds();
  const T* top = config.layers > 0 ? net.layer[config.layers - 1].y : features;
  const bool recurrent = config.cell.kind != CellKind::none;
  for (int h = 0; h < config.heads; ++h) {
    const Head<T>& head = net.head[h];
    memcpy(head.input, top, static_cast<size_t>(head.dense.cols) * sizeof(T));
    if (config.layers > 0 || recurrent)
      kernel.dense_backward(head.dense.rows, head.dense.stride, head.dense.w, config.head[h].kinds,
                            head.cot + head.first_kind, net.scratch + head.first_kind);
  }
  for (int l = config.layers - 1; l >= 0; --l) {
    const Layer<T>& layer = net.layer[l];
    for (int k = 0; k < kinds; ++k)
      kernel.norm_relu_backward(layer.dense.rows, *layer.inverse_deviation, layer.xhat, net.scratch[k], layer.cot[k]);
    memcpy(layer.input, l > 0 ? net.layer[l - 1].y : features, static_cast<size_t>(layer.dense.cols) * sizeof(T));
    if (l > 0 || recurrent)
      kernel.dense_backward(layer.dense.rows, layer.dense.stride, layer.dense.w, kinds, layer.cot, net.scratch);
  }
  if (!recurrent) return;
  for (int k = 0; k < kinds; ++k) cells::cotangent(net.cell, s1, s2, net.scratch[k], net.e1[k], net.e2[k]);
}

// cot[to] += a cot[from] everywhere: the entropy's cotangent joins that of log pi once the sign of delta is known.
template <class T>
void mix_cotangents(const Network<T>& net, int32_t h, int32_t to, int32_t from, T a) {
  const kernels::Kernels<T>& kernel = *net.kernels;
  const int32_t V = kernel.lanes;
  const auto whole = [V](int32_t n) { return (n + V - 1) / V * V; };
  kernel.add(whole(net.config.head[h].outputs), a, net.head[h].cot[from], net.head[h].cot[to]);
  for (int l = 0; l < net.config.layers; ++l)
    kernel.add(whole(net.config.hidden[l]), a, net.layer[l].cot[from], net.layer[l].cot[to]);
  if (net.config.cell.kind == CellKind::none) return;
  kernel.add(net.cell.poles * net.config.cell.members, a, net.e1[from], net.e1[to]);
  kernel.add(net.cell.poles * net.config.cell.members, a, net.e2[from], net.e2[to]);
}

// Takes the cotangents of one kind out of the step (the action was not ours, say).
template <class T>
void clear_cotangents(const Network<T>& net, int32_t h, int32_t kind) {
  cells::zero(net.head[h].cot[kind], net.config.head[h].outputs);
  for (int l = 0; l < net.config.layers; ++l) cells::zero(net.layer[l].cot[kind], net.config.hidden[l]);
  if (net.config.cell.kind == CellKind::none) return;
  cells::zero(net.e1[kind], static_cast<int64_t>(net.cell.poles) * net.config.cell.members);
  cells::zero(net.e2[kind], static_cast<int64_t>(net.cell.poles) * net.config.cell.members);
}

// ---- learning ---------------------------------------------------------------------------------------------------------------

template <class T>
T learn_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, int32_t set, T decay, const T* c,
              const T* input) {
  const int32_t V = kernel.lanes;
  const T w = kernel.dense_learn(dense.rows, dense.stride, decay, c, input, dense.z_w[set]);
  return w + kernel.decay_add((dense.rows + V - 1) / V * V, decay, c, dense.z_b[set]);
}

// The cell's sets with the cotangents kept and the decay of each.
template <class T>
void fill_sets(const Network<T>& net, SetCotangent<T>* sets) {
  for (int h = 0; h < net.config.heads; ++h) {
    const int32_t kind = net.head[h].first_kind;
    sets[h] = {net.e1[kind], net.e2[kind], static_cast<T>(net.config.head[h].decay_recurrent), T(0)};
  }
}

// Body and heads: z <- gamma lambda z + gradient; adds to norm.
template <class T>
void learn_body(const Network<T>& net, T* norm) {
  const NetworkConfig& config = net.config;
  for (int h = 0; h < config.heads; ++h) {
    const int32_t kind = net.head[h].first_kind;
    const T body = static_cast<T>(config.head[h].decay_body), top = static_cast<T>(config.head[h].decay_head);
    for (int l = 0; l < config.layers; ++l)
      norm[h] += learn_dense(*net.kernels, net.layer[l].dense, h, body, net.layer[l].cot[kind], net.layer[l].input);
    norm[h] += learn_dense(*net.kernels, net.head[h].dense, 0, top, net.head[h].cot[kind], net.head[h].input);
  }
}

// z <- gamma lambda z + gradient for every set, RTRL traces advanced; norm[h] is sum |z| over all that optimiser h
// moves.
template <class T>
void learn(const Network<T>& net, bool advance_first, T* norm) {
  SetCotangent<T> sets[kMaxSets] = {};
  if (net.config.cell.kind != CellKind::none) {
    fill_sets(net, sets);
    cells::learn(net.cell, advance_first, sets);
  }
  for (int h = 0; h < net.config.heads; ++h) norm[h] = sets[h].norm;
  learn_body(net, norm);
}

// predict() and learn() in TD order at one go, the same bits; for learners whose output need not leave in between.
template <class T>
void step(const Network<T>& net, T periods, T* norm) {
  if (net.config.cell.kind == CellKind::none) {
    predict(net, periods);
    learn(net, false, norm);
    return;
  }
  SetCotangent<T> sets[kMaxSets] = {};
  fill_sets(net, sets);
  cells::step(net.cell, net.pending, periods, sets);
  forward_body(net, static_cast<const T*>(net.cell.y));
  for (int h = 0; h < net.config.heads; ++h) norm[h] = sets[h].norm;
  learn_body(net, norm);
}

template <class T>
void adam_dense(const kernels::Kernels<T>& kernel, const Dense<T>& dense, int32_t s, const kernels::AdamStep<T>& step) {
  const int32_t V = kernel.lanes;
  kernel.adam(1, dense.rows * dense.stride, 0, 0, step, dense.w, dense.z_w[s], dense.m_w[s], dense.v_w[s]);
  kernel.adam(1, (dense.rows + V - 1) / V * V, 0, 0, step, dense.b, dense.z_b[s], dense.m_b[s], dense.v_b[s]);
}

// Moves everything that head h's optimiser owns by step delta z. ObGD and SGD leave it pending: the next forward pass applies it on the way.
// `factor` is what a guard has left of the step size. Returns the step size used.
template <class T>
T move(const Network<T>& net, int32_t h, T delta, T norm, T factor = T(1)) {
  const optim::OptimizerConfig& config = net.config.head[h].optimizer;
  const T alpha = factor * optim::step_size(config, delta, norm);
  if (config.rule != optim::Rule::adam) {
    net.pending[h] = alpha * delta;
    return alpha;
  }
  const uint64_t t = ++net.updates[h];
  kernels::AdamStep<T> step{};
  step.rate = factor * static_cast<T>(config.step_size / (1.0 - optim::power(config.b1, t)));
  step.unbias2 = static_cast<T>(1.0 / (1.0 - optim::power(config.b2, t)));
  step.b1 = static_cast<T>(config.b1);
  step.b2 = static_cast<T>(config.b2);
  step.eps = static_cast<T>(config.eps);
  step.scale = delta;
  if (net.config.cell.kind != CellKind::none) cells::adam(net.cell, h, step);
  for (int l = 0; l < net.config.layers; ++l) adam_dense(*net.kernels, net.layer[l].dense, h, step);
  adam_dense(*net.kernels, net.head[h].dense, 0, step);
  return alpha;
}

}  // namespace rtu::learners
