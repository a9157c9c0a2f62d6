#include "native/runtime/safety/seat.h"

#include <string.h>

#include <cmath>

namespace rtu::runtime::safety {

// A sequence lock whose data are atomics; the reader never repeats, it keeps its last whole copy.
void Seat::post(Hands hands, const float* u, int m, int64_t until_ns) noexcept {
  for (int k = 0; k < m && hands == Hands::kOn; ++k)
    if (!std::isfinite(u[k])) hands = Hands::kSilent;
  const uint32_t number = number_.load(std::memory_order_relaxed);
  number_.store(number + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  hands_.store(static_cast<uint32_t>(hands), std::memory_order_relaxed);
  until_ns_.store(until_ns, std::memory_order_relaxed);
  for (int k = 0; k < m && hands == Hands::kOn; ++k) u_[k].store(u[k], std::memory_order_relaxed);
  number_.store(number + 2, std::memory_order_release);
}

Hands Seat::read(int64_t now_ns, float* u, int m) noexcept {
  float found[kMaxActuators];
  const uint32_t number = number_.load(std::memory_order_acquire);
  const auto hands = static_cast<Hands>(hands_.load(std::memory_order_relaxed));
  const int64_t until_ns = until_ns_.load(std::memory_order_relaxed);
  for (int k = 0; k < m; ++k) found[k] = u_[k].load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (number % 2 == 0 && number == number_.load(std::memory_order_relaxed)) {
    kept_ = hands;
    kept_until_ns_ = until_ns;
    memcpy(kept_u_, found, sizeof(float) * static_cast<size_t>(m));
  }
  if (now_ns >= kept_until_ns_) return Hands::kSilent;
  if (kept_ == Hands::kOn) memcpy(u, kept_u_, sizeof(float) * static_cast<size_t>(m));
  return kept_;
}

}  // namespace rtu::runtime::safety
