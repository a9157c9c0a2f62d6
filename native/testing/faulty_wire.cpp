#include "native/testing/faulty_wire.h"

#include <string.h>

namespace rtu::testing {
namespace {

constexpr int64_t kStallNs = 10 * kNsPerMs;
constexpr size_t kFrameMax = 4096;

}  // namespace

Wire FaultyWire::wire() noexcept {
  return {
      this,
      [](void* self, uint8_t* out, size_t room) noexcept { return static_cast<FaultyWire*>(self)->read(out, room); },
      [](void* self, const uint8_t* data, size_t n) noexcept { return static_cast<FaultyWire*>(self)->write(data, n); },
      [](void* self, int64_t deadline_ns, bool for_write) noexcept {
        const Wire& wire = static_cast<FaultyWire*>(self)->wire_;
        return wire.wait(wire.self, deadline_ns, for_write);
      }};
}

// splitmix64.
uint32_t FaultyWire::next() noexcept {
  random_ += 0x9E3779B97F4A7C15u;
  uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

bool FaultyWire::hit(std::atomic<uint64_t>* count) noexcept {
  if (next() >= limit_) return false;
  count->fetch_add(1, std::memory_order_relaxed);
  return true;
}

ptrdiff_t FaultyWire::read(uint8_t* out, size_t room) noexcept {
  const ptrdiff_t n = wire_.read(wire_.self, out, room);
  if (n <= 0) return n;
  if (hit(&counts.lost_in)) return 0;
  if (hit(&counts.damaged_in)) {
    const uint32_t where = next();
    out[where % static_cast<uint32_t>(n)] ^= static_cast<uint8_t>(1u << (where >> 29));
  }
  return n;
}

ptrdiff_t FaultyWire::write(const uint8_t* data, size_t n) noexcept {
  if (n == 0 || n > kFrameMax) return wire_.write(wire_.self, data, n);
  if (hit(&counts.stalls)) clock_.sleep(clock_.now() + kStallNs);
  if (hit(&counts.lost_out)) return static_cast<ptrdiff_t>(n);
  if (hit(&counts.damaged_out)) {
    uint8_t changed[kFrameMax];
    const uint32_t where = next();
    memcpy(changed, data, n);
    changed[where % n] ^= static_cast<uint8_t>(1u << (where >> 29));
    return wire_.write(wire_.self, changed, n);
  }
  if (hit(&counts.repeated_out)) (void)wire_.write(wire_.self, data, n);
  return wire_.write(wire_.self, data, n);
}

}  // namespace rtu::testing
