// TDBank: many predictions on one body.
#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/signal.h"

namespace rtu::bindings {

namespace {

using core::Status;

struct BankSettings {
  learners::TdBankConfig config;
  std::vector<double> gammas, lambdas;
};

BankSettings bank_settings(const py::dict& d) {
  return {bank_configuration(d), head_numbers(d, "gammas"), head_numbers(d, "trace_decay")};
}

class Bank : public Signal {
 public:
  virtual py::object step(const py::object& x, const py::object& cumulants) = 0;
  virtual py::object run(const py::object& x, const py::object& cumulants) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x, const py::object& cumulants,
                        const py::object& values) = 0;
};

template <class T>
class BankOf final : public SignalOf<Bank, learners::TdBank<T>> {
  typedef SignalOf<Bank, learners::TdBank<T>> Shared;
  using Shared::learner_;
  using typename Shared::Call;
  using typename Shared::Released;

 public:
  BankOf(const BankSettings& settings, uint64_t seed) {
    this->template create<T>([&](core::Builder& arena) { return learners::make_bank<T>(arena, settings.config); });
    learners::init(learner_, seed, settings.gammas.data(), settings.lambdas.data());
  }

  py::object step(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {learner_.config.observation_size}, "x");
    const Numbers<T> c(cumulants, {learner_.config.heads}, "cumulants");
    check_sizes(c, learner_.config.heads);
    py::array_t<T> out(learner_.config.heads);
    T* values = out.mutable_data();
    {
      const Call call(*this);
      check(learners::step(learner_, input.data(), c.data(), values), "step");
      this->watch();
    }
    this->reported.report();
    return out;
  }

  py::object run(const py::object& x, const py::object& cumulants) override {
    const Numbers<T> input(x, {kAny, learner_.config.observation_size}, "x");
    const py::ssize_t k = input.rows(), heads = learner_.config.heads;
    const Numbers<T> c(cumulants, {k, heads}, "cumulants");
    check_sizes(c, k * heads);
    py::array_t<T> out({k, heads});
    T* values = out.mutable_data();
    Status status = Status::kOk;
    {
      const Released released(*this);
      for (py::ssize_t i = 0; i < k && status == Status::kOk; ++i) {
        status = learners::step(learner_, input.data() + i * learner_.config.observation_size, c.data() + i * heads,
                                values + i * heads);
        this->watch();
      }
    }
    this->reported.report();
    check(status, "run");
    return out;
  }

  py::dict bind(const py::object& self, const py::object& x, const py::object& cumulants,
                const py::object& values) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", learner_.config.observation_size, false);
    bound->cumulants = Buffer<T>(cumulants, "cumulants_buffer", learner_.config.heads, false);
    bound->values = Buffer<T>(values, "values_buffer", learner_.config.heads, true);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

 private:
  // Sums over a horizon and over the weights of larger ones would leave the range of a float.
  static constexpr double kMaxCumulant = static_cast<double>(1e30f);  // the nearest float is a little larger
  static constexpr const char* kExpected = "a number from -1e30 to 1e30";

  static bool fits(T cumulant) noexcept { return std::fabs(static_cast<double>(cumulant)) <= kMaxCumulant; }

  static void check_sizes(const Numbers<T>& cumulants, py::ssize_t n) {
    for (py::ssize_t i = 0; i < n; ++i)
      if (!fits(cumulants.data()[i])) cumulants.refuse_element(i, "cumulants", kExpected);
  }

  struct Bound {
    BankOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x, cumulants, values;

    static PyObject* step(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      const learners::TdBank<T>& bank = bound.model->learner_;
      Status status;
      {
        const Occupied occupied(&bound.model->occupancy(), User::kCall);
        if (const char* problem = occupied.problem()) return raise_runtime(problem);
        const DenormalsFlushed flushed;
        for (int32_t i = 0; i < bank.config.heads; ++i)
          if (!fits(bound.cumulants.data()[i]) && std::isfinite(bound.cumulants.data()[i])) return too_large(bound, i);
        status = learners::step(bank, static_cast<const T*>(bound.x.data()),
                                static_cast<const T*>(bound.cumulants.data()), bound.values.data());
        bound.model->watch();
      }
      if (status == Status::kOk) return bound.model->reported.none_or_error();
      if (learners::all_finite(bound.x.data(), bank.config.observation_size))
        return raise_for(status, "step_bound", "cumulants", bound.cumulants.data(), bank.config.heads);
      return raise_for(status, "step_bound", "x", bound.x.data(), bank.config.observation_size);
    }

    static PyObject* too_large(const Bound& bound, int32_t i) noexcept {
      char text[32];
      PyOS_snprintf(text, sizeof text, "%g", static_cast<double>(bound.cumulants.data()[i]));
      PyErr_Format(PyExc_ValueError, "cumulants[%d] is %s: expected %s", static_cast<int>(i), text, kExpected);
      return nullptr;
    }

    static inline PyMethodDef definition = {
        "step_bound", &Bound::step, METH_NOARGS,
        "step_bound()\n--\n\nLearns from the transition into the bound x; writes the predictions."};
  };
};

}  // namespace

void bind_bank(py::module_& m) {
  signal_class<Bank, BankOf>(m, "TDBank", bank_settings)
      .def("step", &Bank::step, py::arg("x"), py::arg("cumulants"))
      .def("run", &Bank::run, py::arg("x"), py::arg("cumulants"))
      .def(
          "bind",
          [](const py::object& self, const py::object& x, const py::object& cumulants, const py::object& values) {
            return self.cast<Bank&>().bind(self, x, cumulants, values);
          },
          py::arg("x_buffer"), py::arg("cumulants_buffer"), py::arg("values_buffer"));
}

}  // namespace rtu::bindings
