// A person in place of the controller, and the way back without a jump of the command.
#pragma once

#include <stdint.h>

#include "native/runtime/policy.h"

namespace rtu::runtime::safety {

// What the person's source reports in a step.
enum class Hands : uint32_t {
  kOff = 0,  // the supervisor decides who drives
  kOn,       // the person drives
  kSilent,   // it has not reported in time, or a value that is not finite: the fallback drives
};

// In place of an applied action where a person had a part in it: one that no policy can choose, so that only the critic
// learns, also where the person did what the policy had chosen.
constexpr float kForeign = -1e6f;

// applied (kMaxActuators,), of such a step.
void fill_foreign(float* applied) noexcept;

// Of the last predict() of a supervisor.
bool fallback_drives(const Policy& policy) noexcept;

// The commands of a loop with a take-over source. The loop and its replay share it, so both compute the same bits.
//
// Where the person lets go, the difference between the last command and the controller's is added to the controller's,
// and falls to 0 in equal parts over back_steps. So the first command of the controller differs from the person's last
// by 1 / back_steps of that difference, and feedback acts with its full gain. The same where the fallback, after its
// dwell, hands back to the learner.
class HandOver {
 public:
  HandOver(int m, uint32_t back_steps) noexcept : m_(m), back_steps_(back_steps) {}

  // An episode begins: nothing remains of the command before it.
  void begin() noexcept;
  // u (m,): in, the controller's command, or the person's where hands are on; out, the command for the limiter. last
  // (m,): the command before. fallback: it drives, as far as the person does not.
  void step(Hands hands, bool fallback, const float* last, float* u) noexcept;
  // A person had a part in the command of the last step().
  bool foreign() const noexcept { return foreign_; }

 private:
  int m_;
  uint32_t back_steps_;
  uint32_t left_ = 0;         // steps with a share of offset_
  bool returning_ = false;    // a person has driven, and the learner does not drive alone yet
  bool from_person_ = false;  // in the last step
  bool fallback_ = false;     // the fallback drove in the last step
  bool foreign_ = false;
  float offset_[kMaxActuators] = {};
};

}  // namespace rtu::runtime::safety
