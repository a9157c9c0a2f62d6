// Passes over the recurrent block against their formulas one by one, for every instruction set.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "check.h"
#include "native/cells/cell.h"
#include "native/runtime/denormals.h"
#include "native/runtime/isa.h"

namespace {

using namespace rtu;

// A recurrent cell alone, zeroed.
struct Cell {
  unsigned char* memory = nullptr;
  cells::Rtu<float> cell{};

  Cell(const cells::RtuConfig& config, const kernels::Kernels<float>& kernels) {
    core::Builder footprint(nullptr, nullptr, static_cast<uint32_t>(kernels.lanes));
    (void)cells::make_cell<float>(footprint, config, core::Name());
    memory = static_cast<unsigned char*>(aligned_alloc(64, footprint.bytes()));
    memset(memory, 0, footprint.bytes());
    core::Builder bind(memory, nullptr, static_cast<uint32_t>(kernels.lanes));
    cell = cells::make_cell<float>(bind, config, core::Name());
    cell.kernels = &kernels;
  }
  ~Cell() { free(memory); }
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;
};

// learn_nonlinear() against the formulas one by one (docs/math.md, 2), with units whose relu is open, shut in one half,
// and shut in both.
struct Nonlinear {
  static constexpr int n = 19, d = 5;
  struct Wanted {
    double trace[4], weight[4];  // A1, A2, B1, B2; W1, W2, z1, z2
  };

  Cell made;
  const cells::Rtu<float>& cell = made.cell;
  alignas(64) float e1[32] = {}, e2[32] = {};
  float x[d];
  Wanted want[n][d];
  double norm = 0;

  static cells::RtuConfig configuration() {
    cells::RtuConfig config;
    config.kind = cells::CellKind::kNonlinear;
    config.poles = n;
    config.inputs = d;
    config.sets = 1;
    return config;
  }

  explicit Nonlinear(const kernels::Kernels<float>& kernel) : made(configuration(), kernel) {
    const auto number = [](int k) { return static_cast<float>(sin(1.7 * k)); };
    for (int i = 0; i < n; ++i) {
      cell.c.g[i] = 0.6f + 0.01f * static_cast<float>(i);
      cell.c.phi[i] = 0.3f;
      cell.c.gam[i] = 0.7f;
      // The first eight are shut: whole blocks of up to eight lanes.
      cell.s1[i] = i % 4 == 0 || i % 4 == 1 || i < 8 ? 0.0f : 1.0f;
      cell.s2[i] = i % 4 == 0 || i % 4 == 2 || i < 8 ? 0.0f : 1.0f;
      e1[i] = number(i);
      e2[i] = number(2 * i + 1);
      for (int j = 0; j < d; ++j) {
        for (int slot = 0; slot < 4; ++slot) cells::trace_at(cell, slot, i, j) = number(7 * i + 3 * j + slot);
        for (int half = 0; half < 4; ++half) cells::weight_at(cell, half, i, j) = number(5 * i + 11 * j + half);
      }
    }
    for (int j = 0; j < d; ++j) x[j] = number(j + 90);
  }

  // The expected result of the pass, in double.
  void find(bool advance_first, float a) {
    for (int i = 0; i < n; ++i) {
      const double g = static_cast<double>(cell.c.g[i]), phi = static_cast<double>(cell.c.phi[i]),
                   gam = static_cast<double>(cell.c.gam[i]), s1 = static_cast<double>(cell.s1[i]),
                   s2 = static_cast<double>(cell.s2[i]), c1 = static_cast<double>(e1[i]),
                   c2 = static_cast<double>(e2[i]);
      for (int j = 0; j < d; ++j) {
        const auto trace = [&](int slot) { return static_cast<double>(cells::trace_at(cell, slot, i, j)); };
        const auto weight = [&](int half) { return static_cast<double>(cells::weight_at(cell, half, i, j)); };
        const double A1 = trace(0), A2 = trace(1), B1 = trace(2), B2 = trace(3), in = static_cast<double>(x[j]);
        double *to = want[i][j].trace, *w = want[i][j].weight;
        to[0] = s1 * (g * A1 - phi * A2 + gam * in);
        to[1] = s2 * (g * A2 + phi * A1);
        to[2] = s1 * (g * B1 - phi * B2);
        to[3] = s2 * (g * B2 + phi * B1 + gam * in);
        for (int half = 0; half < 2; ++half) w[half] = weight(half) + static_cast<double>(a) * weight(2 + half);
        w[2] = 0.9 * weight(2) + c1 * (advance_first ? to[0] : A1) + c2 * (advance_first ? to[1] : A2);
        w[3] = 0.9 * weight(3) + c1 * (advance_first ? to[2] : B1) + c2 * (advance_first ? to[3] : B2);
        norm += fabs(w[2]) + fabs(w[3]);
      }
    }
  }

  double worst() const {
    double found = 0;
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < d; ++j) {
        for (int k = 0; k < 4; ++k) {
          found = fmax(found, fabs(want[i][j].trace[k] - static_cast<double>(cells::trace_at(cell, k, i, j))));
          found = fmax(found, fabs(want[i][j].weight[k] - static_cast<double>(cells::weight_at(cell, k, i, j))));
        }
      }
    }
    return found;
  }
};

void check_nonlinear(const kernels::Kernels<float>& kernel, bool advance_first, float a) {
  Nonlinear made(kernel);
  made.find(advance_first, a);
  const cells::Rtu<float>& cell = made.cell;
  kernels::SetCotangent<float> set = {made.e1, made.e2, 0.9f, 0};
  kernel.learn_nonlinear(cell.block, &a, advance_first, cell.c, made.x, cell.s1, cell.s2, &set);
  CHECK_BELOW(made.worst(), 6e-7, "learn_nonlinear: four roundings of 6e-8 of numbers up to 2");
  CHECK_BELOW(fabs(made.norm - static_cast<double>(set.norm)) / made.norm, 2e-6,
              "learn_nonlinear: a sum of 190 numbers");
}

// step_sgd() against the plain order: forward, advance, contract, move.
void check_sgd(const kernels::Kernels<float>& kernel) {
  constexpr int n = 19, d = 5;
  cells::RtuConfig config;
  config.poles = n;
  config.inputs = d;
  const Cell made[] = {{config, kernel}, {config, kernel}};
  const cells::Rtu<float> cell[] = {made[0].cell, made[1].cell};
  for (const cells::Rtu<float>& one : cell) {
    uint64_t words[2];
    core::seed_rng({words}, 5, 0);
    cells::init_rtu(one, {words});
  }
  alignas(64) static float e1[64], e2[64], x[d], px[d], u1[64], u2[64];
  double worst = 0;
  kernel.coefficients(cell[0].poles, cell[0].nu_log, cell[0].theta_log, 1.0f, cell[0].c);
  for (int t = 0; t < 40; ++t) {
    for (int j = 0; j < d; ++j) {
      px[j] = x[j];
      x[j] = static_cast<float>(sin(0.7 * t + j));
    }
    for (int i = 0; i < n; ++i) {
      e1[i] = static_cast<float>(1e-3 * cos(0.2 * t + i));
      e2[i] = static_cast<float>(1e-3 * sin(0.5 * t + i));
    }
    const kernels::SetCotangent<float> scaled = {e1, e2, 0, 0};
    kernel.step_sgd(cell[0].block, cell[0].c, px, scaled, x, u1, u2);
    for (int i = 0; i < n; ++i) {
      double want1 = 0, want2 = 0;
      for (int j = 0; j < d; ++j) {
        float &re = cells::trace_at(cell[1], 0, i, j), &im = cells::trace_at(cell[1], 1, i, j);
        const float g = cell[0].c.g[i], phi = cell[0].c.phi[i], old = re;
        re = g * re - phi * im + cell[0].c.gam[i] * px[j];
        im = g * im + phi * old;
        cells::weight_at(cell[1], 0, i, j) += e1[i] * re + e2[i] * im;
        cells::weight_at(cell[1], 1, i, j) += e2[i] * re - e1[i] * im;
        want1 += static_cast<double>(cells::weight_at(cell[1], 0, i, j)) * static_cast<double>(x[j]);
        want2 += static_cast<double>(cells::weight_at(cell[1], 1, i, j)) * static_cast<double>(x[j]);
      }
      worst = fmax(worst, fmax(fabs(want1 - static_cast<double>(u1[i])), fabs(want2 - static_cast<double>(u2[i]))));
    }
  }
  CHECK_BELOW(worst, 3e-6, "step_sgd: 40 steps of roundings of 6e-8, sums of order 1");
}

// learn_gated() and learn_gates() against S <- K S + a x and z <- decay z + e S (docs/math_cells.md, 1), for one and
// two sets with a decay and a cotangent of their own.
struct Gated {
  static constexpr int n = 19, d = 5;

  Cell made;
  const cells::Cell<float>& cell = made.cell;
  int sets;
  float a[2], decay[2] = {0.9f, 0.8f}, x[d];
  alignas(64) float e[2][32] = {};
  kernels::GateTraces<float> traces{};
  double want[n][d][8], want_unit[n][4][3], norm[2] = {};  // S1, S2, W1, W2, z of each set; S, z of each set

  static float number(int k) { return static_cast<float>(sin(1.7 * k)); }
  static double real(float value) { return static_cast<double>(value); }
  static cells::CellConfig configuration(int sets) {
    cells::CellConfig config;
    config.kind = cells::CellKind::kElstm;
    config.poles = n;
    config.inputs = d;
    config.sets = sets;
    return config;
  }

  Gated(const kernels::Kernels<float>& kernel, int n_sets, float pending)
      : made(configuration(n_sets), kernel), sets(n_sets), a{pending, -2 * pending} {
    for (int j = 0; j < d; ++j) x[j] = number(j + 90);
    for (int i = 0; i < n; ++i) {
      cell.gates.K[i] = 0.6f + 0.01f * number(i);
      cell.gates.a1[i] = number(i + 1);
      cell.gates.a2[i] = number(i + 2);
      cell.h1[i] = number(i + 7);
      for (int s = 0; s < sets; ++s) e[s][i] = number(2 * i + s);
      for (int j = 0; j < d; ++j) {
        for (int slot = 0; slot < 2; ++slot) cells::trace_at(cell, slot, i, j) = number(7 * i + 3 * j + slot);
        for (int half = 0; half < 2 + 2 * sets; ++half)
          cells::weight_at(cell, half, i, j) = number(5 * i + 11 * j + half);
      }
      for (int q = 0; q < 4; ++q) {
        (traces.s[q] = cell.unit_trace[q])[i] = number(i + 3 * q);
        for (int s = 0; s < sets; ++s) (traces.z[s][q] = cell.unit_z[s][q])[i] = number(i - q - s);
      }
    }
  }

  // z of a set after the pass, from S before and after it.
  double eligibility(int s, int i, float z, double before, double after, bool advance_first) {
    const double found = real(decay[s]) * real(z) + real(e[s][i]) * (advance_first ? after : before);
    norm[s] += fabs(found);
    return found;
  }

  void find(bool advance_first) {
    for (int i = 0; i < n; ++i) {
      const double K = real(cell.gates.K[i]), gain[] = {real(cell.gates.a1[i]), real(cell.gates.a2[i])};
      for (int j = 0; j < d; ++j) {
        for (int half = 0; half < 2; ++half) {
          double* to = want[i][j];
          const double S = real(cells::trace_at(cell, half, i, j)), next = K * S + gain[half] * real(x[j]);
          to[half] = next;
          to[2 + half] = real(cells::weight_at(cell, half, i, j));
          for (int s = 0; s < sets; ++s) {
            const float z = cells::weight_at(cell, 2 + 2 * s + half, i, j);
            to[2 + half] += real(a[s]) * real(z);
            to[4 + 2 * s + half] = eligibility(s, i, z, S, next, advance_first);
          }
        }
      }
      for (int q = 0; q < 4; ++q) {
        const double S = real(traces.s[q][i]), next = K * S + gain[q % 2] * (q < 2 ? 1.0 : real(cell.h1[i]));
        want_unit[i][q][0] = next;
        for (int s = 0; s < sets; ++s)
          want_unit[i][q][1 + s] = eligibility(s, i, traces.z[s][q][i], S, next, advance_first);
      }
    }
  }

  double worst() const {
    double found = 0;
    const auto see = [&](double wanted, float value) { found = fmax(found, fabs(wanted - real(value))); };
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < d; ++j) {
        for (int half = 0; half < 2; ++half) see(want[i][j][half], cells::trace_at(cell, half, i, j));
        for (int half = 0; half < 2 + 2 * sets; ++half) see(want[i][j][2 + half], cells::weight_at(cell, half, i, j));
      }
      for (int q = 0; q < 4; ++q) {
        see(want_unit[i][q][0], traces.s[q][i]);
        for (int s = 0; s < sets; ++s) see(want_unit[i][q][1 + s], traces.z[s][q][i]);
      }
    }
    return found;
  }
};

void check_gated(const kernels::Kernels<float>& kernel, int sets, bool advance_first, float a) {
  Gated made(kernel, sets, a);
  made.find(advance_first);
  const cells::Cell<float>& cell = made.cell;
  kernels::SetCotangent<float> set[] = {{made.e[0], nullptr, made.decay[0], 0}, {made.e[1], nullptr, made.decay[1], 0}};
  kernel.learn_gated(cell.block, made.a, advance_first, cell.gates, made.x, set);
  kernel.learn_gates(cell.poles, 4, sets, advance_first, cell.gates, cell.h1, made.traces, set);
  CHECK_BELOW(made.worst(), 6e-7, "learn_gated, learn_gates: four roundings of 6e-8 of numbers up to 2");
  for (int s = 0; s < sets; ++s)
    CHECK_BELOW(fabs(made.norm[s] - static_cast<double>(set[s].norm)) / made.norm[s], 2e-6,
                "learn_gated, learn_gates: a sum of 266 numbers");
}

// Gates far from 0, where 1 - sigmoid(v) must keep its relative accuracy: it is the share of the past that is lost.
void check_gates(const kernels::Kernels<float>& kernel) {
  constexpr int n = 32;
  alignas(64) float b1[n], b2[n], zero[n] = {}, h[n], K[n], a1[n], a2[n], k[n], y[n], s[n];
  for (int i = 0; i < n; ++i) {
    b1[i] = -24.0f + 1.5f * static_cast<float>(i);
    b2[i] = 3.0f - 0.25f * static_cast<float>(i);
    h[i] = 0.5f;
  }
  const float* const parameters[] = {b1, b2, zero, zero};
  kernel.gate(n, kernels::GateForm::kMinGru, kernels::Activation::kIdentity, parameters, h, zero, zero, {K, a1, a2}, k,
              y, s);
  double worst = 0;
  const auto see = [&](double wanted, float found) {
    worst = fmax(worst, fabs(wanted - static_cast<double>(found)) / fabs(wanted));
  };
  for (int i = 0; i < n; ++i) {
    const double u = 1 / (1 + exp(static_cast<double>(-b1[i]))), shut = 1 / (1 + exp(static_cast<double>(b1[i]))),
                 v = static_cast<double>(b2[i]), low = 1 / (1 + exp(-v)), c = v >= 0 ? v + 0.5 : low;
    see(shut, K[i]);
    see((c - 0.5) * u * shut + (c == 0.5 ? 1 : 0), a1[i] + (c == 0.5 ? 1.0f : 0.0f));
    see(u * (v >= 0 ? 1 : low * (1 - low)), a2[i]);
    see(shut * 0.5 + u * c, k[i]);
  }
  CHECK_BELOW(worst, 1e-6, "gate: a few roundings of 6e-8, c - h rounded at 0.5");
}

}  // namespace

int main() {
  const kernels::Kernels<float>* tables[5];
  const int found = runtime::available_kernels(tables);
  runtime::flush_denormals();
  for (int k = 0; k < found; ++k) {
    check_sgd(*tables[k]);
    check_gates(*tables[k]);
    for (int sets : {1, 2})
      for (bool advance_first : {false, true})
        for (float a : {0.0f, 1e-3f}) check_gated(*tables[k], sets, advance_first, a);
    for (bool advance_first : {false, true})
      for (float a : {0.0f, 1e-3f}) check_nonlinear(*tables[k], advance_first, a);
  }
  return 0;
}
