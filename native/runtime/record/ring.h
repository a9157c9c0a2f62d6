// Single producer, single consumer, fixed-size records. The producer never waits: records that do not fit are dropped
// and counted. All memory is allocated and touched at construction.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <memory>

namespace rtu::runtime::record {

class RecordRing {
 public:
  RecordRing(size_t capacity, size_t stride)
      : stride_(stride), mask_(round_up(capacity) - 1), bytes_(new uint8_t[(mask_ + 1) * stride]) {
    memset(bytes_.get(), 0, (mask_ + 1) * stride);
  }

  size_t stride() const noexcept { return stride_; }
  size_t capacity() const noexcept { return mask_ + 1; }

  // Producer: space for one record of stride() bytes, to fill and then commit; null (counted) when full.
  uint8_t* reserve() noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - cached_tail_ > mask_) {
      cached_tail_ = tail_.load(std::memory_order_acquire);
      if (head - cached_tail_ > mask_) {
        dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return nullptr;
      }
    }
    return bytes_.get() + (head & mask_) * stride_;
  }

  void commit() noexcept { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Consumer: the number of records available, and a copy of the oldest `count`.
  size_t available() const noexcept {
    return static_cast<size_t>(head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_relaxed));
  }

  void take(uint8_t* out, size_t count) noexcept {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (size_t done = 0; done < count;) {
      const size_t slot = static_cast<size_t>((tail + done) & mask_);
      const size_t run = count - done < mask_ + 1 - slot ? count - done : mask_ + 1 - slot;
      memcpy(out + done * stride_, bytes_.get() + slot * stride_, run * stride_);
      done += run;
    }
    tail_.store(tail + count, std::memory_order_release);
  }

  uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

 private:
  static size_t round_up(size_t n) noexcept {
    size_t power = 1;
    while (power < n) power *= 2;
    return power;
  }

  size_t stride_;
  size_t mask_;
  std::unique_ptr<uint8_t[]> bytes_;
  alignas(64) std::atomic<uint64_t> head_{0};
  uint64_t cached_tail_ = 0;  // producer's
  std::atomic<uint64_t> dropped_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace rtu::runtime::record
