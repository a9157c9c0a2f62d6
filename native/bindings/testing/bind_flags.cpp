// Numbers of flags and enumerations; tests compare the copies in Python with them.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "native/learners/learner_monitor.h"
#include "native/runtime/loop/replay.h"
#include "native/runtime/loop/stop.h"
#include "native/runtime/record/telemetry.h"
#include "native/runtime/safety/command_limiter.h"
#include "native/runtime/safety/sensor_monitor.h"
#include "native/runtime/safety/supervisor.h"

namespace py = pybind11;

namespace rtu::testing {

using namespace runtime;
using namespace runtime::loop;
using namespace runtime::record;
using namespace runtime::safety;

namespace {

py::dict record_flags() {
  return py::dict(py::arg("FIRST") = +kRecordFirst, py::arg("TERMINATED") = +kRecordTerminated,
                  py::arg("TRUNCATED") = +kRecordTruncated, py::arg("ACTED") = +kRecordActed,
                  py::arg("LEARNED") = +kRecordLearned, py::arg("OVERRIDDEN") = +kRecordOverridden,
                  py::arg("PREDICT_FAILED") = +kRecordPredictFailed, py::arg("UPDATE_FAILED") = +kRecordUpdateFailed,
                  py::arg("REWARD_REFUSED") = +kRecordRewardRefused, py::arg("RECONNECTED") = +kRecordReconnected,
                  py::arg("CHECK") = +kRecordCheck, py::arg("HOMING") = +kRecordHoming,
                  py::arg("PERSON") = +kRecordPerson, py::arg("SILENT") = +kRecordSilent);
}

py::dict call_flags() {
  return py::dict(py::arg("BEGIN") = +kCallBegin, py::arg("PREDICT") = +kCallPredict,
                  py::arg("EXPLORE") = +kCallExplore, py::arg("LEARN") = +kCallLearn,
                  py::arg("APPLIED") = +kCallApplied, py::arg("WEIGHTS") = +kCallWeights,
                  py::arg("CONTINUED") = +kCallContinued, py::arg("LIMITER") = +kCallLimiter);
}

py::dict limiter_flags() {
  return py::dict(py::arg("NON_FINITE") = +kLimiterNonFinite, py::arg("RANGE") = +kLimiterRange,
                  py::arg("SLEW") = +kLimiterSlew, py::arg("HELD") = +kLimiterHeld,
                  py::arg("CLIPPED") = +kLimiterClipped, py::arg("ACCEL") = +kLimiterAccel);
}

std::vector<std::string> stop_reasons() {
  std::vector<std::string> names;
#define X(name, text) names.emplace_back(text);
  RTU_RUNTIME_STOP_REASONS(X)
#undef X
  return names;
}

py::dict sensor_flags() {
  return py::dict(py::arg("NON_FINITE") = +kSensorNonFinite, py::arg("DROPOUT") = +kSensorDropout,
                  py::arg("RANGE") = +kSensorRange, py::arg("SPIKE") = +kSensorSpike, py::arg("STUCK") = +kSensorStuck,
                  py::arg("HELD") = +kSensorHeld, py::arg("CLAMPED") = +kSensorClamped,
                  py::arg("FALLBACK") = +kSensorFallback, py::arg("STOP") = +kSensorStop,
                  py::arg("REWARD") = +kSensorReward);
}

py::dict drivers() {
  return py::dict(py::arg("LEARNER") = static_cast<int>(Driver::kLearner),
                  py::arg("FALLBACK") = static_cast<int>(Driver::kFallback),
                  py::arg("BOTH") = static_cast<int>(Driver::kBoth),
                  py::arg("PERSON") = static_cast<int>(Driver::kPerson));
}

py::dict causes() {
  return py::dict(
      py::arg("NONE") = static_cast<int>(Cause::kNone), py::arg("MODE") = static_cast<int>(Cause::kMode),
      py::arg("SENSOR") = static_cast<int>(Cause::kInput), py::arg("LEARNER") = static_cast<int>(Cause::kLearner),
      py::arg("MONITOR") = static_cast<int>(Cause::kGuard), py::arg("DWELL") = static_cast<int>(Cause::kDwell),
      py::arg("LOCKED") = static_cast<int>(Cause::kLocked), py::arg("FROZEN") = static_cast<int>(Cause::kFrozen),
      py::arg("FAILED") = static_cast<int>(Cause::kFailed), py::arg("PERSON") = static_cast<int>(Cause::kPerson),
      py::arg("SILENT") = static_cast<int>(Cause::kSilent));
}

py::dict monitor_flags() {
  using namespace learners;
  return py::dict(py::arg("NON_FINITE") = +kTriggerNonFinite, py::arg("WEIGHTS") = +kTriggerWeights,
                  py::arg("TD_ERROR") = +kTriggerTdError, py::arg("SATURATED") = +kTriggerSaturated,
                  py::arg("RETENTION") = +kTriggerRetention, py::arg("FALLBACK_RATE") = +kTriggerFallbackRate,
                  py::arg("FAILED") = +kTriggerFailed, py::arg("NORMALIZER") = +kTriggerNormalizer,
                  py::arg("ROLLED_BACK") = +kMonitorRolledBack, py::arg("FROZEN") = +kMonitorFrozen,
                  py::arg("SNAPSHOT") = +kMonitorSnapshot, py::arg("SNAPSHOT_REFUSED") = +kMonitorSnapshotRefused,
                  py::arg("VALIDATED") = +kMonitorValidated);
}

py::dict difference_flags() {
  return py::dict(py::arg("COMMAND") = +kDiffersCommand, py::arg("HASH") = +kDiffersHash,
                  py::arg("ESTIMATE") = +kDiffersEstimate, py::arg("CALL") = +kDiffersCall,
                  py::arg("DECISION") = +kDiffersDecision);
}

}  // namespace

void bind_flags(py::module_& m) {
  m.def("record_flags", &record_flags);
  m.def("call_flags", &call_flags);
  m.def("limiter_flags", &limiter_flags);
  m.def("stop_reasons", &stop_reasons);
  m.def("sensor_flags", &sensor_flags);
  m.def("drivers", &drivers);
  m.def("causes", &causes);
  m.def("monitor_flags", &monitor_flags);
  m.def("difference_flags", &difference_flags);
}

}  // namespace rtu::testing
