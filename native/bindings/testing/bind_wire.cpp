// A fault-injecting wire between a port and a link.
#include <pybind11/pybind11.h>

#include "native/testing/faulty_wire.h"

namespace py = pybind11;

namespace rtu::testing {

namespace {

// On a descriptor that the caller keeps and closes.
struct PyFaultyWire {
  PyFaultyWire(int fd, double rate, uint64_t seed) : posix(fd), faulty(posix.wire(), monotonic_clock(), seed, rate) {}

  runtime::link::PosixWire posix;
  FaultyWire faulty;
};

py::dict counts(const PyFaultyWire& self) {
  const FaultCounts& c = self.faulty.counts;
  return py::dict(py::arg("lost_out") = c.lost_out.load(), py::arg("lost_in") = c.lost_in.load(),
                  py::arg("damaged_out") = c.damaged_out.load(), py::arg("damaged_in") = c.damaged_in.load(),
                  py::arg("repeated_out") = c.repeated_out.load(), py::arg("stalls") = c.stalls.load());
}

}  // namespace

void bind_wire(py::module_& m) {
  py::class_<PyFaultyWire>(m, "FaultyWire")
      .def(py::init<int, double, uint64_t>(), py::arg("fd"), py::arg("rate"), py::arg("seed"))
      .def(
          "wire", [](PyFaultyWire& self) { return self.faulty.wire(); }, py::keep_alive<0, 1>())
      .def("counts", &counts);
}

}  // namespace rtu::testing
