// Methods of an object that one thread at a time is inside of. The interpreter lock gives that; where an interpreter
// has none, the lock of the object does. Either is given up while a method waits with the interpreter released.
#pragma once

#include <pybind11/critical_section.h>
#include <pybind11/pybind11.h>

#include <utility>

namespace rtu::bindings {

namespace py = pybind11;

template <class C, class R, class... A>
auto one_at_a_time(R (C::*method)(A...)) {
  return [method](const py::object& self, A... arguments) -> R {
    const py::scoped_critical_section section(self);
    return (self.cast<C&>().*method)(std::forward<A>(arguments)...);
  };
}
template <class C, class R, class... A>
auto one_at_a_time(R (C::*method)(A...) const) {
  return [method](const py::object& self, A... arguments) -> R {
    const py::scoped_critical_section section(self);
    return (self.cast<const C&>().*method)(std::forward<A>(arguments)...);
  };
}
// Of a function that takes the object first.
template <class C, class R, class... A>
auto one_at_a_time(R (*function)(C&, A...)) {
  return [function](const py::object& self, A... arguments) -> R {
    const py::scoped_critical_section section(self);
    return function(self.cast<C&>(), std::forward<A>(arguments)...);
  };
}

}  // namespace rtu::bindings
