// TDBank: many predictions on one body.
#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"
#include "native/bindings/python/schema.h"

namespace rtu::bindings {

namespace {

using core::Status;

class Bank : public Model {
 public:
  virtual py::object step(const py::object& x, const py::object& cumulants) = 0;
  virtual py::object run(const py::object& x, const py::object& cumulants) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x, const py::object& cumulants,
                        const py::object& values) = 0;
  virtual void begin() = 0;
  virtual learners::StepInfo info() const = 0;
};

template <class T>
class BankOf final : public Bank {
 public:
  BankOf(const py::dict& settings, uint64_t seed) {
    const learners::TdBankConfig config = bank_configuration(settings);
    const std::vector<double> gammas = head_numbers(settings, "gammas"),
                              lambdas = head_numbers(settings, "trace_decay");
    const auto* kernels = kernels_for<T>();
    bank_ = build(static_cast<uint32_t>(kernels->lanes),
                  [&](core::Builder& arena) { return learners::make_bank<T>(arena, config); });
    learners::bind_kernels(bank_.net, kernels);
    learners::init(bank_, seed, gammas.data(), lambdas.data());
  }

  py::object step(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {bank_.config.observation_size}, "x");
    const Numbers<T> c(cumulants, {bank_.config.heads}, "cumulants");
    py::array_t<T> out(bank_.config.heads);
    T* values = out.mutable_data();
    const Call call(*this);
    check(learners::step(bank_, input.data(), c.data(), values), "step");
    return out;
  }

  py::object run(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {kAny, bank_.config.observation_size}, "x");
    const py::ssize_t k = input.rows(), heads = bank_.config.heads;
    const Numbers<T> c(cumulants, {k, heads}, "cumulants");
    py::array_t<T> out({k, heads});
    T* values = out.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i)
        status = learners::step(bank_, input.data() + i * bank_.config.observation_size, c.data() + i * heads,
                                values + i * heads);
    }
    check(status, "run");
    return out;
  }

  py::dict bind(const py::object& self, const py::object& x, const py::object& cumulants,
                const py::object& values) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", bank_.config.observation_size, false);
    bound->cumulants = Buffer<T>(cumulants, "cumulants_buffer", bank_.config.heads, false);
    bound->values = Buffer<T>(values, "values_buffer", bank_.config.heads, true);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

  void begin() override {
    const Call call(*this);
    learners::begin(bank_);
  }
  learners::StepInfo info() const override {
    return within_call([&] { return *bank_.info; });
  }

 protected:
  void apply_pending() noexcept override { learners::flush(bank_.net); }

 private:
  struct Bound {
    BankOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x, cumulants, values;

    static PyObject* step(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      const learners::TdBank<T>& bank = bound.model->bank_;
      Status status;
      {
        const Occupied occupied(&bound.model->occupancy(), User::kCall);
        if (const char* problem = occupied.problem()) return raise_runtime(problem);
        const DenormalsFlushed flushed;
        status = learners::step(bank, static_cast<const T*>(bound.x.data()),
                                static_cast<const T*>(bound.cumulants.data()), bound.values.data());
      }
      if (status == Status::kOk) Py_RETURN_NONE;
      if (learners::all_finite(bound.x.data(), bank.config.observation_size))
        return raise_for(status, "step_bound", "cumulants", bound.cumulants.data(), bank.config.heads);
      return raise_for(status, "step_bound", "x", bound.x.data(), bank.config.observation_size);
    }

    static inline PyMethodDef definition = {
        "step_bound", &Bound::step, METH_NOARGS,
        "step_bound()\n--\n\nLearns from the transition into the bound x; writes the predictions."};
  };

  learners::TdBank<T> bank_;
};

std::unique_ptr<Bank> make(const py::dict& config, const std::string& dtype, uint64_t seed) {
  if (dtype == "float64") return std::make_unique<BankOf<double>>(config, seed);
  return std::make_unique<BankOf<float>>(config, seed);
}

}  // namespace

void bind_bank(py::module_& m) {
  py::class_<Bank, Model>(m, "TDBank")
      .def(py::init(&make), py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("step", &Bank::step, py::arg("x"), py::arg("cumulants"))
      .def("run", &Bank::run, py::arg("x"), py::arg("cumulants"))
      .def(
          "bind",
          [](const py::object& self, const py::object& x, const py::object& cumulants, const py::object& values) {
            return self.cast<Bank&>().bind(self, x, cumulants, values);
          },
          py::arg("x_buffer"), py::arg("cumulants_buffer"), py::arg("values_buffer"))
      .def("begin", &Bank::begin)
      .def_property_readonly("info", [](const Bank& self) { return learner_info(self.info()); });
}

}  // namespace rtu::bindings
