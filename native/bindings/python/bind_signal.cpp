// TDPredictor, OnlineRegressor: learners for signals.
#include <optional>

#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"
#include "native/bindings/python/schema.h"

namespace rtu::bindings {

namespace {

using core::Status;
using learners::Phase;

class Signal : public Model {
 public:
  virtual void begin() = 0;
  virtual learners::StepInfo info() const = 0;
};

class Predictor : public Signal {
 public:
  virtual double step(const py::object& x, const py::object& cumulant) = 0;
  virtual py::object run(const py::object& x, const py::object& cumulants) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x) = 0;
};

template <class T>
class PredictorOf final : public Predictor {
 public:
  PredictorOf(const learners::TdConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    td_ = build(static_cast<uint32_t>(kernels->lanes),
                [&](core::Builder& arena) { return learners::make_td<T>(arena, config); });
    learners::bind_kernels(td_.net, kernels);
    learners::init(td_, seed);
  }

  double step(const py::object& x, const py::object& cumulant) override {
    const double c = signal_of("cumulant", cumulant);
    const Numbers<T> input(x, {td_.config.observation_size}, "x");
    T value = 0;
    const Call call(*this);
    check(learners::step(td_, input.data(), c, &value), "step");
    return static_cast<double>(value);
  }

  py::object run(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {kAny, td_.config.observation_size}, "x");
    const py::ssize_t k = input.rows();
    const Numbers<double> c(cumulants, {k}, "cumulants", static_cast<double>(FLT_MAX));
    py::array_t<T> out(k);
    T* values = out.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i)
        status = learners::step(td_, input.data() + i * td_.config.observation_size, c.data()[i], values + i);
    }
    check(status, "run");
    return out;
  }

  py::dict bind(const py::object& self, const py::object& x) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", td_.config.observation_size, false);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

  void begin() override {
    const Call call(*this);
    learners::begin(td_);
  }
  learners::StepInfo info() const override {
    return within_call([&] { return *td_.info; });
  }

 protected:
  void apply_pending() noexcept override { learners::flush(td_.net); }

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
        status = learners::step(bound.model->td_, bound.x.data(), cumulant, &value);
      }
      if (status == Status::kOk) return PyFloat_FromDouble(static_cast<double>(value));
      return raise_for(status, "step_bound", "x", bound.x.data(), bound.model->td_.config.observation_size);
    }

    static inline PyMethodDef definition =
        fast_method("step_bound", &Bound::step,
                    "step_bound(cumulant)\n--\n\nLearns from the transition into the bound x; returns v(x).");
  };

  learners::TdPredictor<T> td_;
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
class RegressorOf final : public RegressorModel {
 public:
  RegressorOf(const learners::RegressorConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    model_ = build(static_cast<uint32_t>(kernels->lanes),
                   [&](core::Builder& arena) { return learners::make_regressor<T>(arena, config); });
    learners::bind_kernels(model_.net, kernels);
    learners::init(model_, seed);
  }

  py::object predict(const py::object& x) override {
    const Numbers<T> input(x, {model_.config.observation_size}, "x");
    py::array_t<T> y(model_.config.outputs);
    T* written = y.mutable_data();
    const Call call(*this);
    check_order();
    check(learners::predict(model_, input.data(), written), "predict");
    return y;
  }

  double update(const py::object& target) override {
    std::optional<Numbers<T>> values;
    if (!target.is_none()) values.emplace(target, std::initializer_list<py::ssize_t>{model_.config.outputs}, "target");
    T loss = 0;
    const Call call(*this);
    if (!predicted()) throw std::runtime_error("update() without predict(): a step is predict(), then update()");
    check(learners::update(model_, values ? values->data() : static_cast<const T*>(nullptr), &loss), "update");
    return static_cast<double>(loss);
  }

  py::tuple run(const py::object& x, const py::object& targets) override {
    const Numbers<T> input(x, {kAny, model_.config.observation_size}, "x");
    const py::ssize_t k = input.rows(), outputs = model_.config.outputs;
    const Numbers<T> wanted(targets, {k, outputs}, "targets");
    py::array_t<T> predictions({k, outputs}), losses(k);
    T *y = predictions.mutable_data(), *loss = losses.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      check_order();
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i)
        status = both(input.data() + i * model_.config.observation_size, wanted.data() + i * outputs, y + i * outputs,
                      loss + i);
    }
    check(status, "run");
    return py::make_tuple(predictions, losses);
  }

  py::dict bind(const py::object& self, const py::object& x, const py::object& prediction,
                const py::object& target) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", model_.config.observation_size, false);
    bound->prediction = Buffer<T>(prediction, "prediction_buffer", model_.config.outputs, true);
    bound->target = Buffer<T>(target, "target_buffer", model_.config.outputs, false);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

  void begin() override {
    const Call call(*this);
    learners::begin(model_);
  }
  learners::StepInfo info() const override {
    return within_call([&] { return *model_.info; });
  }

 protected:
  void apply_pending() noexcept override { learners::flush(model_.net); }

 private:
  struct Bound {
    RegressorOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x, prediction, target;

    static PyObject* step(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      RegressorOf& model = *bound.model;
      const int32_t outputs = model.model_.config.outputs;
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
      if (status == Status::kOk) return PyFloat_FromDouble(static_cast<double>(loss));
      return raise_for(status, "step_bound", "x", bound.x.data(), model.model_.config.observation_size);
    }

    static inline PyMethodDef definition = {"step_bound", &Bound::step, METH_NOARGS,
                                            "step_bound()\n--\n\nPredicts from the bound x, writes the prediction, "
                                            "learns from the bound target; returns the loss."};
  };

  bool predicted() const noexcept {
    return model_.counters[learners::kPhase] == static_cast<uint64_t>(Phase::kPredicted);
  }
  void check_order() const {
    if (predicted()) throw std::runtime_error(kUpdateIsDue);
  }
  // target has been checked.
  Status both(const T* x, const T* target, T* y, T* loss) noexcept {
    const Status status = learners::predict(model_, x, y);
    return core::failed(status) ? status : learners::update(model_, target, loss);
  }

  learners::Regressor<T> model_;
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
      .def_property_readonly("info", [](const Base& self) { return learner_info(self.info()); });
  return made;
}

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
