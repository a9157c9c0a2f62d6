// LinearRTU and NonlinearRTU by themselves: step, gradients through the traces.
#include "native/bindings/python/calls.h"
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"

namespace rtu::bindings {

namespace {

class Cell : public Model {
 public:
  virtual py::object step(const py::object& x) = 0;
  virtual py::dict gradient(const py::object& dy) = 0;
  virtual py::object input_gradient(const py::object& dy) = 0;
  virtual py::dict bind(const py::object& self, const py::object& x, const py::object& y) = 0;
  virtual void reset() = 0;
  virtual int64_t n_traces() const = 0;
};

template <class T>
class CellOf final : public Cell {
 public:
  CellOf(const cells::RtuConfig& config, uint64_t seed) {
    const auto* kernels = kernels_for<T>();
    uint64_t* words = nullptr;
    cell_ = build(static_cast<uint32_t>(kernels->lanes), [&](core::Builder& arena) {
      auto cell = cells::make_rtu<T>(arena, config, core::Name());
      words = arena.vector<uint64_t>(core::Name("rng"), 2);
      return cell;
    });
    cell_.kernels = kernels;
    const core::Rng rng{words};
    core::seed_rng(rng, seed, 0);
    cells::init_rtu(cell_, rng);
  }

  py::object step(const py::object& x) override {
    const Numbers<T> input(x, {cell_.config.inputs}, "x");
    py::array_t<T> y(2 * cell_.config.units());
    T* written = y.mutable_data();
    const Call call(*this);
    advance(input.data(), written);
    return y;
  }

  py::dict gradient(const py::object& dy) override {
    const py::ssize_t n = cell_.config.units(), m = cell_.config.poles, d = cell_.config.inputs;
    const Numbers<T> cotangent(dy, {2 * n}, "dL_dy");
    py::array_t<T> nu(m), theta(m), W1({n, d}), W2({n, d});
    T* const written[] = {nu.mutable_data(), theta.mutable_data(), W1.mutable_data(), W2.mutable_data()};
    {
      const Call call(*this);
      cells::gradient(cell_, cotangent.data(), written[0], written[1], written[2], written[3]);
    }
    py::dict out;
    out["nu_log"] = nu;
    out["theta_log"] = theta;
    out["W1"] = W1;
    out["W2"] = W2;
    return out;
  }

  py::object input_gradient(const py::object& dy) override {
    const Numbers<T> cotangent(dy, {2 * cell_.config.units()}, "dL_dy");
    py::array_t<T> dx(cell_.config.inputs);
    T* written = dx.mutable_data();
    const Call call(*this);
    cells::input_gradient(cell_, cotangent.data(), written);
    return dx;
  }

  py::dict bind(const py::object& self, const py::object& x, const py::object& y) override {
    auto bound = std::make_unique<Bound>();
    bound->x = Buffer<T>(x, "x_buffer", cell_.config.inputs, false);
    bound->y = Buffer<T>(y, "y_buffer", 2 * cell_.config.units(), true);
    bound->model = this;
    bound->owner = self;
    py::dict functions;
    functions["step_bound"] = fast_function(Bound::definition, capsule_of(std::move(bound)));
    return functions;
  }

  void reset() override {
    const Call call(*this);
    cells::clear_state(cell_);
    cells::clear_traces(cell_);
  }

  int64_t n_traces() const override {
    const int64_t per_weight = cell_.config.kind == cells::CellKind::kLinear ? 2 : 4;
    return per_weight * cell_.config.poles * cell_.config.inputs + 4LL * cell_.config.units();
  }

 protected:
  void apply_pending() noexcept override {}

 private:
  struct Bound {
    CellOf* model = nullptr;
    py::object owner;  // keeps the model alive
    Buffer<T> x, y;

    static PyObject* step(PyObject* self, PyObject*) noexcept {
      const Bound& bound = bound_of<Bound>(self);
      CellOf& model = *bound.model;
      const int32_t d = model.cell_.config.inputs;
      for (int32_t i = 0; i < d; ++i)
        if (!core::is_finite(bound.x.data()[i]))
          return raise_for(core::Status::kNonFinite, "step_bound", "x", bound.x.data(), d);
      {
        const Occupied occupied(&model.occupancy(), User::kCall);
        const DenormalsFlushed flushed;
        model.advance(bound.x.data(), bound.y.data());
      }
      Py_RETURN_NONE;
    }

    static inline PyMethodDef definition = {
        "step_bound", &Bound::step, METH_NOARGS,
        "step_bound()\n--\n\nAdvances state and traces by the bound x; writes the output to the bound y."};
  };

  // x has been checked. A cell has neither run() nor loop, so that only other calls can be under way.
  void advance(const T* x, T* y) noexcept {
    std::memcpy(cell_.x, x, static_cast<size_t>(cell_.config.inputs) * sizeof(T));
    const T nothing[kernels::kMaxSets] = {};
    cells::predict(cell_, nothing, T(1));
    kernels::SetCotangent<T> sets[kernels::kMaxSets] = {};
    cells::update(cell_, false, sets);
    std::memcpy(y, cell_.y, 2 * static_cast<size_t>(cell_.config.units()) * sizeof(T));
  }

  cells::Rtu<T> cell_;
};

std::unique_ptr<Cell> make_cell(const py::dict& config, const std::string& dtype, uint64_t seed) {
  if (dtype == "float64") return std::make_unique<CellOf<double>>(cell_configuration(config), seed);
  return std::make_unique<CellOf<float>>(cell_configuration(config), seed);
}

}  // namespace

void bind_cell(py::module_& m) {
  py::class_<Cell, Model>(m, "Cell")
      .def(py::init(&make_cell), py::arg("config"), py::arg("dtype"), py::arg("seed"))
      .def("step", &Cell::step, py::arg("x"))
      .def("gradient", &Cell::gradient, py::arg("dL_dy"))
      .def("input_gradient", &Cell::input_gradient, py::arg("dL_dy"))
      .def(
          "bind",
          [](const py::object& self, const py::object& x, const py::object& y) {
            return self.cast<Cell&>().bind(self, x, y);
          },
          py::arg("x_buffer"), py::arg("y_buffer"))
      .def("reset", &Cell::reset)
      .def_property_readonly("n_traces", &Cell::n_traces);
}

}  // namespace rtu::bindings
