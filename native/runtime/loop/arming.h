// Checks before ARM: the observation is finite and inside its limits and the start region, and no check of an earlier
// session has failed.
#pragma once

#include "native/runtime/loop/context.h"

namespace rtu::runtime::loop {

// Waits for the next STATE of the device, which is not armed. False: the stop has the reason.
bool ready_to_arm(Context& run) noexcept;

}  // namespace rtu::runtime::loop
