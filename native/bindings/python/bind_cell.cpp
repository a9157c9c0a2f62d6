// LinearRTU and NonlinearRTU by themselves: step, gradients through the traces.
#include "native/bindings/python/configuration.h"
#include "native/bindings/python/model.h"

namespace rtu::bindings {

namespace {

class Cell : public Model {
 public:
  virtual py::object step(const py::object& x) = 0;
  virtual py::dict gradient(const py::object& dy) = 0;
  virtual py::object input_gradient(const py::object& dy) = 0;
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

  void flush() override {}

  py::object step(const py::object& x) override {
    const auto input = vector_from<T>(x, cell_.config.inputs, "x");
    const DenormalsFlushed flushed;
    std::copy(input.begin(), input.end(), cell_.x);
    const T nothing[kernels::kMaxSets] = {};
    cells::predict(cell_, nothing, T(1));
    kernels::SetCotangent<T> sets[kernels::kMaxSets] = {};
    cells::learn(cell_, false, sets);
    return array_from(cell_.y, 2 * cell_.config.units());
  }

  py::dict gradient(const py::object& dy) override {
    const py::ssize_t n = cell_.config.units(), m = cell_.config.poles, d = cell_.config.inputs;
    const auto cotangent = vector_from<T>(dy, 2 * n, "dL_dy");
    py::array_t<T> nu(m), theta(m), W1({n, d}), W2({n, d});
    cells::gradient(cell_, cotangent.data(), nu.mutable_data(), theta.mutable_data(), W1.mutable_data(),
                    W2.mutable_data());
    py::dict out;
    out["nu_log"] = nu;
    out["theta_log"] = theta;
    out["W1"] = W1;
    out["W2"] = W2;
    return out;
  }

  py::object input_gradient(const py::object& dy) override {
    const auto cotangent = vector_from<T>(dy, 2 * cell_.config.units(), "dL_dy");
    py::array_t<T> dx(cell_.config.inputs);
    cells::input_gradient(cell_, cotangent.data(), dx.mutable_data());
    return dx;
  }

  void reset() override {
    cells::clear_state(cell_);
    cells::clear_traces(cell_);
  }

  int64_t n_traces() const override {
    const int64_t per_weight = cell_.config.kind == cells::CellKind::linear ? 2 : 4;
    return per_weight * cell_.config.poles * cell_.config.inputs + 4LL * cell_.config.units();
  }

 private:
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
      .def("reset", &Cell::reset)
      .def_property_readonly("n_traces", &Cell::n_traces);
}

}  // namespace rtu::bindings
