// A 64-bit hash of numbers in canonical order, to compare two states: four lanes of multiply and rotate, mixed at the
// end. Not cryptographic. Every step is a bijection of its input word, so a single changed number always changes the
// hash.
//
// The stream: each row of a matrix, or a whole vector, padded with zeros to a multiple of four 64-bit words. Word w
// goes to lane w % 4.
#pragma once

#include <stdint.h>
#include <string.h>

#include "native/core/arena.h"

namespace rtu::core {

struct HashLanes {
  uint64_t lane[4] = {0x243F6A8885A308D3ull, 0x13198A2E03707344ull, 0xA4093822299F31D0ull,
                      0x082EFA98EC4E6C89ull};  // of pi

  static constexpr uint64_t kIn = 0x9E3779B97F4A7C15ull, kOn = 0xD1342543DE82EF95ull;

  void take(const uint64_t* words) {  // (4)
    for (int i = 0; i < 4; ++i) {
      const uint64_t sum = lane[i] + words[i] * kIn;
      lane[i] = (sum << 29 | sum >> 35) * kOn;
    }
  }

  uint64_t mixed() const {
    uint64_t hash = 0;
    for (int i = 0; i < 4; ++i) {
      hash = (hash ^ lane[i]) * kOn;
      hash ^= hash >> 32;
    }
    hash *= kIn;
    return hash ^ hash >> 29;
  }
};

// Hashes n numbers of type T (an unsigned integer of their size), `stride` elements apart.
template <class T>
void hash_row(HashLanes& lanes, const unsigned char* from, uint32_t n, uint32_t stride) {
  constexpr uint32_t kBlock = 32 / sizeof(T);
  T block[kBlock];
  uint64_t words[4];
  for (uint32_t j = 0; j < n; j += kBlock) {
    const uint32_t count = n - j < kBlock ? n - j : kBlock;
    if (count < kBlock) memset(block, 0, sizeof block);
    if (stride == 1)
      memcpy(block, from, count * sizeof(T));
    else
      for (uint32_t k = 0; k < count; ++k) memcpy(block + k, from + k * stride * sizeof(T), sizeof(T));
    memcpy(words, block, sizeof words);
    lanes.take(words);
    from += kBlock * stride * sizeof(T);
  }
}

// Walks the rows of a section without a division per row (Section::index).
template <class T>
void hash_section(HashLanes& lanes, const Section& s, const unsigned char* base) {
  constexpr uint32_t kBlock = 32 / sizeof(T);
  T column[kBlock];
  uint32_t filled = 0, lane = 0, k = 0;
  const unsigned char* block = base + s.offset;
  if (!s.matrix && s.lanes == 1 && s.group == 1) return hash_row<T>(lanes, block, s.rows, s.block_stride);
  for (uint32_t i = 0; i < s.rows; ++i) {
    const unsigned char* row = block + (static_cast<uint64_t>(k) * s.group_stride + lane) * sizeof(T);
    if (s.matrix) {
      hash_row<T>(lanes, row, s.cols, s.column_stride);
    } else {
      memcpy(column + filled, row, sizeof(T));
      if (++filled == kBlock) {
        hash_row<T>(lanes, reinterpret_cast<const unsigned char*>(column), kBlock, 1);
        filled = 0;
      }
    }
    if (++k < s.group) continue;
    k = 0;
    if (++lane < s.lanes) continue;
    lane = 0;
    block += static_cast<uint64_t>(s.block_stride) * sizeof(T);
  }
  if (filled > 0) hash_row<T>(lanes, reinterpret_cast<const unsigned char*>(column), filled, 1);
}

// Hash of all saved sections. The same on every instruction set for the same numbers.
inline uint64_t state_hash(const SectionTable& table, const unsigned char* base) {
  HashLanes lanes;
  for (int i = 0; i < table.count; ++i) {
    const Section& section = table.sections[i];
    if (!section.saved) continue;
    if (dtype_bytes(section.dtype) == 4)
      hash_section<uint32_t>(lanes, section, base);
    else
      hash_section<uint64_t>(lanes, section, base);
  }
  return lanes.mixed();
}

}  // namespace rtu::core
