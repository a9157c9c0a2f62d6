// A checkpoint is the list of sections, their canonical bytes and a CRC (docs/checkpoint.md). No component has a
// serialiser of its own.
//
//   0  magic "RTUEDGE\0"      8  version u32         12  text bytes u32     16  layout hash u64
//   24 payload bytes u64      32 sections u32        36 extra bytes u32
//   40 text (the configuration, UTF-8)          then per section: name[40], dtype u32, matrix u32, rows u32, cols u32
//   then the canonical bytes of each section      then the extra bytes (the supervisor's block)
//   then CRC-32 u32 of all before it.             Little-endian throughout.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "firmware_bridge/protocol/crc32.h"
#include "native/core/arena.h"
#include "native/core/hash.h"
#include "native/core/old_layout.h"

namespace rtu::core {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "checkpoints are copied to and from memory as they are");

// Version 2: the text may hold more than the learner's configuration (docs/checkpoint.md); the layout is unchanged.
// Version 3: at least one extra byte after the learner's sections, which the learner's reader skips. Version 4: any
// number of extra bytes, and the running statistics of old_layout.h. Version 5, which this build writes: its scalars.
constexpr uint32_t kCheckpointVersion = 5;
constexpr uint32_t kBesideVersion = 3;
constexpr uint32_t kOldestCheckpointVersion = 1;
constexpr uint64_t kHeaderBytes = 40;
constexpr uint64_t kSectionBytes = kNameBytes + 16;
constexpr char kMagic[8] = {'R', 'T', 'U', 'E', 'D', 'G', 'E', 0};

struct CheckpointHeader {
  uint32_t version, text_bytes, sections, extra_bytes;
  uint64_t layout_hash, payload_bytes;
};

// FNV-1a, 64 bits.
inline uint64_t fnv1a(uint64_t hash, const void* data, uint64_t n) {
  const unsigned char* bytes = static_cast<const unsigned char*>(data);
  for (uint64_t i = 0; i < n; ++i) hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}
constexpr uint64_t kFnvStart = 14695981039346656037ull;

inline void describe_section(const Section& section, unsigned char* out) {  // kSectionBytes
  const uint32_t words[] = {static_cast<uint32_t>(section.dtype), section.matrix ? 1u : 0u, section.rows, section.cols};
  memcpy(out, section.name, kNameBytes);
  memcpy(out + kNameBytes, words, sizeof words);
}

// Hash of the names, dtypes and shapes of the saved sections: states are interchangeable when their hashes are equal.
inline uint64_t layout_hash(const SectionTable& table, uint32_t version = kCheckpointVersion) {
  uint64_t hash = kFnvStart;
  Section in_file;
  for (int i = 0; i < table.count; ++i) {
    if (!row_of(table.sections[i], version, in_file)) continue;
    unsigned char row[kSectionBytes];
    describe_section(in_file, row);
    hash = fnv1a(hash, row, sizeof row);
  }
  return hash;
}

// The canonical bytes of one section, row after row.
inline void gather(const Section& section, const unsigned char* base, unsigned char* out) {
  const uint32_t size = dtype_bytes(section.dtype);
  for (uint32_t i = 0; i < section.rows; ++i)
    for (uint32_t j = 0; j < section.cols; ++j, out += size)
      memcpy(out, base + section.offset + section.index(i, j) * size, size);
}

inline void scatter(const Section& section, const unsigned char* in, unsigned char* base) {
  const uint32_t size = dtype_bytes(section.dtype);
  for (uint32_t i = 0; i < section.rows; ++i)
    for (uint32_t j = 0; j < section.cols; ++j, in += size)
      memcpy(base + section.offset + section.index(i, j) * size, in, size);
}

inline uint64_t payload_bytes(const SectionTable& table, uint32_t version = kCheckpointVersion) {
  uint64_t bytes = 0;
  Section row;
  for (int i = 0; i < table.count; ++i)
    if (row_of(table.sections[i], version, row)) bytes += row.count() * dtype_bytes(row.dtype);
  return bytes;
}

inline uint32_t saved_sections(const SectionTable& table, uint32_t version = kCheckpointVersion) {
  uint32_t n = 0;
  Section row;
  for (int i = 0; i < table.count; ++i) n += row_of(table.sections[i], version, row) ? 1u : 0u;
  return n;
}

// The payload: the saved sections in order, payload_bytes() in all.
inline void gather_payload(const SectionTable& table, const unsigned char* base, unsigned char* out) {
  for (int i = 0; i < table.count; ++i) {
    const Section& section = table.sections[i];
    if (!section.saved) continue;
    gather(section, base, out);
    out += section.count() * dtype_bytes(section.dtype);
  }
}

// Loads a checked payload of a file of this version into memory laid out by `table`.
inline void scatter_payload(const SectionTable& table, uint32_t version, const unsigned char* in, unsigned char* base) {
  Section row;
  for (int i = 0; i < table.count; ++i) {
    const bool now = unchanged(table.sections[i], version);
    if (!now && table.sections[i].old == OldForm::kStill) derive_still(table, i, base);
    if (!row_of(table.sections[i], version, row)) continue;
    if (now)
      scatter(row, in, base);
    else
      scatter_wide(table, i, in, base);
    in += row.count() * dtype_bytes(row.dtype);
  }
}

inline uint64_t checkpoint_bytes(const SectionTable& table, uint32_t text_bytes, uint32_t extra_bytes = 0) {
  return kHeaderBytes + text_bytes + saved_sections(table) * kSectionBytes + payload_bytes(table) + extra_bytes + 4;
}

// out: checkpoint_bytes(). beside: the extra bytes to store after the learner's sections.
inline void write_checkpoint(const SectionTable& table, const unsigned char* base, const char* text,
                             uint32_t text_bytes, unsigned char* out, const unsigned char* beside = nullptr,
                             uint32_t extra_bytes = 0) {
  const uint64_t total = checkpoint_bytes(table, text_bytes, extra_bytes), hash = layout_hash(table),
                 payload = payload_bytes(table);
  const uint32_t words[] = {kCheckpointVersion, text_bytes};
  const uint32_t tail[] = {saved_sections(table), extra_bytes};
  memcpy(out, kMagic, 8);
  memcpy(out + 8, words, 8);
  memcpy(out + 16, &hash, 8);
  memcpy(out + 24, &payload, 8);
  memcpy(out + 32, tail, 8);
  unsigned char* at = out + kHeaderBytes;
  memcpy(at, text, text_bytes);
  at += text_bytes;
  for (int i = 0; i < table.count; ++i) {
    if (!table.sections[i].saved) continue;
    describe_section(table.sections[i], at);
    at += kSectionBytes;
  }
  gather_payload(table, base, at);
  at += payload;
  if (extra_bytes > 0) memcpy(at, beside, extra_bytes);
  const uint32_t crc = tl_crc32(0, out, static_cast<size_t>(total - 4));
  memcpy(at + extra_bytes, &crc, 4);
}

// Checks the frame of n bytes: magic, version, sizes, CRC. header is filled on success only.
inline Status open_checkpoint(const unsigned char* data, uint64_t n, CheckpointHeader& header) {
  if (n < 12 || memcmp(data, kMagic, 8) != 0) return n < 12 ? Status::kBadSize : Status::kBadMagic;
  CheckpointHeader read{};
  memcpy(&read.version, data + 8, 4);
  if (read.version < kOldestCheckpointVersion || read.version > kCheckpointVersion) return Status::kBadVersion;
  if (n < kHeaderBytes + 4) return Status::kBadSize;
  memcpy(&read.text_bytes, data + 12, 4);
  memcpy(&read.layout_hash, data + 16, 8);
  memcpy(&read.payload_bytes, data + 24, 8);
  memcpy(&read.sections, data + 32, 4);
  memcpy(&read.extra_bytes, data + 36, 4);
  const uint64_t room = n - kHeaderBytes - 4, table_bytes = read.sections * kSectionBytes;
  if (read.version <= kBesideVersion && (read.extra_bytes != 0) != (read.version == kBesideVersion))
    return Status::kBadLayout;
  if (read.payload_bytes > room || table_bytes > room || read.text_bytes > room || read.extra_bytes > room ||
      read.payload_bytes + table_bytes + read.text_bytes + read.extra_bytes != room)
    return Status::kBadSize;
  uint32_t crc = 0;
  memcpy(&crc, data + n - 4, 4);
  if (crc != tl_crc32(0, data, static_cast<size_t>(n - 4))) return Status::kBadCrc;
  header = read;
  return Status::kOk;
}

// Compares each section row of an opened checkpoint with `table`: the hash in the header alone proves nothing.
inline bool same_layout(const SectionTable& table, const CheckpointHeader& header, const unsigned char* data) {
  const uint32_t version = header.version;
  if (header.layout_hash != layout_hash(table, version) || header.payload_bytes != payload_bytes(table, version) ||
      header.sections != saved_sections(table, version))
    return false;
  const unsigned char* at = data + kHeaderBytes + header.text_bytes;
  Section in_file;
  for (int i = 0; i < table.count; ++i) {
    if (!row_of(table.sections[i], version, in_file)) continue;
    unsigned char row[kSectionBytes];
    describe_section(in_file, row);
    if (memcmp(at, row, sizeof row) != 0) return false;
    at += kSectionBytes;
  }
  return true;
}

template <class T>
bool finite_values(const unsigned char* data, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    T x = 0;
    memcpy(&x, data + i * sizeof(T), sizeof(T));
    if (!(x - x == T(0))) return false;
  }
  return true;
}

// Result of check_values() on a checkpoint of this state; scratch sections are not saved and not checked.
inline bool finite_saved(const SectionTable& table, const unsigned char* base) {
  for (int s = 0; s < table.count; ++s) {
    const Section& section = table.sections[s];
    if (!section.saved || (section.dtype != DType::kF32 && section.dtype != DType::kF64)) continue;
    const uint32_t size = dtype_bytes(section.dtype);
    for (uint32_t i = 0; i < section.rows; ++i)
      for (uint32_t j = 0; j < section.cols; ++j) {
        const unsigned char* at = base + section.offset + section.index(i, j) * size;
        if (!(size == 4 ? finite_values<float>(at, 1) : finite_values<double>(at, 1))) return false;
      }
  }
  return true;
}

// Checks sample counts (>= 0): NAME.count, then NAME.still, no element of which may exceed its count. `count` carries
// the former to the check of the latter.
inline bool good_counts(const unsigned char* at, uint64_t n, bool still, int32_t& count) {
  for (uint64_t i = 0; i < n; ++i) {
    int32_t value = 0;
    memcpy(&value, at + i * sizeof value, sizeof value);
    if (value < 0 || (still && value > count)) return false;
    if (!still) count = value;
  }
  return true;
}

// The values of an opened checkpoint, by its own section rows: each float is finite and counts are valid. Readers of a
// checkpoint and writers that replace one use the same check. `where` points to the name of an invalid section.
inline Status check_values(const CheckpointHeader& header, const unsigned char* data, const char*& where) {
  const unsigned char* row = data + kHeaderBytes + header.text_bytes;
  const unsigned char* at = row + header.sections * kSectionBytes;
  uint64_t left = header.payload_bytes;
  int32_t samples = 0;
  for (uint32_t i = 0; i < header.sections; ++i, row += kSectionBytes) {
    uint32_t words[4];  // dtype, matrix, rows, columns
    memcpy(words, row + kNameBytes, sizeof words);
    if (words[0] < static_cast<uint32_t>(DType::kF32) || words[0] > static_cast<uint32_t>(DType::kI32))
      return Status::kBadLayout;
    const DType dtype = static_cast<DType>(words[0]);
    const uint64_t count = static_cast<uint64_t>(words[2]) * words[3];
    if (count > left / dtype_bytes(dtype)) return Status::kBadLayout;
    if ((dtype == DType::kF32 && !finite_values<float>(at, count)) ||
        (dtype == DType::kF64 && !finite_values<double>(at, count)) ||
        (dtype == DType::kI32 && !good_counts(at, count, is_still(reinterpret_cast<const char*>(row)), samples))) {
      where = reinterpret_cast<const char*>(row);
      return Status::kBadValue;
    }
    at += count * dtype_bytes(dtype);
    left -= count * dtype_bytes(dtype);
  }
  return left == 0 ? Status::kOk : Status::kBadLayout;
}

// The same check for a payload alone, in the layout of files of this version.
inline bool good_payload(const SectionTable& table, uint32_t version, const unsigned char* at) {
  Section row;
  int32_t samples = 0;
  for (int i = 0; i < table.count; ++i) {
    if (!row_of(table.sections[i], version, row)) continue;
    if ((row.dtype == DType::kF32 && !finite_values<float>(at, row.count())) ||
        (row.dtype == DType::kF64 && !finite_values<double>(at, row.count())) ||
        (row.dtype == DType::kI32 && !good_counts(at, row.count(), is_still(row.name), samples)))
      return false;
    at += row.count() * dtype_bytes(row.dtype);
  }
  return true;
}

// Loads a complete checkpoint into memory laid out by `table`. On failure the memory is unchanged; `where` names the
// section with an invalid value.
inline Status read_checkpoint(const SectionTable& table, const unsigned char* data, uint64_t n, unsigned char* base,
                              const char*& where) {
  CheckpointHeader header{};
  const Status status = open_checkpoint(data, n, header);
  if (failed(status)) return status;
  if (!same_layout(table, header, data)) return Status::kBadLayout;
  const Status values = check_values(header, data, where);
  if (failed(values)) return values;
  scatter_payload(table, header.version, data + n - 4 - header.extra_bytes - header.payload_bytes, base);
  return Status::kOk;
}

}  // namespace rtu::core
