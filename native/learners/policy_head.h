// Interpretation of an actor's head outputs: a normal distribution per action (mu, s with sigma = softplus(s) + floor),
// or a softmax, in the learner's type; log-probabilities are those of the unclipped sample (math.md, 4).
#pragma once

#include <stdint.h>

#include "native/core/rng.h"
#include "native/core/single.h"
#include "native/core/small.h"

namespace rtu::learners {

constexpr int32_t kMaxActions = 64;

// Tolerance in action units: an applied action within this distance counts as the chosen one; otherwise only the critic
// learns from the step.
constexpr double kSameAction = 1e-4;

struct PolicyConfig {
  bool discrete = false;
  int32_t actions = 1;  // number of actuators, or of discrete actions
  core::Setting sigma_floor = 0.0;
  double correlation = 0.0;  // rho of successive exploration noise; continuous actions

  constexpr int32_t outputs() const { return discrete ? actions : 2 * actions; }
  constexpr int32_t width() const { return discrete ? 1 : actions; }  // scalars of an action
  constexpr bool correlated() const { return !discrete && correlation > 0; }
};

// sigma and dsigma / ds of one actuator, kept from the draw of an action for its gradient. sigma 0: nothing is kept.
template <class T>
struct KeptSigma {
  T s, sigma, slope;
};

template <class T>
core::Softplus<T> sigma_and_slope(const PolicyConfig& config, T s, KeptSigma<T>* kept) {
  if (kept != nullptr && kept->sigma > 0 && kept->s == s) return {kept->sigma, kept->slope};
  core::Softplus<T> found = core::softplus_and_slope(s);
  found.value += static_cast<T>(config.sigma_floor);
  if (kept != nullptr) *kept = {s, found.value, found.slope};
  return found;
}

template <class T>
T sigma_of(const PolicyConfig& config, T s) {
  return sigma_and_slope<T>(config, s, nullptr).value;
}

template <class T>
void softmax(const PolicyConfig& config, const T* logits, T* p) {
  T top = logits[0], sum = T(0);
  for (int32_t i = 1; i < config.actions; ++i) top = logits[i] > top ? logits[i] : top;
  for (int32_t i = 0; i < config.actions; ++i) sum += p[i] = core::exponential(logits[i] - top);
  for (int32_t i = 0; i < config.actions; ++i) p[i] /= sum;
}

// Share of sigma that a step's own noise has: the rest is rho times the noise of the step before
// (math_learners.md, 4, Correlated exploration). shift null: all of it.
template <class T>
T fresh_share(const PolicyConfig& config, const T* shift) {
  return static_cast<T>(shift == nullptr ? 1.0 : core::square_root(1.0 - config.correlation * config.correlation));
}

template <class T>
T mean_of(const T* y, const T* shift, int32_t k) {
  return y[k] + (shift == nullptr ? T(0) : shift[k]);
}

// Draws an action: sample (width) is unclipped; the gradient is that of the sample. shift (width): rho times the noise
// of the step before; null draws from the distribution over all of them. kept (actions), may be null.
template <class T>
void sample(const PolicyConfig& config, const T* y, core::Rng rng, T* action, const T* shift = nullptr,
            KeptSigma<T>* kept = nullptr) {
  if (!config.discrete) {
    const T fresh = fresh_share(config, shift);
    for (int32_t k = 0; k < config.actions; ++k) {
      const T sigma = sigma_and_slope(config, y[config.actions + k], kept == nullptr ? nullptr : kept + k).value;
      action[k] = mean_of(y, shift, k) + fresh * sigma * core::normal<T>(rng);
    }
    return;
  }
  T p[kMaxActions];
  softmax(config, y, p);
  T u = static_cast<T>(core::uniform(rng));
  int32_t choice = 0;
  while (choice < config.actions - 1 && u >= p[choice]) u -= p[choice++];
  action[0] = static_cast<T>(choice);
}

// The most likely action: mu, or the first of the largest logits.
template <class T>
void mode(const PolicyConfig& config, const T* y, T* action) {
  if (!config.discrete) {
    for (int32_t k = 0; k < config.actions; ++k) action[k] = y[k];
    return;
  }
  int32_t best = 0;
  for (int32_t i = 1; i < config.actions; ++i)
    if (y[i] > y[best]) best = i;
  action[0] = static_cast<T>(best);
}

// How far the policy spreads its actions: the mean of sigma over the actuators, in units of an action (0 for discrete
// actions), and the entropy H in nats.
struct Spread {
  double sigma, entropy;
};

template <class T>
Spread spread(const PolicyConfig& config, const T* y) {
  double H = 0, sum = 0;
  if (config.discrete) {
    T p[kMaxActions];
    softmax(config, y, p);
    for (int32_t i = 0; i < config.actions; ++i)
      H -= p[i] > T(0) ? static_cast<double>(p[i] * core::logarithm(p[i])) : 0.0;
    return {0.0, H};
  }
  constexpr double kHalfLogTwoPiE = 1.4189385332046727;
  for (int32_t k = 0; k < config.actions; ++k) {
    const double sigma = static_cast<double>(sigma_of(config, y[config.actions + k]));
    sum += sigma;
    H += kHalfLogTwoPiE + core::logarithm(sigma);
  }
  return {sum / config.actions, H};
}

// Cotangents of log pi(action) and of the entropy H on the head's outputs; shift and kept as for sample().
template <class T>
void policy_cotangents(const PolicyConfig& config, const T* y, const T* action, const T* shift, KeptSigma<T>* kept,
                       T* log_pi, T* entropy) {
  if (!config.discrete) {
    const T fresh = fresh_share(config, shift);
    for (int32_t k = 0; k < config.actions; ++k) {
      const core::Softplus<T> of = sigma_and_slope(config, y[config.actions + k], kept == nullptr ? nullptr : kept + k);
      const T sigma = of.value, slope = of.slope, z = (action[k] - mean_of(y, shift, k)) / (fresh * sigma);
      log_pi[k] = z / (fresh * sigma);
      log_pi[config.actions + k] = (z * z - T(1)) / sigma * slope;
      entropy[k] = T(0);
      entropy[config.actions + k] = slope / sigma;
    }
    return;
  }
  T p[kMaxActions], H = T(0);
  softmax(config, y, p);
  for (int32_t i = 0; i < config.actions; ++i) H -= p[i] > T(0) ? p[i] * core::logarithm(p[i]) : T(0);
  const int32_t choice = static_cast<int32_t>(action[0]);
  for (int32_t i = 0; i < config.actions; ++i) {
    log_pi[i] = (i == choice ? T(1) : T(0)) - p[i];
    entropy[i] = p[i] > T(0) ? -p[i] * (core::logarithm(p[i]) + H) : T(0);
  }
}

}  // namespace rtu::learners
