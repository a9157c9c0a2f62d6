// rtu_edge._core: the Python bindings of the core. One bind_*.cpp per subject.
#include <pybind11/pybind11.h>

namespace rtu::bindings {
void bind_model(pybind11::module_& m);
void bind_cell(pybind11::module_& m);
void bind_agent(pybind11::module_& m);
void bind_native_plant(pybind11::module_& m);
void bind_signal(pybind11::module_& m);
void bind_bank(pybind11::module_& m);
void bind_footprint(pybind11::module_& m);
}  // namespace rtu::bindings
void bind_link(pybind11::module_& m);
void bind_policy(pybind11::module_& m);
void bind_loop(pybind11::module_& m);
void bind_manual(pybind11::module_& m);
void bind_checks(pybind11::module_& m);
void bind_supervisor(pybind11::module_& m);
void bind_log(pybind11::module_& m);
void bind_take_over(pybind11::module_& m);

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  rtu::bindings::bind_model(m);
  rtu::bindings::bind_cell(m);
  rtu::bindings::bind_agent(m);
  rtu::bindings::bind_native_plant(m);
  rtu::bindings::bind_signal(m);
  rtu::bindings::bind_bank(m);
  rtu::bindings::bind_footprint(m);
  bind_link(m);
  bind_policy(m);
  bind_loop(m);
  bind_manual(m);
  bind_checks(m);
  bind_supervisor(m);
  bind_log(m);
  bind_take_over(m);
}
