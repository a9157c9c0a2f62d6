// Result codes of everything below the waterline. Negative means: nothing changed, the outputs are as they were.
#pragma once

#include <stdint.h>

namespace rtu::core {

enum class Status : int32_t {
  ok = 0,
  non_finite = -1,    // an observation, reward or action is NaN or infinite
  order = -2,         // a call out of order, such as update() without predict()
  bad_argument = -3,  // a size, range or choice outside what the configuration allows
  too_many = -4,      // more sections than a layout can hold
  bad_magic = -5,     // not a checkpoint
  bad_version = -6,   // a checkpoint of a version that this build does not know
  bad_layout = -7,    // a checkpoint of another configuration
  bad_size = -8,      // a checkpoint that is cut short or too long
  bad_crc = -9,       // a checkpoint with damaged bytes
  bad_value = -10,    // a checkpoint whose values can't be: NaN weights, an unknown flag
};

constexpr bool failed(Status status) { return status != Status::ok; }

}  // namespace rtu::core
