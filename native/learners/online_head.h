// A last layer of one output with a rule of its own, in place of the optimizer of the layers below: true-online
// TD(lambda) (van Seijen et al. 2016) or SwiftTD (Javed et al. 2024). docs/math_online.md.
//
// One call per input: the weights move along the eligibilities of the inputs before, then the input enters them. The
// network's own passes leave such a head alone (HeadConfig::online).
#pragma once

#include "native/learners/network.h"

namespace rtu::learners {

enum class HeadRule : int32_t { kTd = 0, kTrueOnline = 1, kSwift = 2 };

struct OnlineConfig {
  HeadRule rule = HeadRule::kTd;
  double step_size = 0.01;       // of each weight; at first with kSwift
  double bound = 1.0;            // largest share of an error that a step removes
  double meta_step_size = 1e-3;  // kSwift: of the logarithms of the step sizes
  double shrink = 0.999;         // kSwift: factor of a step size at each step beyond the bound, to the power x^2
};

constexpr double kLowestStepSize = 1e-10;  // kSwift

// Weights of the row, or the bias.
enum OnlinePart : int { kRow = 0, kBias = 1, kOnlineParts = 2 };

template <class T>
struct OnlineHead {
  OnlineConfig config;
  kernels::OnlineWeights<T> part[kOnlineParts];
  int32_t size[kOnlineParts], stride[kOnlineParts];
  T* shift;      // (1) what the last step added to the value of its input
  T log_shrink;  // log of config.shrink
};

template <class T>
constexpr OnlineHead<T> make_online(Builder& arena, const OnlineConfig& config, const Network<T>& net,
                                    const Name& name) {
  OnlineHead<T> head{};
  head.config = config;
  if (config.rule == HeadRule::kTd) return head;
  const Dense<T>& dense = net.head[0].dense;
  for (int part = 0; part < kOnlineParts; ++part) {
    const Name of = name.dot(part == kRow ? "weight" : "bias");
    const uint32_t n = part == kRow ? static_cast<uint32_t>(dense.cols) : 1u;
    kernels::OnlineWeights<T>& weights = head.part[part];
    head.size[part] = static_cast<int32_t>(n);
    head.stride[part] = part == kRow ? dense.stride : 1;
    weights.w = part == kRow ? dense.w : dense.b;
    weights.z = arena.vector<T>(of.dot("z"), n);
    weights.zd = arena.vector<T>(of.dot("zd"), n);
    if (config.rule != HeadRule::kSwift) continue;
    weights.alpha = arena.vector<T>(of.dot("step_size"), n);
    weights.p = arena.vector<T>(of.dot("p"), n);
    weights.zb = arena.vector<T>(of.dot("zb"), n);
    weights.h = arena.vector<T>(of.dot("h"), n);
    weights.ht = arena.vector<T>(of.dot("ht"), n);
  }
  head.shift = arena.vector<T>(name.dot("shift"), 1);
  return head;
}

template <class T>
void init(OnlineHead<T>& head) {
  head.log_shrink = static_cast<T>(core::logarithm(head.config.shrink));
  if (head.config.rule != HeadRule::kSwift) return;
  for (int part = 0; part < kOnlineParts; ++part)
    for (int32_t i = 0; i < head.size[part]; ++i) head.part[part].alpha[i] = static_cast<T>(head.config.step_size);
}

// A new stream: eligibilities to 0. Step sizes, and h, the derivative of the weights by their logarithms, are kept.
template <class T>
void begin(const OnlineHead<T>& head) {
  if (head.config.rule == HeadRule::kTd) return;
  for (int part = 0; part < kOnlineParts; ++part) {
    const kernels::OnlineWeights<T>& weights = head.part[part];
    for (T* trace : {weights.z, weights.zd, weights.p, weights.zb})
      if (trace != nullptr) cells::zero(trace, head.size[part]);
  }
  head.shift[0] = T(0);
}

// x (features of the newest input), delta of the transition into it, 0 for the first of a stream. decay: gamma lambda.
template <class T>
void learn_online(const OnlineHead<T>& head, const Network<T>& net, double decay, T delta, const T* x) {
  const OnlineConfig& config = head.config;
  kernels::OnlineStep<T> step{};
  step.delta = delta;
  step.shift = head.shift[0];
  step.decay = static_cast<T>(decay);
  step.alpha = static_cast<T>(config.step_size);
  step.bound = static_cast<T>(config.bound);
  step.meta = static_cast<T>(config.meta_step_size);
  step.lowest = static_cast<T>(kLowestStepSize);
  step.log_shrink = head.log_shrink;
  kernels::OnlineSums<T> sums{};
  net.kernels->online(head.stride[kRow], step, head.part[kRow], head.part[kBias], x, sums);
  head.shift[0] = sums.shift;
}

}  // namespace rtu::learners
