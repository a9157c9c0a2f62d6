// The user of a learner. Its state has no lock: one call, one run() or one loop at a time.
#pragma once

#include <stdint.h>

#include <atomic>
#include <thread>

namespace rtu::runtime {

enum class User : uint8_t {
  kNone = 0,
  kCall,  // a step, a copy: bounded, calls neither Python nor anything that waits
  kRun,   // many steps, or one that may call Python
  kLoop,  // from the start of a loop to its end
};

class Occupancy {
 public:
  // Waits while a call is under way (only without the interpreter lock can there be one), so never call it from
  // inside a call. kNone: entered. Otherwise the user that keeps it: kRun or kLoop.
  User enter(User as) noexcept {
    for (;;) {
      User found = User::kNone;
      if (user_.compare_exchange_strong(found, as, std::memory_order_acquire, std::memory_order_relaxed))
        return User::kNone;
      if (found != User::kCall) return found;
      std::this_thread::yield();
    }
  }
  void leave() noexcept { user_.store(User::kNone, std::memory_order_release); }
  User user() const noexcept { return user_.load(std::memory_order_relaxed); }

 private:
  std::atomic<User> user_{User::kNone};
};

// The scope of a user. Null: nothing to enter.
class Occupied {
 public:
  Occupied(Occupancy* of, User as) noexcept : of_(of), refused_by_(of == nullptr ? User::kNone : of->enter(as)) {}
  ~Occupied() {
    if (of_ != nullptr && refused_by_ == User::kNone) of_->leave();
  }
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;

  // Null, or why this user may not work.
  const char* problem() const noexcept { return problem_of(refused_by_); }
  static const char* problem_of(User refused_by) noexcept {
    if (refused_by == User::kNone) return nullptr;
    return refused_by == User::kLoop
               ? "a loop drives this learner in another thread: wait for its end, or ask the loop for a snapshot"
               : "run() or learn() of this learner is under way in another thread";
  }

 private:
  Occupancy* of_;
  User refused_by_;
};

}  // namespace rtu::runtime
