#include "native/runtime/record/status.h"

#include <limits>

namespace rtu::runtime::record {

namespace {
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
}

StatusBoard::StatusBoard() noexcept : mean_return(kNone), mean_reward(kNone), sigma(kNone), entropy(kNone) {}

void StatusBoard::show_observations(const float* x, int n) noexcept {
  for (int i = 0; i < n && i < kMaxObservations; ++i) observations[i].store(x[i], std::memory_order_relaxed);
  observation_size.store(n, std::memory_order_relaxed);
}

const char* stop_reason_name(StopReason reason) noexcept {
  switch (reason) {
#define X(name, text)       \
  case StopReason::k##name: \
    return text;
    RTU_RUNTIME_STOP_REASONS(X)
#undef X
  }
  return "?";
}

}  // namespace rtu::runtime::record
