// Result codes of all code without exceptions. Negative: nothing changed, the outputs are unchanged.
#pragma once

#include <stdint.h>

namespace rtu::core {

enum class Status : int32_t {
  kOk = 0,
  kNonFinite = -1,    // an observation, reward or action is NaN or infinite
  kOrder = -2,        // a call out of order, such as update() without predict()
  kBadArgument = -3,  // a size, range or choice outside what the configuration allows
  kTooMany = -4,      // more sections than a layout can hold
  kBadMagic = -5,     // not a checkpoint
  kBadVersion = -6,   // a checkpoint of a format version that this build does not support
  kBadLayout = -7,    // a checkpoint of another configuration
  kBadSize = -8,      // a checkpoint that is cut short or too long
  kBadCrc = -9,       // a checkpoint with damaged bytes
  kBadValue = -10,    // a checkpoint with invalid values: NaN weights, an unknown flag
};

constexpr bool failed(Status status) { return status != Status::kOk; }

}  // namespace rtu::core
