// The state hash: the same numbers give the same hash in any memory layout, and a different number gives a different
// hash.
#include "native/core/hash.h"

#include <set>
#include <vector>

#include "check.h"

using namespace rtu::core;

namespace {

// One section of `rows` by `cols` values, laid out in blocks of `lanes` with `group` members, filled from its canonical
// order.
template <class T>
uint64_t hash_of(uint32_t rows, uint32_t cols, bool matrix, uint32_t lanes, uint32_t group, uint32_t gap, T pad,
                 const std::vector<T>& values) {
  LargestTable table;
  Section s;
  s.dtype = DTypeOf<T>::value;
  s.rows = rows;
  s.cols = cols;
  s.matrix = matrix;
  s.lanes = lanes;
  s.group = group;
  s.column_stride = lanes * gap;
  s.group_stride = cols * s.column_stride;
  s.block_stride = group * s.group_stride;
  const uint32_t blocks = (rows + lanes * group - 1) / (lanes * group);
  std::vector<T> memory(static_cast<size_t>(blocks) * s.block_stride + 1, pad);
  for (uint32_t i = 0; i < rows; ++i)
    for (uint32_t j = 0; j < cols; ++j) memory[s.index(i, j)] = values[i * cols + j];
  table.sections[0] = s;
  table.sections[1] = s;
  table.sections[1].saved = false;  // scratch does not count
  table.count = 2;
  return state_hash(table, reinterpret_cast<const unsigned char*>(memory.data()));
}

template <class T>
std::vector<T> numbers(uint32_t n) {
  std::vector<T> values(n);
  for (uint32_t i = 0; i < n; ++i) values[i] = static_cast<T>(static_cast<double>(i) * 0.7 - 3.0);
  return values;
}

template <class T>
void the_layout_does_not_count() {
  for (const uint32_t rows : {1u, 2u, 7u, 16u, 24u, 33u}) {
    for (const uint32_t cols : {1u, 2u, 3u, 4u, 8u, 9u, 31u}) {
      const bool matrix = cols > 1;
      const auto values = numbers<T>(rows * cols);
      const uint64_t plain = hash_of<T>(rows, cols, matrix, 1, 1, 1, T(0), values);
      for (const uint32_t lanes : {1u, 4u, 8u, 16u})
        for (const uint32_t group : {1u, 2u, 3u})
          for (const uint32_t gap : {1u, 5u})
            CHECK(hash_of<T>(rows, cols, matrix, lanes, group, gap, T(7), values) == plain);
    }
  }
}

template <class T>
void every_bit_counts() {
  std::set<uint64_t> seen;
  auto values = numbers<T>(3 * 11);
  seen.insert(hash_of<T>(3, 11, true, 4, 1, 1, T(0), values));
  for (T& value : values) {
    for (size_t bit = 0; bit < 8 * sizeof(T); ++bit) {
      unsigned char bytes[sizeof(T)];
      memcpy(bytes, &value, sizeof(T));
      const T before = value;
      bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1u << bit % 8));
      memcpy(&value, bytes, sizeof(T));
      CHECK(seen.insert(hash_of<T>(3, 11, true, 4, 1, 1, T(0), values)).second);
      value = before;
    }
  }
}

void the_order_counts() {
  auto values = numbers<float>(40);
  const uint64_t before = hash_of<float>(40, 1, false, 1, 1, 1, 0, values);
  std::swap(values[3], values[35]);  // the same lane
  CHECK(hash_of<float>(40, 1, false, 1, 1, 1, 0, values) != before);
}

}  // namespace

int main() {
  the_layout_does_not_count<float>();
  the_layout_does_not_count<double>();
  every_bit_counts<float>();
  every_bit_counts<double>();
  the_order_counts();
}
