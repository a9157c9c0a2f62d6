// The arena holds the complete model in one block of memory, described by a list of named sections.
//
// A Builder walks a component's arrays twice: first without a base address, to count bytes and sections, then with one,
// to assign the pointers and fill the table of sections. Both passes run the same code, so the reported footprint and
// the memory used cannot differ.
#pragma once

#include <stdint.h>

#include "native/core/status.h"

namespace rtu::core {

constexpr uint64_t kAlignment = 64;  // bytes; one cache line, and the widest vector
constexpr int kNameBytes = 40;
constexpr int kMaxSections = 416;  // of LargestTable and a file; the largest layout has 398: tests/test_footprint.py

enum class DType : uint8_t { kF32 = 1, kF64 = 2, kU64 = 3, kI32 = 4 };

constexpr uint32_t dtype_bytes(DType dtype) { return dtype == DType::kF32 || dtype == DType::kI32 ? 4u : 8u; }

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<uint64_t> {
  static constexpr DType value = DType::kU64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};

// Form of a section in checkpoints of earlier formats (core/old_layout.h).
enum class OldForm : uint8_t { kSame, kWide, kAbsent, kStill, kDouble };

// Description of an array for checkpoints, bindings and tests: canonical shape (rows, cols) and address of element i,
// j:
//   (p / lanes) * block_stride + k * group_stride + p % lanes + j * column_stride   with p = i / group, k = i % group
struct Section {
  char name[kNameBytes] = {};
  DType dtype = DType::kF32;
  bool saved = true;    // part of a checkpoint and of the state hash; false: scratch
  bool matrix = false;  // false: a vector, cols = 1
  OldForm old = OldForm::kSame;
  uint32_t rows = 0, cols = 0;
  uint32_t lanes = 1, group = 1;
  uint32_t block_stride = 1, group_stride = 0, column_stride = 0;  // elements
  uint64_t offset = 0;                                             // bytes from the arena's start

  constexpr uint64_t count() const { return static_cast<uint64_t>(rows) * cols; }
  constexpr uint64_t index(uint32_t i, uint32_t j) const {
    const uint32_t p = i / group, k = i % group;
    return static_cast<uint64_t>(p / lanes) * block_stride + static_cast<uint64_t>(k) * group_stride + p % lanes +
           static_cast<uint64_t>(j) * column_stride;
  }
};

// The sections of a layout, in memory of its owner.
struct SectionTable {
  Section* sections = nullptr;
  int capacity = 0, count = 0;
  Status status = Status::kOk;
};

// With room for every layout, where bytes do not matter: tests, constant expressions.
struct LargestTable : SectionTable {
  Section room[kMaxSections] = {};

  constexpr LargestTable() {
    sections = room;
    capacity = kMaxSections;
  }
  LargestTable(const LargestTable&) = delete;
  LargestTable& operator=(const LargestTable&) = delete;
};

// A dotted name built without a heap: Name("actor").dot("cell").dot("W1").
struct Name {
  char text[kNameBytes] = {};

  constexpr Name() = default;
  constexpr explicit Name(const char* first) { append(first); }
  constexpr Name dot(const char* part) const {
    Name name = *this;
    if (name.text[0] != 0) name.append(".");
    name.append(part);
    return name;
  }
  constexpr Name number(int value) const {  // 0 to 99
    Name name = *this;
    char digits[3] = {};
    if (value >= 10) {
      digits[0] = static_cast<char>('0' + value / 10);
      digits[1] = static_cast<char>('0' + value % 10);
    } else {
      digits[0] = static_cast<char>('0' + value);
    }
    name.append(digits);
    return name;
  }

 private:
  constexpr void append(const char* part) {
    int at = 0;
    while (at < kNameBytes - 1 && text[at] != 0) ++at;
    for (int i = 0; part[i] != 0 && at < kNameBytes - 1; ++i) text[at++] = part[i];
  }
};

// Size of a vector in memory, in scalars, rounded up so that whole vectors of `lanes` can be read and written.
constexpr uint32_t padded(uint32_t n, uint32_t lanes) { return (n + lanes - 1) / lanes * lanes; }

// Memory of a learner of fixed size without gaps, one array for each type: for firmware, whose pointers into it are
// then constants of the program. data null: only counted. offset: bytes from the memory's start.
template <class T>
struct Pool {
  T* data = nullptr;
  uint64_t offset = 0, used = 0;
};

struct Pools {
  Pool<uint64_t> u64;
  Pool<double> f64;
  Pool<float> f32;
  Pool<int32_t> i32;
};

class Builder {
 public:
  constexpr Builder(unsigned char* base, SectionTable* table, uint32_t lanes)
      : base_(base), table_(table), lanes_(lanes) {}
  // One lane, in pools instead of an arena; other types than the pools' get no memory.
  constexpr Builder(Pools* pools, SectionTable* table) : base_(nullptr), table_(table), lanes_(1), pools_(pools) {}

  constexpr uint32_t lanes() const { return lanes_; }
  constexpr uint64_t bytes() const { return used_; }
  constexpr int sections() const { return described_; }
  constexpr bool packed() const { return pools_ != nullptr; }

  // Unnamed memory for n scalars, 64-byte aligned; the caller names its parts with describe().
  template <class T>
  constexpr T* reserve(uint64_t n) {
    if (packed()) return take(n, static_cast<T*>(nullptr));
    last_offset_ = used_;
    used_ += (n * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + last_offset_);
  }

  // A vector (n), padded to whole lanes.
  template <class T>
  constexpr T* vector(const Name& name, uint32_t n, bool saved = true, OldForm old = OldForm::kSame) {
    T* data = reserve<T>(padded(n, lanes_));
    Section section;
    section.dtype = DTypeOf<T>::value;
    section.saved = saved;
    section.old = old;
    section.rows = n;
    section.cols = 1;
    describe(name, section, 0);
    return data;
  }

  // A matrix (rows, cols), row after row, each row padded to whole lanes.
  template <class T>
  constexpr T* matrix(const Name& name, uint32_t rows, uint32_t cols, bool saved = true) {
    const uint32_t stride = padded(cols, lanes_);
    T* data = reserve<T>(static_cast<uint64_t>(rows) * stride);
    Section section;
    section.dtype = DTypeOf<T>::value;
    section.saved = saved;
    section.matrix = true;
    section.rows = rows;
    section.cols = cols;
    section.block_stride = stride;
    section.column_stride = 1;
    describe(name, section, 0);
    return data;
  }

  // Names a part of the last reserved memory, starting `skip` bytes into it.
  constexpr void describe(const Name& name, Section section, uint64_t skip) {
    ++described_;
    if (table_ == nullptr) return;
    if (table_->count == table_->capacity) {
      table_->status = Status::kTooMany;
      return;
    }
    for (int i = 0; i < kNameBytes; ++i) section.name[i] = name.text[i];
    section.offset = last_offset_ + skip;
    table_->sections[table_->count++] = section;
  }

 private:
  template <class T>
  constexpr T* take_from(Pool<T>& pool, uint64_t n) {
    last_offset_ = pool.offset + pool.used * sizeof(T);
    T* data = pool.data == nullptr ? nullptr : pool.data + pool.used;
    pool.used += n;
    return data;
  }
  constexpr uint64_t* take(uint64_t n, uint64_t*) { return take_from(pools_->u64, n); }
  constexpr double* take(uint64_t n, double*) { return take_from(pools_->f64, n); }
  constexpr float* take(uint64_t n, float*) { return take_from(pools_->f32, n); }
  constexpr int32_t* take(uint64_t n, int32_t*) { return take_from(pools_->i32, n); }
  template <class T>
  constexpr T* take(uint64_t, T*) {
    return nullptr;
  }

  unsigned char* base_;
  SectionTable* table_;
  uint32_t lanes_;
  Pools* pools_ = nullptr;
  int described_ = 0;
  uint64_t used_ = 0;
  uint64_t last_offset_ = 0;
};

}  // namespace rtu::core
