// TDPredictor, OnlineRegressor: learners for signals.
#include <optional>

#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/signal.h"

namespace rtu::bindings {

namespace {

using core::Status;
using learners::Phase;

class Predictor : public Signal {
 public:
  virtual double step(const py::object& x, const py::object& cumulant) = 0;
  virtual py::object run(const py::object& x, const py::object& cumulants) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x) = 0;
};

template <class T>
class PredictorOf final : public SignalOf<Predictor, learners::TdPredictor<T>> {
  typedef SignalOf<Predictor, learners::TdPredictor<T>> Shared;
  using Shared::learner_;
  using typename Shared::Call;
  using typename Shared::Released;

 public:
  PredictorOf(const learners::TdConfig& config, uint64_t seed) {
    this->template create<T>([&](core::Builder& arena) { return learners::make_td<T>(arena, config); });
    learners::init(learner_, seed);
  }

  double step(const py::object& x, const py::object& cumulant) override {
    const double c = signal_of("cumulant", cumulant);
    const Numbers<T> input(x, {learner_.config.observation_size}, "x");
    T value = 0;
    {
      const Call call(*this);
      check(learners::step(learner_, input.data(), c, &value), "step");
      this->watch();
    }
    this->reported.report();
    return static_cast<double>(value);
  }

  py::object run(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {kAny, learner_.config.observation_size}, "x");
    const py::ssize_t k = input.rows();
    const Numbers<double> c(cumulants, {k}, "cumulants", static_cast<double>(FLT_MAX));
    py::array_t<T> out(k);
    T* values = out.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i) {
        status = learners::step(learner_, input.data() + i * learner_.config.observation_size, c.data()[i], values + i);
        this->watch();
      }
    }
    this->reported.report();
    check(status, "run");
    return out;
  }

  py::dict bind(const py::object& self, const py::object& x) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", learner_.config.observation_size, false);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

 private:
  struct Bound {
    PredictorOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x;

    static PyObject* step(PyObject* self, PyObject* const* arguments, Py_ssize_t n, PyObject* keywords) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      PyObject* given[1];
      double cumulant = 0;
      if (!take_arguments("step_bound", {"cumulant"}, 1, arguments, n, keywords, given) ||
          !take_signal("cumulant", given[0], &cumulant))
        return nullptr;
      T value = 0;
      Status status;
      {
        const Occupied occupied(&bound.model->occupancy(), User::kCall);
        if (const char* problem = occupied.problem()) return raise_runtime(problem);
        const DenormalsFlushed flushed;
        status = learners::step(bound.model->learner_, bound.x.data(), cumulant, &value);
        bound.model->watch();
      }
      if (status == Status::kOk) return bound.model->reported.number_or_error(static_cast<double>(value));
      return raise_for(status, "step_bound", "x", bound.x.data(), bound.model->learner_.config.observation_size);
    }

    static inline PyMethodDef definition =
        fast_method("step_bound", &Bound::step,
                    "step_bound(cumulant)\n--\n\nLearns from the transition into the bound x; returns v(x).");
  };
};

class RegressorModel : public Signal {
 public:
  virtual py::object predict(const py::object& x) = 0;
  virtual double update(const py::object& target) = 0;
  virtual py::tuple run(const py::object& x, const py::object& targets) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x, const py::object& prediction,
                        const py::object& target) = 0;
};

constexpr const char* kUpdateIsDue = "predict() twice: update() comes between two predictions";

template <class T>
class RegressorOf final : public SignalOf<RegressorModel, learners::Regressor<T>> {
  typedef SignalOf<RegressorModel, learners::Regressor<T>> Shared;
  using Shared::learner_;
  using typename Shared::Call;
  using typename Shared::Released;

 public:
  RegressorOf(const learners::RegressorConfig& config, uint64_t seed) {
    this->template create<T>([&](core::Builder& arena) { return learners::make_regressor<T>(arena, config); });
    learners::init(learner_, seed);
  }

  py::object predict(const py::object& x) override {
    const Numbers<T> input(x, {learner_.config.observation_size}, "x");
    py::array_t<T> y(learner_.config.outputs);
    T* written = y.mutable_data();
    const Call call(*this);
    check_order();
    check(learners::predict(learner_, input.data(), written), "predict");
    return y;
  }

  double update(const py::object& target) override {
    std::optional<Numbers<T>> values;
    if (!target.is_none())
      values.emplace(target, std::initializer_list<py::ssize_t>{learner_.config.outputs}, "target");
    T loss = 0;
    {
      const Call call(*this);
      if (!predicted()) throw std::runtime_error("update() without predict(): a step is predict(), then update()");
      check(learners::update(learner_, values ? values->data() : static_cast<const T*>(nullptr), &loss), "update");
      this->watch();
    }
    this->reported.report();
    return static_cast<double>(loss);
  }

  py::tuple run(const py::object& x, const py::object& targets) override {
    const Numbers<T> input(x, {kAny, learner_.config.observation_size}, "x");
    const py::ssize_t k = input.rows(), outputs = learner_.config.outputs;
    const Numbers<T> wanted(targets, {k, outputs}, "targets");
    py::array_t<T> predictions({k, outputs}), losses(k);
    T *y = predictions.mutable_data(), *loss = losses.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      check_order();
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i)
        status = both(input.data() + i * learner_.config.observation_size, wanted.data() + i * outputs, y + i * outputs,
                      loss + i);
    }
    this->reported.report();
    check(status, "run");
    return py::make_tuple(predictions, losses);
  }

  py::dict bind(const py::object& self, const py::object& x, const py::object& prediction,
                const py::object& target) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", learner_.config.observation_size, false);
    bound->prediction = Buffer<T>(prediction, "prediction_buffer", learner_.config.outputs, true);
    bound->target = Buffer<T>(target, "target_buffer", learner_.config.outputs, false);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

 private:
  struct Bound {
    RegressorOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x, prediction, target;

    static PyObject* step(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      RegressorOf& model = *bound.model;
      const int32_t outputs = model.learner_.config.outputs;
      T loss = 0;
      const char* problem = nullptr;
      bool good_target = false;
      Status status = Status::kOk;
      {
        const Occupied occupied(&model.occupancy(), User::kCall);
        problem = occupied.problem();
        if (problem == nullptr && model.predicted()) problem = kUpdateIsDue;
        good_target = learners::all_finite(bound.target.data(), outputs);
        const DenormalsFlushed flushed;
        if (problem == nullptr && good_target)
          status = model.both(bound.x.data(), bound.target.data(), bound.prediction.data(), &loss);
      }
      if (problem != nullptr) return raise_runtime(problem);
      if (!good_target) return raise_for(Status::kNonFinite, "step_bound", "target", bound.target.data(), outputs);
      if (status == Status::kOk) return model.reported.number_or_error(static_cast<double>(loss));
      return raise_for(status, "step_bound", "x", bound.x.data(), model.learner_.config.observation_size);
    }

    static inline PyMethodDef definition = {"step_bound", &Bound::step, METH_NOARGS,
                                            "step_bound()\n--\n\nPredicts from the bound x, writes the prediction, "
                                            "learns from the bound target; returns the loss."};
  };

  bool predicted() const noexcept {
    return learner_.counters[learners::kPhase] == static_cast<uint64_t>(Phase::kPredicted);
  }
  void check_order() const {
    if (predicted()) throw std::runtime_error(kUpdateIsDue);
  }
  // target has been checked.
  Status both(const T* x, const T* target, T* y, T* loss) noexcept {
    Status status = learners::predict(learner_, x, y);
    if (!core::failed(status)) status = learners::update(learner_, target, loss);
    this->watch();
    return status;
  }
};

}  // namespace

void bind_signal(py::module_& m) {
  signal_class<Predictor, PredictorOf>(m, "TDPredictor", td_configuration)
      .def("step", &Predictor::step, py::arg("x"), py::arg("cumulant"))
      .def("run", &Predictor::run, py::arg("x"), py::arg("cumulants"))
      .def(
          "bind", [](const py::object& self, const py::object& x) { return self.cast<Predictor&>().bind(self, x); },
          py::arg("x_buffer"));
  signal_class<RegressorModel, RegressorOf>(m, "OnlineRegressor", regressor_configuration)
      .def("predict", &RegressorModel::predict, py::arg("x"))
      .def("update", &RegressorModel::update, py::arg("target"))
      .def("run", &RegressorModel::run, py::arg("x"), py::arg("targets"))
      .def(
          "bind",
          [](const py::object& self, const py::object& x, const py::object& prediction, const py::object& target) {
            return self.cast<RegressorModel&>().bind(self, x, prediction, target);
          },
          py::arg("x_buffer"), py::arg("prediction_buffer"), py::arg("target_buffer"));
}

}  // namespace rtu::bindings
