// Options of a session from Python, and the words for a refusal.
#include "native/bindings/python/loop_options.h"

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "native/bindings/python/link.h"
#include "native/bindings/python/policy.h"
#include "native/bindings/python/schema.h"

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::loop;

namespace {

TickSource tick_source(const std::string& name) {
  if (name == "device") return TickSource::kDevice;
  if (name == "host") return TickSource::kHost;
  if (name == "lockstep") return TickSource::kLockstep;
  throw py::value_error("clock: '" + name + "', allowed: 'device', 'host', 'lockstep'");
}

}  // namespace

LoopOptions session_options(const py::dict& d, const tl_hello& hello) {
  LoopOptions o;
  o.tick = tick_source(d["clock"].cast<std::string>());
  o.session = d["session"].cast<uint32_t>();
  o.limit_commands = d["command_limiter"].cast<bool>();
  o.ttl_ms = d["ttl_ms"].cast<uint32_t>();
  o.retry_ns = to_ns(d["retry_ms"].cast<double>() * 1e-3);
  o.retries = d["retries"].cast<int>();
  o.reset_timeout_ns = to_ns(d["reset_timeout_s"].cast<double>());
  const auto hold = d["hold"].cast<std::vector<bool>>();
  for (size_t i = 0; i < hold.size() && i < kMaxActuators; ++i) o.hold[i] = hold[i];
  const auto safe = d["safe"].cast<std::vector<float>>();
  for (size_t i = 0; i < safe.size() && i < kMaxActuators; ++i) o.safe[i] = safe[i];
  limits_of(d["limits"], period_s(hello), o.limits);
  plant_options(d, &o);
  return o;
}

const char* status_text(uint8_t status) {
  static const char* const kTexts[] = {
      "ok",
      "invalid",
      "not in this state",
      "emergency stop is latched: `rtu-edge clear` unlatches it, once the machine may move again",
      "busy: a session holds the device",
      "session number already used",
      "unsupported",
      "not a newer episode",
      "mode",
      "sequence",
      "stale",
      "value",
      "an observation is outside a limit of its data sheet: `rtu-edge monitor` shows it"};
  return status < sizeof kTexts / sizeof kTexts[0] ? kTexts[status] : "unknown status";
}

}  // namespace rtu::bindings
