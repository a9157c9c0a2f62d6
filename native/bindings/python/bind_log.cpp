// The black box and the replay for Python: the public API is rtu_edge/record/blackbox.py and rtu_edge/run/replay.py.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <errno.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "native/bindings/python/loop_options.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/schema.h"
#include "native/runtime/denormals.h"
#include "native/runtime/loop/loop.h"
#include "native/runtime/loop/replay.h"
#include "native/runtime/record/black_box.h"

namespace py = pybind11;

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::record;
using namespace runtime::safety;
using namespace runtime::loop;
namespace {

std::unique_ptr<BlackBox> open_black_box(const std::string& path, const std::string& tail_path, uint64_t id, int n,
                                         int m, uint64_t slots, uint64_t tail_slots, const std::string& text) {
  if (slots < 1 || tail_slots < 1) throw py::value_error("slots, tail_slots: 0 given, allowed: at least 1");
  BlackBox::Options options;
  options.path = path;
  options.tail_path = tail_path;
  options.id = id;
  options.slots = slots;
  options.tail_slots = tail_slots;
  options.record_bytes = record_stride(n, m);
  options.text = text;
  auto box = std::make_unique<BlackBox>();
  std::string where;
  int error = 0;
  {
    py::gil_scoped_release release;
    error = box->open(options, &where);
  }
  if (error != 0) {
    errno = error;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, where.c_str());
    throw py::error_already_set();
  }
  return box;
}

class PyReplay {
 public:
  PyReplay(py::object policy, int n, int m, const py::list& limits, double period_s, bool limit_commands,
           bool as_applied, uint32_t back_steps)
      : policy_object_(std::move(policy)), stride_(record_stride(n, m)) {
    const auto& table = policy_object_.cast<const Policy&>();
    if (n > kMaxObservations || m > kMaxActuators || static_cast<int>(limits.size()) != m ||
        table.observation_size != n || (table.n_levels > 0 ? 1 : table.action_size) != m)
      throw py::value_error("policy, records and limits do not fit one another");
    ActuatorLimits rows[kMaxActuators];
    limits_of(limits, period_s, rows);
    occupancy_ = table.occupancy;
    replay_ = std::make_unique<Replay>(table, n, m, rows, limit_commands);
    replay_->as_applied = as_applied;
    replay_->set_back_steps(back_steps);
  }

  // Steps through records (k,) of record_dtype(n, m); with `stop`, up to the first difference.
  py::array run(const py::array& records, bool stop) {
    if (records.ndim() != 1 || (records.flags() & py::array::c_style) == 0 ||
        records.itemsize() != static_cast<py::ssize_t>(stride_))
      throw py::value_error("records: expected a contiguous row of records of " + std::to_string(stride_) + " bytes");
    const auto count = static_cast<size_t>(records.shape(0));
    std::vector<ReplayStep> steps(count);
    const auto* data = static_cast<const uint8_t*>(records.data());
    size_t done = 0;
    {
      const Occupied occupied(occupancy_, User::kRun);
      if (const char* problem = occupied.problem()) throw std::runtime_error(problem);
      py::gil_scoped_release release;
      const DenormalsFlushed flushed;
      for (bool go = true; go && done < count; ++done) {
        replay_->step(data + done * stride_, &steps[done]);
        go = !stop || steps[done].differs == 0;
      }
    }
    const py::dtype dtype = dtype_of(RTU_FIELDS_OF(ReplayStep, RTU_RUNTIME_REPLAY_FIELDS), sizeof(ReplayStep));
    py::array out(dtype, static_cast<py::ssize_t>(done));
    memcpy(out.mutable_data(), steps.data(), done * sizeof(ReplayStep));
    return out;
  }

 private:
  py::object policy_object_;
  size_t stride_;
  Occupancy* occupancy_ = nullptr;
  std::unique_ptr<Replay> replay_;
};

}  // namespace
}  // namespace rtu::bindings

void bind_log(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<BlackBox>(m, "BlackBox")
      .def(py::init(&open_black_box), py::arg("path"), py::arg("tail_path"), py::arg("id"), py::arg("n"), py::arg("m"),
           py::arg("slots"), py::arg("tail_slots"), py::arg("text"))
      .def("close",
           [](BlackBox& self) {
             py::gil_scoped_release release;
             self.close();
           })
      .def("write",
           [](BlackBox& self, uint64_t sequence, const py::bytes& record) {
             if (!self.is_open()) throw py::value_error("the black box is closed");
             const std::string bytes = record;
             if (bytes.size() != self.record_bytes()) throw py::value_error("record: of another size");
             self.write(sequence, reinterpret_cast<const uint8_t*>(bytes.data()));
           })
      .def_property_readonly("overwritten", &BlackBox::overwritten)
      .def_property_readonly("error", &BlackBox::error);

  py::class_<PyReplay>(m, "Replay")
      .def(py::init<py::object, int, int, const py::list&, double, bool, bool, uint32_t>(), py::arg("policy"),
           py::arg("n"), py::arg("m"), py::arg("limits"), py::arg("period_s"), py::arg("command_limiter"),
           py::arg("as_applied"), py::arg("back_steps") = 0)
      .def("run", one_at_a_time(&PyReplay::run), py::arg("records"), py::arg("stop"));

  m.attr("black_box_version") = BlackBoxLayout::kVersion;
}
