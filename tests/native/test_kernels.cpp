// Every instruction set against the scalar reference: the coefficients against long double, one step from a shared
// state, 300 steps.
#include <math.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "native/core/checkpoint.h"
#include "native/learners/td_lambda.h"
#include "native/runtime/denormals.h"
#include "native/runtime/isa.h"

namespace {

using namespace rtu;

// A smooth learner (tanh, linear head): its amplification of rounding errors is bounded, so that tolerances can be
// stated.
struct Agent {
  std::unique_ptr<core::LargestTable> table = std::make_unique<core::LargestTable>();
  unsigned char* memory = nullptr;
  learners::TdPredictor<float> agent{};

  Agent(const learners::TdConfig& config, const kernels::Kernels<float>* kernels) {
    core::Builder footprint(nullptr, table.get(), static_cast<uint32_t>(kernels->lanes));
    (void)learners::make_td<float>(footprint, config);
    CHECK(table->status == core::Status::kOk);
    memory = static_cast<unsigned char*>(aligned_alloc(64, footprint.bytes()));
    memset(memory, 0, footprint.bytes());
    core::Builder bind(memory, nullptr, static_cast<uint32_t>(kernels->lanes));
    agent = learners::make_td<float>(bind, config);
    learners::bind_kernels(agent.net, kernels);
    learners::init(agent, 3);
    learners::begin(agent);
  }
  ~Agent() { free(memory); }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  std::vector<unsigned char> save() const {
    learners::flush(agent.net);
    std::vector<unsigned char> out(core::checkpoint_bytes(*table, 0));
    core::write_checkpoint(*table, memory, "", 0, out.data());
    return out;
  }
  void load(const std::vector<unsigned char>& data) {
    const char* where = "";
    CHECK(core::read_checkpoint(*table, data.data(), data.size(), memory, where) == core::Status::kOk);
  }
  void step(uint32_t t) {
    float x[64], value = 0;
    for (int i = 0; i < agent.config.observation_size; ++i)
      x[i] = static_cast<float>(sin(0.37 * t * (i + 1)) + 0.2 * cos(1.7 * t));
    CHECK(learners::step(agent, x, cos(0.9 * t), &value) == core::Status::kOk);
  }
};

constexpr double kSmall = 0.5;  // entries are of order 1: scale for a single entry near 0 by cancellation

// Largest difference of a section relative to its largest entry in the reference, over all sections; names the worst.
double difference(const Agent& reference, const Agent& other, std::string* where = nullptr) {
  learners::flush(reference.agent.net);
  learners::flush(other.agent.net);
  double worst = 0;
  for (int s = 0; s < reference.table->count; ++s) {
    const core::Section &a = reference.table->sections[s], &b = other.table->sections[s];
    if (!a.saved || a.dtype != core::DType::kF32) continue;
    double largest = 0, off = 0;
    for (uint32_t i = 0; i < a.rows; ++i) {
      for (uint32_t j = 0; j < a.cols; ++j) {
        float x = 0, y = 0;
        memcpy(&x, reference.memory + a.offset + a.index(i, j) * 4, 4);
        memcpy(&y, other.memory + b.offset + b.index(i, j) * 4, 4);
        largest = fmax(largest, fabs(static_cast<double>(x)));
        off = fmax(off, fabs(static_cast<double>(x) - static_cast<double>(y)));
      }
    }
    if (off > worst * fmax(largest, kSmall)) {
      worst = off / fmax(largest, kSmall);
      if (where != nullptr) *where = a.name;
    }
  }
  return worst;
}

learners::TdConfig configuration(int d, int n, cells::CellKind kind, int units_per_pole, optim::Rule rule) {
  learners::TdConfig config;
  config.observation_size = d;
  config.body.cell.kind = kind;
  config.body.cell.activation = kernels::Activation::kTanh;
  config.body.cell.poles = n;
  config.body.cell.units_per_pole = units_per_pole;
  config.body.cell.r_max = 0.99;
  config.body.cell.max_phase =
      0.6;  // one rounding of a learned theta_log near 1.8 turns a unit by 1e-6 a step, 1e-4 over its memory
  config.head.decay_recurrent = config.head.decay_body = config.head.decay_head = 0.9;
  config.head.optimizer.rule = rule;
  config.head.optimizer.step_size = rule == optim::Rule::kObgd ? 1.0 : 1e-4;
  config.head.optimizer.kappa =
      1000;  // at 2, ObGD's large steps make such a small learner chaotic, which would hide the kernels' errors
  config.gamma = 0.9;
  return config;
}

// g, phi and gam are the exact values rounded once, but for the last bits of a float-float product.
void check_coefficients(const kernels::Kernels<float>& kernel) {
  constexpr int n = 4096;
  alignas(64) static float nu_log[n], theta_log[n], out[6][n];
  for (int i = 0; i < n; ++i) {
    nu_log[i] = static_cast<float>(-10.0 + 12.0 * i / n);                 // r from 0.99995 down to 0.0006
    theta_log[i] = static_cast<float>(-6.0 + 7.85 * ((i * 37) % n) / n);  // theta from 0.0025 to 6.36
  }
  kernel.coefficients(n, nu_log, theta_log, 1.0f, {out[0], out[1], out[2], out[3], out[4], out[5]});
  double worst_pole = 0, worst_gam = 0;
  for (int i = 0; i < n; ++i) {
    const long double nu = expl(nu_log[i]), theta = expl(theta_log[i]), r = expl(-nu);
    const double unit = ldexp(1.0, -24) * static_cast<double>(r);  // half a unit in the last place of r at most
    worst_pole = fmax(worst_pole, fabs(static_cast<double>(out[2][i] - r * cosl(theta))) / unit);
    worst_pole = fmax(worst_pole, fabs(static_cast<double>(out[3][i] - r * sinl(theta))) / unit);
    const long double gam = sqrtl(-expm1l(-2 * nu)) + 1e-8L;
    worst_gam = fmax(worst_gam, fabs(static_cast<double>((out[4][i] - gam) / gam)));
  }
  printf("%-7s pole within %.2f half units of r, gam within %.1e\n", kernel.name, worst_pole, worst_gam);
  CHECK_BELOW(worst_pole, 1.25, "g, phi: rounding once is 1.0; 0.25 is left for the float-float parts");
  CHECK_BELOW(worst_gam, 3e-7, "gam: a few roundings of 6e-8");
}

// A phase rises up to the bound; above it, it only falls; NaN is detected.
void check_phases(const kernels::Kernels<float>& kernel) {
  constexpr float most = static_cast<float>(kernels::kMaxThetaLog);
  constexpr int n = 16;
  alignas(64) float before[n], z[n], moved[n], held[n];
  for (int i = 0; i < n; ++i) {
    before[i] = moved[i] = -1.0f + 0.3f * static_cast<float>(i);  // up to 3.5
    z[i] = i % 2 == 0 ? 8.0f : -4.0f;
    held[i] = before[i] + 0.25f * z[i];
  }
  z[5] = held[5] = NAN;
  kernel.hold_phase(n, before, held);
  kernel.add_phase(n, 0.25f, z, moved);
  for (int i = 0; i < n; ++i) {
    const float free = before[i] + 0.25f * z[i], want = fminf(free, fmaxf(before[i], most));
    CHECK(i == 5 ? isnan(held[i]) && isnan(moved[i]) : held[i] == want && moved[i] == want);
  }
}

// The root by which directions are divided, over the range of a float, against long double; infinity divides as the
// largest number.
void check_inverse_sqrt(const kernels::Kernels<float>& kernel) {
  const int V = kernel.lanes;
  alignas(64) float z[64], e[64], v[64];
  kernels::ConditionStep<float> step{};
  step.decay = step.b2 = step.unbias2 = 1;
  double worst = 0;
  for (float x = 2e-38f; x < 3e38f; x *= 1.00731f) {
    for (int i = 0; i < V; ++i) {
      z[i] = 0;
      e[i] = 1;
      v[i] = x;
    }
    kernels::ConditionSums<float> sums{};
    kernel.condition(1, V, 0, 0, step, z, e, v, sums);
    const long double exact = 1 / sqrtl(x);
    worst = fmax(worst, static_cast<double>(fabsl(z[V - 1] - exact) / exact));
  }
  CHECK_BELOW(worst, 4 * 5.97e-8, "four units in the last place");
  for (int i = 0; i < V; ++i) v[i] = INFINITY;
  kernels::ConditionSums<float> sums{};
  kernel.condition(1, V, 0, 0, step, z, e, v, sums);
  CHECK(z[0] == z[0] && fabsf(z[0]) < 1e-18f);
}

// Dense layers, LayerNorm and Adam on the same numbers; rows of odd length, padded differently for each width.
void check_dense(const kernels::Kernels<float>& kernel, double* worst) {
  const kernels::Kernels<float>& scalar = *kernels::kScalar;
  constexpr int kRoom = 4096;
  alignas(64) static float w[2][kRoom], z[2][kRoom], x[2][256], c[2][256], y[2][256], m[2][kRoom], v[2][kRoom];
  for (int rows : {1, 3, 16, 33}) {
    for (int cols : {1, 5, 16, 31, 64}) {
      const kernels::Kernels<float>* pair[] = {&scalar, &kernel};
      double largest = 0, off = 0;
      float norms[2];
      for (int k = 0; k < 2; ++k) {
        const int V = pair[k]->lanes, stride = (cols + V - 1) / V * V;
        memset(w[k], 0, sizeof w[k]);
        memset(z[k], 0, sizeof z[k]);
        memset(m[k], 0, sizeof m[k]);
        memset(v[k], 0, sizeof v[k]);
        memset(x[k], 0, sizeof x[k]);
        memset(c[k], 0, sizeof c[k]);
        for (int j = 0; j < cols; ++j) x[k][j] = static_cast<float>(sin(1.0 + j));
        for (int i = 0; i < rows; ++i) {
          c[k][i] = static_cast<float>(cos(2.0 * i));
          for (int j = 0; j < cols; ++j) {
            w[k][i * stride + j] = static_cast<float>(sin(0.3 * i + 0.7 * j));
            z[k][i * stride + j] = static_cast<float>(cos(0.9 * i - 0.2 * j));
          }
        }
        const float a[] = {0.01f};
        float* const zs[] = {z[k]};
        pair[k]->dense_forward(rows, stride, 1, w[k], zs, a, x[k], y[k]);
        norms[k] = pair[k]->dense_learn(rows, stride, 0.9f, c[k], x[k], z[k]);
        const float inverse = pair[k]->norm_relu(rows, y[k], y[k] + 64, y[k] + 128);
        pair[k]->norm_relu_backward(rows, inverse, y[k] + 64, c[k], c[k]);
        const float* const cs[] = {c[k]};
        float* const dx[] = {y[k] + 192};
        pair[k]->dense_backward(rows, stride, w[k], 1, cs, dx);
        pair[k]->adam(1, rows * stride, 0, 0, {1e-3f, 0.9f, 0.999f, 1000.0f, 1e-8f, 0.5f}, w[k], z[k], m[k], v[k]);
      }
      const auto see = [&](float p, float q) {
        largest = fmax(largest, fabs(static_cast<double>(p)));
        off = fmax(off, fabs(static_cast<double>(p) - static_cast<double>(q)));
      };
      see(norms[0], norms[1]);
      const int V = kernel.lanes, stride = (cols + V - 1) / V * V;
      for (int i = 0; i < rows; ++i) {
        see(y[0][i], y[1][i]);
        see(y[0][128 + i], y[1][128 + i]);
        see(c[0][i], c[1][i]);
        for (int j = 0; j < cols; ++j) {
          see(w[0][i * cols + j], w[1][i * stride + j]);
          see(z[0][i * cols + j], z[1][i * stride + j]);
        }
      }
      for (int j = 0; j < cols; ++j) see(y[0][192 + j], y[1][192 + j]);
      *worst = fmax(*worst, off / largest);
    }
  }
}

void compare(const kernels::Kernels<float>& kernel, const learners::TdConfig& config, double* one, double* many) {
  Agent reference(config, kernels::kScalar), other(config, &kernel);
  other.load(reference.save());
  for (uint32_t t = 0; t < 300; ++t) {
    if (t % 30 == 0) {  // from a shared state
      Agent from(config, &kernel);
      from.load(reference.save());
      Agent to(config, kernels::kScalar);
      to.load(reference.save());
      from.step(t);
      to.step(t);
      *one = fmax(*one, difference(to, from));
    }
    reference.step(t);
    other.step(t);
  }
  std::string where;
  const double end = difference(reference, other, &where);
  *many = fmax(*many, end);
  if (end > 2e-5) fprintf(stderr, "%s: largest difference in %s\n", kernel.name, where.c_str());
}

// The fused pass gives the bits of the two halves, and steps one behind the bits of the plain order.
void check_fused(const kernels::Kernels<float>& kernel) {
  for (int variant = 0; variant < 3; ++variant) {
    const int units_per_pole = variant == 1 ? 3 : 1;
    const cells::CellKind kind = variant == 2 ? cells::CellKind::kLru : cells::CellKind::kLinear;
    const learners::TdConfig config = configuration(5, 19, kind, units_per_pole, optim::Rule::kObgd);
    Agent fused(config, &kernel), halves(config, &kernel);
    for (uint32_t t = 0; t < 50; ++t) {
      kernels::SetCotangent<float> sets[kernels::kMaxSets] = {};
      const float a[] = {t % 5 == 0 ? 0.0f : 1e-3f, 0};
      for (Agent* agent : {&fused, &halves}) {
        const learners::Network<float>& net = agent->agent.net;
        for (int j = 0; j < 5; ++j) net.cell.x[j] = static_cast<float>(sin(0.3 * t + j));
        for (int i = 0; i < 19 * units_per_pole; ++i)
          net.e1[0][i % net.cell.poles] = net.e2[0][i % net.cell.poles] = static_cast<float>(cos(0.1 * t + i));
        learners::fill_sets(net, sets);
        if (agent == &fused) {
          cells::step(net.cell, a, 1.0f, sets);
        } else {
          cells::predict(net.cell, a, 1.0f);
          if (t % 3 == 0) cells::write_weights(net.cell);  // as a checkpoint between the halves does
          cells::update(net.cell, false, sets);
        }
      }
      CHECK(difference(halves, fused) == 0);
    }
  }
}

}  // namespace

int main() {
  const kernels::Kernels<float>* tables[5];
  const int found = runtime::available_kernels(tables);
  runtime::flush_denormals();
  for (int k = 0; k < found; ++k) {
    const kernels::Kernels<float>& kernel = *tables[k];
    check_coefficients(kernel);
    check_phases(kernel);
    check_fused(kernel);
    double one = 0, many = 0, one_of_roots = 0, many_of_roots = 0;
    const int V = kernel.lanes;
    for (int n : {1, 2, V - 1, V, V + 1, 2 * V, 2 * V + 1}) {
      for (int d : {1, 3, V, 2 * V + 1}) {
        if (n < 1) continue;
        compare(kernel, configuration(d, n, cells::CellKind::kLinear, 1, optim::Rule::kSgd), &one, &many);
        compare(kernel, configuration(d, n, cells::CellKind::kNonlinear, 1, optim::Rule::kSgd), &one, &many);
        compare(kernel, configuration(d, n, cells::CellKind::kLinear, 3, optim::Rule::kObgd), &one, &many);
        for (const auto rule : {optim::Rule::kIntentional, optim::Rule::kAdaptiveObgd})
          compare(kernel, configuration(d, n, cells::CellKind::kLinear, 1, rule), &one_of_roots, &many_of_roots);
        for (const auto kind : {cells::CellKind::kMinGru, cells::CellKind::kLru, cells::CellKind::kElstm})
          compare(kernel, configuration(d, n, kind, 1, optim::Rule::kSgd), &one, &many);
      }
    }
    double dense = 0;
    check_dense(kernel, &dense);
    check_inverse_sqrt(kernel);
    printf("%-7s one step %.1e, 300 steps %.1e, preconditioned %.1e, %.1e, dense %.1e\n", kernel.name, one, many,
           one_of_roots, many_of_roots, dense);
    CHECK_BELOW(dense, 2e-6, "dense kernels: sums of up to 64 terms, and a division by the deviation");
    if (&kernel == kernels::kScalar) CHECK(one == 0 && many == 0);
    CHECK_BELOW(one, 1e-6, "one step from a shared state");
    CHECK_BELOW(many, 2e-5, "300 steps");
    CHECK_BELOW(one_of_roots, 1e-6, "one step, preconditioned");
    CHECK_BELOW(many_of_roots, 1e-4,
                "300 steps: 1 / p amplifies what a small second moment differs by, 1.8e-5 measured");
  }
  return 0;
}
