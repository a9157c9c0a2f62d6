// rtu_edge._testing: bindings for benchmarks, fault injection and tests; not needed to run a robot. One bind_*.cpp per
// subject.
#include <pybind11/pybind11.h>

namespace rtu::testing {
void bind_bench(pybind11::module_& m);
void bind_flags(pybind11::module_& m);
void bind_policy(pybind11::module_& m);
void bind_wire(pybind11::module_& m);
}  // namespace rtu::testing

PYBIND11_MODULE(_testing, m, pybind11::mod_gil_not_used()) {
  (void)pybind11::module_::import("rtu_edge._core");  // whose types these functions take and return
  rtu::testing::bind_bench(m);
  rtu::testing::bind_flags(m);
  rtu::testing::bind_policy(m);
  rtu::testing::bind_wire(m);
}
