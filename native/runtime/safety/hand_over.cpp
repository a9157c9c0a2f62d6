#include "native/runtime/safety/hand_over.h"

#include "native/runtime/safety/supervisor.h"

namespace rtu::runtime::safety {

void fill_foreign(float* applied) noexcept {
  for (int k = 0; k < kMaxActuators; ++k) applied[k] = kForeign;
}

bool fallback_drives(const Policy& policy) noexcept {
  const StepInfo* info = policy.info != nullptr ? policy.info(policy.self) : nullptr;
  return info != nullptr && driver_of(info->mode) == Driver::kFallback;
}

void HandOver::begin() noexcept {
  left_ = 0;
  from_person_ = foreign_ = false;
}

void HandOver::step(Hands hands, bool fallback, const float* last, float* u) noexcept {
  if (hands == Hands::kOn) {
    left_ = 0;
    returning_ = from_person_ = foreign_ = true;
    return;
  }
  if (from_person_ || (returning_ && fallback_ && !fallback)) {
    for (int k = 0; k < m_; ++k) offset_[k] = last[k] - u[k];
    left_ = back_steps_;
  } else if (fallback && !fallback_) {
    left_ = 0;  // the learner may not drive any more: the fallback drives at once
  }
  from_person_ = false;
  fallback_ = fallback;
  if (left_ > 0) --left_;
  foreign_ = left_ > 0;
  if (!foreign_) {
    returning_ = returning_ && fallback;
    return;
  }
  const float share = static_cast<float>(left_) / static_cast<float>(back_steps_);
  for (int k = 0; k < m_; ++k) u[k] += share * offset_[k];
}

}  // namespace rtu::runtime::safety
