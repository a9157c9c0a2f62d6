#include "native/runtime/telemetry.h"

namespace rtu::runtime {

const char* stop_reason_name(StopReason reason) noexcept {
  switch (reason) {
#define X(name, text)      \
  case StopReason::k##name: \
    return text;
    RTU_RUNTIME_STOP_REASONS(X)
#undef X
  }
  return "?";
}

}  // namespace rtu::runtime
