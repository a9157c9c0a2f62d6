// Random numbers: PCG32 (O'Neill 2014, PCG-XSH-RR 64/32), two 64-bit words of state that live in the arena.
#pragma once

#include <stdint.h>

#include "native/core/single.h"

namespace rtu::core {

struct Rng {
  uint64_t* words;  // (2): state, increment (odd)
};

inline uint32_t next_u32(Rng rng) {
  const uint64_t old = rng.words[0];
  rng.words[0] = old * 6364136223846793005ull + rng.words[1];
  const uint32_t shifted = static_cast<uint32_t>(((old >> 18u) ^ old) >> 27u);
  const uint32_t turn = static_cast<uint32_t>(old >> 59u);
  return (shifted >> turn) | (shifted << ((32u - turn) & 31u));
}

inline void seed_rng(Rng rng, uint64_t seed, uint64_t stream) {
  rng.words[0] = 0;
  rng.words[1] = (stream << 1u) | 1u;
  (void)next_u32(rng);
  rng.words[0] += seed;
  (void)next_u32(rng);
}

// Uniform in the open interval (0, 1): never 0, never 1. 32 bits.
inline double uniform(Rng rng) { return (static_cast<double>(next_u32(rng)) + 0.5) * 0x1p-32; }

// Standard normal, Box and Muller 1958; one of the pair is discarded so that no state is kept outside the arena. In
// float the same draw, to 1e-6 of itself.
template <class T>
T normal(Rng rng);

template <>
inline double normal<double>(Rng rng) {
  const double u = uniform(rng), v = uniform(rng);
  return square_root(-2.0 * logarithm(u)) * cosine(6.283185307179586477 * v);
}

template <>
inline float normal<float>(Rng rng) {
  const uint32_t u = next_u32(rng), v = next_u32(rng);
  return square_root(-2.0f * logarithm_of_share(u)) * cosine_of_share(v);
}

// Standard normal cut at two deviations, by rejection (4.6 % are drawn again).
inline double truncated_normal(Rng rng) {
  for (;;) {
    const double x = normal<double>(rng);
    if (x > -2.0 && x < 2.0) return x;
  }
}

}  // namespace rtu::core
