// A copy of the learner state and of the supervisor's state, passed from the loop's thread to the thread that saves it.
// Requested by a flag, taken between two steps, then released: one buffer, one atomic, no waiting.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <memory>

#include "native/runtime/policy.h"

namespace rtu::runtime::record {

constexpr int kTargetWindowMax = 1024;

// Progress of a session: with the learner state, all that another session needs to resume.
struct Progress {
  uint64_t steps = 0;     // of this session
  uint64_t episodes = 0;  // finished in this session
  uint32_t next_episode = 1;
  uint32_t episode_steps = 0;  // of the current episode; 0 at its end
  double seconds = 0;          // from ARM on
  int returns = 0;
  double last_returns[kTargetWindowMax];  // oldest first, `returns` of them: compared with target_return
};

class Snapshot {
 public:
  // Allocates and touches all memory; 0 bytes: there is nothing to copy, and requests have no effect.
  Snapshot(size_t bytes, size_t extra)
      : size_(bytes), extra_size_(bytes > 0 ? extra : 0), bytes_(bytes > 0 ? new uint8_t[bytes + extra]() : nullptr) {}

  size_t size() const noexcept { return size_; }
  size_t extra_size() const noexcept { return extra_size_; }

  // For the saving thread. After ask(), ready() turns true once the loop has made the copy; bytes() and progress() then
  // do not change until release().
  void ask() noexcept {
    Phase idle = Phase::kIdle;
    if (size_ > 0) phase_.compare_exchange_strong(idle, Phase::kAsked, std::memory_order_acq_rel);
  }
  bool ready() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::kReady; }
  const uint8_t* bytes() const noexcept { return bytes_.get(); }
  const uint8_t* extra() const noexcept { return bytes_.get() + size_; }
  const Progress& progress() const noexcept { return progress_; }
  int64_t copy_ns() const noexcept { return copy_ns_; }
  void release() noexcept {
    if (ready()) phase_.store(Phase::kIdle, std::memory_order_release);
  }

  // For the loop: when asked(), copy, fill in progress, then hand over.
  bool asked() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::kAsked; }
  Progress& copy(const Policy& policy) noexcept {
    memcpy(bytes_.get(), policy.state, size_);
    if (policy.copy_extra != nullptr) policy.copy_extra(policy.self, bytes_.get() + size_, full_ ? 1 : 0);
    full_ = false;
    return progress_;
  }
  void hand_over(int64_t copy_ns) noexcept {
    copy_ns_ = copy_ns;
    phase_.store(Phase::kReady, std::memory_order_release);
  }

 private:
  enum class Phase : uint32_t { kIdle, kAsked, kReady };

  size_t size_;
  size_t extra_size_;
  std::unique_ptr<uint8_t[]> bytes_;
  bool full_ = true;  // nothing has been copied yet
  Progress progress_;
  int64_t copy_ns_ = 0;
  std::atomic<Phase> phase_{Phase::kIdle};
};

}  // namespace rtu::runtime::record
