// What the learners for signals share: TDPredictor, TDBank, OnlineRegressor.
#pragma once

#include "native/bindings/python/findings.h"
#include "native/bindings/python/model.h"
#include "native/bindings/python/schema.h"
#include "native/learners/health.h"

namespace rtu::bindings {

class Signal : public Model {
 public:
  virtual void begin() = 0;
  virtual learners::StepInfo info() const = 0;
  py::dict findings() const {
    return findings_of(within_call([&] { return reported.windows; }));
  }

  FindingReport reported;  // of a value that is not finite, the only finding of a learner without a policy
};

// A class derived from Signal, on a native learner of one network.
template <class Base, class Learner>
class SignalOf : public Base {
 public:
  void begin() override {
    const typename Base::Call call(*this);
    learners::begin(learner_);
  }
  learners::StepInfo info() const override {
    return this->within_call([&] { return *learner_.info; });
  }

 protected:
  // make(builder): the learner's layout.
  template <class T, class Make>
  void create(Make make) {
    const kernels::Kernels<T>* kernels = kernels_for<T>();
    learner_ = this->build(static_cast<uint32_t>(kernels->lanes), make);
    learners::bind_kernels(learner_.net, kernels);
  }
  void apply_pending() noexcept override { learners::flush(learner_.net); }

  // After a step, within its call: a quarter of a step's work, so in few of them, and at once where the error is large.
  // Adam's second moments overflow without a trace in the step: its weights just stop.
  void watch() noexcept {
    if (this->reported.windows.seen != 0) return;
    const bool usual = std::fabs(learner_.info->delta) <= kUsualError;
    if (usual && learner_.counters[learners::kSteps] % kWatchSteps != 0) return;
    if (!learners::healthy(learner_.net) || (!usual && !core::finite_saved(*this->table(), this->memory())))
      learners::find(this->reported.windows, learners::kFindingNonFinite, learner_.counters[learners::kSteps]);
  }

  Learner learner_;

 private:
  static constexpr uint64_t kWatchSteps = 64;
  static constexpr float kUsualError = 1e12f;  // times features of 1000 its square is far from a float's largest, 3e38
};

// The Python class: created from a configuration, in either precision.
template <class Base, template <class> class Of, class Config>
py::class_<Base, Model> signal_class(py::module_& m, const char* name, Config (*configuration)(const py::dict&)) {
  py::class_<Base, Model> made(m, name);
  made.def(py::init([configuration](const py::dict& config, const std::string& dtype,
                                    uint64_t seed) -> std::unique_ptr<Base> {
             if (dtype == "float64") return std::make_unique<Of<double>>(configuration(config), seed);
             return std::make_unique<Of<float>>(configuration(config), seed);
           }),
           py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("begin", &Base::begin)
      .def_property_readonly("info", [](const Base& self) { return learner_info(self.info()); })
      .def_property_readonly("findings", &Base::findings)
      .def("on_finding", [](Base& self, const py::object& call) { self.reported.call = call; });
  return made;
}

}  // namespace rtu::bindings
