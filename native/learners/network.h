// Dense layers before the cell (encoder), a cell, a body of dense layers, one or two linear heads; one eligibility set
// per head, which covers the head and everything below it.
//
//   x -> layer * encoders -> cell -> y (features) -> layer * layers -> head 0, head 1
//   layer: W x + b -> LayerNorm -> leaky relu
//
// The encoder learns by the gradient through the cell's newest input alone (docs/math_credit.md, Encoder).
// Gradients are never stored: the cotangents of one step are kept (one kind for a value, two for a policy: log pi and
// its entropy) and contracted in the next step, when the error is known. Heads without a shared body are two networks
// of one head each.
//
// This file has layout and initialisation. The forward pass is in network_forward.h, learning in network_update.h.
#pragma once

#include "native/cells/cell.h"
#include "native/optim/optimizer.h"

namespace rtu::learners {

using cells::CellKind;
using core::Builder;
using core::Name;
using kernels::kMaxSets;
using kernels::SetCotangent;

constexpr int32_t kMaxLayers = core::kSmall ? 1 : 4;  // of an encoder, of a body
constexpr int32_t kMaxKinds = 3;                      // cotangents kept: value, log pi, entropy

// What an optimizer that conditions (network_condition.h) keeps per head.
enum RuleScalar : uint32_t {
  kOverlap = 0,      // sigma, running mean of sum g^2 / p
  kOverlapLeft = 1,  // (gamma lambda)^t, the weight that sigma's start still has
  kSquaredError = 2,
  kErrorSize = 3,
  kErrors = 4,  // seen by the two above
  kRuleScalars = 5,
};

struct HeadConfig {
  const char* name = "head";
  int32_t outputs = 1;
  int32_t kinds = 1;                  // number of cotangents kept for it
  core::Setting decay_recurrent = 0;  // gamma lambda of each parameter group
  core::Setting decay_body = 0;
  core::Setting decay_head = 0;
  optim::OptimizerConfig optimizer;
  bool online = false;  // its weights have a rule of their own (online_head.h): only cotangents pass through it here
};

struct NetworkConfig {
  cells::CellConfig cell;  // inputs: of the network until make_network()
  int32_t encoder_layers = 0;
  int32_t encoder[kMaxLayers] = {};
  int32_t layers = 0;
  int32_t hidden[kMaxLayers] = {};
  int32_t heads = 1;
  HeadConfig head[kMaxSets];
  double sparsity = 0.9;

  constexpr int32_t encoders() const { return core::kSmall ? 0 : encoder_layers; }
  // All layers: those of the encoder, then those of the body; and the width of each.
  constexpr int32_t depth() const { return encoders() + layers; }
  constexpr int32_t width(int32_t l) const {
    if (!core::kSmall && l < encoder_layers) return encoder[l];
    return hidden[l - encoders()];
  }
  constexpr int32_t features() const { return cell.kind == CellKind::kNone ? cell.inputs : cell.outputs(); }
  constexpr bool moments() const {
    for (int h = 0; h < heads; ++h)
      if (optim::has_moments(head[h].optimizer.rule)) return true;
    return false;
  }
  constexpr bool conditions() const {
    for (int h = 0; h < heads; ++h)
      if (optim::conditions(head[h].optimizer.rule)) return true;
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
  T* input;              // (cols) the input that the kept cotangents belong to
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

// What the cotangents of an encoder need, of the input that the kept cotangents belong to.
template <class T>
struct Encoding {
  T *input, *kept;                   // (inputs) of the encoder: the newest, and that of the cotangents
  T *slope1, *slope2;                // (G, P) dy/du1, dy/du2 of the cell at that input
  T *c1[kMaxKinds], *c2[kMaxKinds];  // (G, P) cotangents of u1, u2
  T* dx[kMaxKinds];                  // (cell.inputs) of the cell's input
};

template <class T>
struct Network {
  NetworkConfig config;
  const kernels::Kernels<T>* kernels;
  cells::Cell<T> cell;
  T* x;  // (inputs) memoryless: the body's input
  Layer<T> layer[core::kSmall ? 1 : 2 * kMaxLayers];
  Head<T> head[kMaxSets];
  T *e1[kMaxKinds], *e2[kMaxKinds];  // cotangents of the cell; e2 null for a cell with gates
  T* scratch[kMaxKinds];
  Encoding<T> encoding;  // null without an encoder
  T* pending;            // (heads) step delta, not yet applied
  uint64_t* updates;     // (heads) t of the moments
  double* rule;          // (heads, kRuleScalars) network_condition.h; null without a rule that conditions
};

// ---- layout ---------------------------------------------------------------------------------------------------------

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
constexpr Encoding<T> make_encoding(Builder& arena, const NetworkConfig& config, int32_t inputs, const Name& name) {
  Encoding<T> encoding{};
  encoding.input = arena.vector<T>(name.dot("step.x"), static_cast<uint32_t>(inputs));
  encoding.kept = arena.vector<T>(name.dot("input"), static_cast<uint32_t>(inputs));
  if (config.cell.kind == CellKind::kNone) return encoding;
  encoding.slope1 = cells::unit_vector<T>(arena, config.cell, name.dot("slope1"));
  encoding.slope2 = cells::unit_vector<T>(arena, config.cell, name.dot("slope2"));
  const uint32_t units = core::padded(static_cast<uint32_t>(config.cell.poles), arena.lanes()) *
                         static_cast<uint32_t>(config.cell.units_per_pole);
  for (int k = 0; k < config.kinds(); ++k) {  // scratch, without names
    encoding.c1[k] = arena.reserve<T>(units);
    encoding.c2[k] = arena.reserve<T>(units);
    encoding.dx[k] = arena.reserve<T>(core::padded(static_cast<uint32_t>(config.cell.inputs), arena.lanes()));
  }
  return encoding;
}

template <class T>
constexpr Layer<T> make_layer(Builder& arena, const NetworkConfig& config, int32_t l, int32_t width, const Name& name) {
  Layer<T> layer{};
  const uint32_t rows = static_cast<uint32_t>(config.width(l));
  layer.dense = make_dense<T>(arena, config.width(l), width, config.heads, config.moments(), name);
  layer.pre = arena.vector<T>(name.dot("pre"), rows);
  layer.xhat = arena.vector<T>(name.dot("xhat"), rows);
  layer.y = arena.vector<T>(name.dot("y"), rows);
  layer.input = arena.vector<T>(name.dot("input"), static_cast<uint32_t>(width));
  layer.inverse_deviation = arena.vector<T>(name.dot("inverse_deviation"), 1);
  for (int k = 0; k < config.kinds(); ++k) layer.cot[k] = arena.vector<T>(name.dot("cot").number(k), rows);
  return layer;
}

template <class T>
constexpr Network<T> make_network(Builder& arena, NetworkConfig config, const Name& body, const Name* head_names) {
  const int32_t inputs = config.cell.inputs, encoders = config.encoders();
  if (!core::kSmall && encoders > 0) config.cell.inputs = config.width(encoders - 1);
  config.cell.sets = config.cell.learns() ? config.heads : 0;
  config.cell.moments = config.moments();
  Network<T> net{};
  net.config = config;
  const int32_t kinds = config.kinds();
  const bool recurrent = config.cell.kind != CellKind::kNone;
  if (recurrent) {
    const Name cell = body.dot("cell");
    net.cell = cells::make_cell<T>(arena, config.cell, cell);
    for (int k = 0; k < kinds && config.cell.learns(); ++k)
      cells::make_parts(arena, config.cell, cell.dot("e1.").number(k), cell.dot("e2.").number(k), net.e1[k], net.e2[k]);
  } else {
    net.x = arena.vector<T>(body.dot("x"), static_cast<uint32_t>(config.cell.inputs));
  }
  if (encoders > 0) net.encoding = make_encoding<T>(arena, config, inputs, body.dot("encoding"));
  int32_t width = encoders > 0 ? inputs : config.features(), widest = config.features();
  for (int l = 0; l < config.depth(); ++l) {
    const bool below = l < encoders;
    const Name name = below ? body.dot("encoder").number(l) : body.dot("layer").number(l - encoders);
    net.layer[l] = make_layer<T>(arena, config, l, width, name);
    width = l + 1 == encoders ? config.features() : config.width(l);
    if (width > widest) widest = width;
    if (config.width(l) > widest) widest = config.width(l);
  }
  int32_t kind = 0;
  for (int h = 0; h < config.heads; ++h) {
    Head<T>& head = net.head[h];
    const Name name = head_names[h];
    head.first_kind = kind;
    head.dense =
        make_dense<T>(arena, config.head[h].outputs, width, config.head[h].online ? 0 : 1, config.moments(), name);
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
  if (config.conditions())
    net.rule = arena.vector<double>(body.dot("rule"), static_cast<uint32_t>(config.heads) * kRuleScalars);
  return net;
}

// One head, named after the network.
template <class T>
constexpr Network<T> make_network(Builder& arena, NetworkConfig config, const HeadConfig& head, const char* name) {
  config.heads = 1;
  config.head[0] = head;
  const Name head_name = Name(name).dot("head");
  return make_network<T>(arena, config, Name(name), &head_name);
}

template <class T>
constexpr void bind_kernels(Network<T>& net, const kernels::Kernels<T>* kernels) {
  net.kernels = kernels;
  net.cell.kernels = kernels;
}

// n rounded up to whole lanes, as for the arena's vectors.
template <class T>
int32_t round_up(const kernels::Kernels<T>& kernel, int32_t n) {
  return (n + kernel.lanes - 1) / kernel.lanes * kernel.lanes;
}

// ---- start ----------------------------------------------------------------------------------------------------------

// Sparse initialisation (Elsayed et al. 2024) that never zeroes a whole row: min(ceil(0.9 fan_in), fan_in - 1) weights
// of each row are 0, the rest uniform in +-1 / sqrt(fan_in); biases 0.
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
double* rule_of(const Network<T>& net, int32_t h) {
  return net.rule + static_cast<uint32_t>(h) * kRuleScalars;
}

template <class T>
void init_rules(const Network<T>& net) {
  for (int32_t h = 0; h < net.config.heads && net.rule != nullptr; ++h) {
    rule_of(net, h)[kOverlapLeft] = 1;
    rule_of(net, h)[kSquaredError] = 1;
  }
}

template <class T>
void init_network(const Network<T>& net, core::Rng rng) {
  if (net.config.cell.kind != CellKind::kNone) cells::init_cell(net.cell, rng);
  for (int l = 0; l < net.config.depth(); ++l) init_dense(net.layer[l].dense, net.config.sparsity, rng);
  for (int h = 0; h < net.config.heads; ++h) init_dense(net.head[h].dense, net.config.sparsity, rng);
  init_rules(net);
}

}  // namespace rtu::learners
