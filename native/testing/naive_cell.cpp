// Compiled without vectors and with -O2: cmake/python.cmake.
#include <cmath>

#include "native/testing/peers.h"

namespace rtu::testing {

namespace {

constexpr float kRate = 1e-6f;

}  // namespace

NaiveRtu::NaiveRtu(int inputs, int units, bool halved)
    : d_(static_cast<size_t>(inputs)), n_(static_cast<size_t>(units)), halved_(halved), pole_(n_) {
  for (auto* v : {&A1_, &A2_}) v->assign(n_ * d_, 0.0f);
  for (auto* v : {&W1_, &W2_}) v->assign(n_ * d_, 0.1f);
  if (!halved)
    for (auto* v : {&B1_, &B2_, &grad_W1_, &grad_W2_}) v->assign(n_ * d_, 0.0f);
  for (auto* v : {&N1_, &N2_, &T1_, &T2_, &h1_, &h2_, &z1_, &z2_, &u1_, &u2_}) v->assign(n_, 0.0f);
  e1_.assign(n_, 0.005f);
  e2_.assign(n_, -0.005f);
  x_.assign(d_, 0.5f);
  for (size_t i = 0; i < n_; ++i) {
    const float u = (static_cast<float>(i) + 0.5f) / static_cast<float>(n_);
    nu_log_.push_back(std::log(-0.5f * std::log(u)));
    theta_log_.push_back(std::log(6.28f * u));
  }
}

void NaiveRtu::forward() {
  for (size_t i = 0; i < n_; ++i) {
    Pole& p = pole_[i];
    p.nu = std::exp(nu_log_[i]);
    p.theta = std::exp(theta_log_[i]);
    const float r = std::exp(-p.nu), root = std::sqrt(-std::expm1(-2 * p.nu));
    p.g = r * std::cos(p.theta);
    p.phi = r * std::sin(p.theta);
    p.gam = root + 1e-8f;
    p.dgam = p.nu * r * r / root;
    float u1 = 0, u2 = 0;
    for (size_t j = 0; j < d_; ++j) {
      u1 += W1_[i * d_ + j] * x_[j];
      u2 += W2_[i * d_ + j] * x_[j];
    }
    u1_[i] = u1;
    u2_[i] = u2;
    z1_[i] = p.g * h1_[i] - p.phi * h2_[i] + p.gam * u1;
    z2_[i] = p.g * h2_[i] + p.phi * h1_[i] + p.gam * u2;
  }
}

void NaiveRtu::learn_poles(size_t i) {
  const Pole& p = pole_[i];
  const float turned1 = p.g * h1_[i] - p.phi * h2_[i], turned2 = p.g * h2_[i] + p.phi * h1_[i];
  const float N1 = p.g * N1_[i] - p.phi * N2_[i] - p.nu * turned1 + p.dgam * u1_[i];
  const float N2 = p.g * N2_[i] + p.phi * N1_[i] - p.nu * turned2 + p.dgam * u2_[i];
  const float T1 = p.g * T1_[i] - p.phi * T2_[i] - p.theta * turned2;
  const float T2 = p.g * T2_[i] + p.phi * T1_[i] + p.theta * turned1;
  N1_[i] = N1;
  N2_[i] = N2;
  T1_[i] = T1;
  T2_[i] = T2;
  nu_log_[i] += kRate * (e1_[i] * N1 + e2_[i] * N2);
  theta_log_[i] += kRate * (e1_[i] * T1 + e2_[i] * T2);
  h1_[i] = z1_[i];
  h2_[i] = z2_[i];
}

void NaiveRtu::learn() {
  for (size_t i = 0; i < n_; ++i) {
    const Pole& p = pole_[i];
    for (size_t j = 0; j < d_; ++j) {
      const size_t k = i * d_ + j;
      const float A1 = p.g * A1_[k] - p.phi * A2_[k] + p.gam * x_[j], A2 = p.g * A2_[k] + p.phi * A1_[k];
      const float B1 = p.g * B1_[k] - p.phi * B2_[k], B2 = p.g * B2_[k] + p.phi * B1_[k] + p.gam * x_[j];
      A1_[k] = A1;
      A2_[k] = A2;
      B1_[k] = B1;
      B2_[k] = B2;
    }
    learn_poles(i);
  }
  for (size_t i = 0; i < n_; ++i) {
    for (size_t k = i * d_; k < (i + 1) * d_; ++k) {
      grad_W1_[k] = e1_[i] * A1_[k] + e2_[i] * A2_[k];
      grad_W2_[k] = e1_[i] * B1_[k] + e2_[i] * B2_[k];
    }
  }
  for (size_t k = 0; k < n_ * d_; ++k) {
    W1_[k] += kRate * grad_W1_[k];
    W2_[k] += kRate * grad_W2_[k];
  }
}

void NaiveRtu::learn_halved() {
  for (size_t i = 0; i < n_; ++i) {
    const Pole p = pole_[i];
    const float e1 = kRate * e1_[i], e2 = kRate * e2_[i];
    float *A1 = &A1_[i * d_], *A2 = &A2_[i * d_], *W1 = &W1_[i * d_], *W2 = &W2_[i * d_];
    const float* x = x_.data();
    for (size_t j = 0; j < d_; ++j) {
      const float re = p.g * A1[j] - p.phi * A2[j] + p.gam * x[j], im = p.g * A2[j] + p.phi * A1[j];
      A1[j] = re;
      A2[j] = im;
      W1[j] += e1 * re + e2 * im;
      W2[j] += e2 * re - e1 * im;
    }
    learn_poles(i);
  }
}

void NaiveRtu::run(int64_t steps) {
  for (int64_t t = 0; t < steps; ++t) {
    forward();
    halved_ ? learn_halved() : learn();
  }
}

}  // namespace rtu::testing
