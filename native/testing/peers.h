// Baselines for the kernels: a sweep over the same memory, and a naive implementation of the cell.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace rtu::testing {

// x <- 0.999 x + 1e-6 over n floats (a multiple of 16, 64-byte aligned) with vectors of `lanes` lanes: the cost of
// reading and writing memory at this width. Null: width not supported on this host.
using Sweep = void (*)(float* x, size_t n);
Sweep sweep_of(int lanes);

// The linear RTU in plain loops over units and inputs, without vectors, learned by SGD; libm for the coefficients.
class NaiveRtu {
 public:
  // A direct implementation of docs/math.md, 1 and 2: four traces, then the gradient, then the step. `halved`: tuned
  // without vectors: one complex trace for both weights, all work on a weight in one loop.
  NaiveRtu(int inputs, int units, bool halved);
  void run(int64_t steps);

 private:
  void forward();
  void learn();
  void learn_halved();
  void learn_poles(size_t i);

  struct Pole {
    float nu, theta, g, phi, gam, dgam;
  };

  size_t d_, n_;
  bool halved_;
  std::vector<float> nu_log_, theta_log_, W1_, W2_, A1_, A2_, B1_, B2_, grad_W1_, grad_W2_;
  std::vector<float> N1_, N2_, T1_, T2_, h1_, h2_, z1_, z2_, u1_, u2_, e1_, e2_, x_;
  std::vector<Pole> pole_;
};

}  // namespace rtu::testing
