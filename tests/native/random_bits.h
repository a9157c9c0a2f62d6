#pragma once

#include <stdint.h>

// 64 random bits, the same in each run; Steele, Lea, Flood 2014: SplitMix64. State: any start, moved by each call.
inline uint64_t random_bits(uint64_t* state) {
  uint64_t z = *state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
