#include "native/bindings/python/findings.h"

#include <limits>
#include <utility>

namespace rtu::bindings {

using learners::LearnerWindows;

py::dict diagnostics_of(const learners::PolicyConfig& policy, const Newest& newest) {
  using py::arg;
  const LearnerWindows& w = newest.windows;
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto mean = [&](double value) { return w.windows > 0 ? value : kNone; };
  py::dict out(arg("value") = newest.info.value, arg("delta") = newest.info.delta,
               arg("entropy") = newest.spread.entropy, arg("entropy_mean") = mean(w.last.entropy),
               arg("td_error_mean") = mean(w.last.error), arg("td_error_growth") = w.growth > 0 ? w.growth : kNone,
               arg("findings") = w.now);
  if (policy.discrete) return out;
  out["sigma"] = newest.spread.sigma;
  out["clipped"] = newest.clipped;
  out["sigma_mean"] = mean(w.last.sigma);
  out["clipped_mean"] = mean(w.last.clipped);
  return out;
}

py::dict findings_of(const LearnerWindows& windows) {
  py::tuple first(learners::kFindings);
  for (int i = 0; i < learners::kFindings; ++i) first[static_cast<size_t>(i)] = windows.first[i];
  return py::dict(py::arg("now") = windows.now, py::arg("seen") = windows.seen, py::arg("first") = first);
}

void FindingReport::report_now() {
  const uint32_t found = std::exchange(windows.unreported, 0u);
  if (!call.is_none()) call(found);
}

PyObject* FindingReport::none_or_error() noexcept {
  if (windows.unreported != 0) {
    try {
      report_now();
    } catch (py::error_already_set& error) {
      error.restore();
      return nullptr;
    }
  }
  Py_RETURN_NONE;
}

}  // namespace rtu::bindings
