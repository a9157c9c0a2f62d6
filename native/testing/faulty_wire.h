// A wire that drops, damages, repeats and delays data, by a random seed: for long runs in lockstep, for which the fault
// injection of rtu_edge/hil would be too slow. A write is one frame, a read any number of bytes.
#pragma once

#include <stdint.h>

#include <atomic>

#include "native/runtime/clock.h"
#include "native/runtime/link/wire.h"

namespace rtu::testing {

using namespace runtime;
using runtime::link::Wire;

// Counters of writes (out) and reads (in); any thread may read them.
struct FaultCounts {
  std::atomic<uint64_t> lost_out{0}, lost_in{0}, damaged_out{0}, damaged_in{0}, repeated_out{0}, stalls{0};
};

class FaultyWire {
 public:
  // rate: share of writes and of reads affected by each kind of fault.
  FaultyWire(Wire wire, Clock clock, uint64_t seed, double rate) noexcept
      : wire_(wire), clock_(clock), random_(seed), limit_(static_cast<uint32_t>(rate * 4294967295.0)) {}
  FaultyWire(const FaultyWire&) = delete;
  FaultyWire& operator=(const FaultyWire&) = delete;

  Wire wire() noexcept;

  FaultCounts counts;

 private:
  uint32_t next() noexcept;
  bool hit(std::atomic<uint64_t>* count) noexcept;
  ptrdiff_t read(uint8_t* out, size_t room) noexcept;
  ptrdiff_t write(const uint8_t* data, size_t n) noexcept;

  Wire wire_;
  Clock clock_;
  uint64_t random_;
  uint32_t limit_;
};

}  // namespace rtu::testing
