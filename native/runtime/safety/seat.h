// The newest report of a person's source, from the thread that asks it to the loop's thread. Neither waits.
#pragma once

#include <stdint.h>

#include <atomic>

#include "native/runtime/safety/hand_over.h"

namespace rtu::runtime::safety {

class Seat {
 public:
  // By one thread. u (m,) with Hands::kOn; a value that is not finite makes it kSilent. It holds until until_ns.
  void post(Hands hands, const float* u, int m, int64_t until_ns) noexcept;
  // By one thread. u (m,) is written with Hands::kOn only. kSilent: nothing was posted yet, or its time is over.
  Hands read(int64_t now_ns, float* u, int m) noexcept;

 private:
  std::atomic<uint32_t> number_{0};  // odd while a report is being written
  std::atomic<uint32_t> hands_{static_cast<uint32_t>(Hands::kSilent)};
  std::atomic<int64_t> until_ns_{0};
  std::atomic<float> u_[kMaxActuators] = {};
  // The reader's copy, for a report that is being written.
  Hands kept_ = Hands::kSilent;
  int64_t kept_until_ns_ = 0;
  float kept_u_[kMaxActuators] = {};
};

}  // namespace rtu::runtime::safety
