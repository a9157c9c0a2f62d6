// Python functions for user-written control loops: plain C functions over buffers that were checked once.
// Per call there is no look-up by name, no conversion of an array, no allocation; pybind11's dispatch alone would cost
// as much as a small step.
#pragma once

#include <pybind11/pybind11.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <memory>

#include "native/bindings/python/arrays.h"
#include "native/core/status.h"

namespace rtu::bindings {

using FastFunction = PyObject* (*)(PyObject* self, PyObject* const* arguments, Py_ssize_t n, PyObject* names);

inline PyMethodDef fast_method(const char* name, FastFunction function, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL | METH_KEYWORDS,
          doc};
}

// A Python function whose `self` is a Bound; the Bound exists as long as the last such function. `definition` is
// static.
inline py::object fast_function(PyMethodDef& definition, const py::capsule& bound) {
  return py::reinterpret_steal<py::object>(PyCFunction_New(&definition, bound.ptr()));
}

template <class Bound>
Bound& bound_of(PyObject* self) noexcept {
  return *static_cast<Bound*>(PyCapsule_GetPointer(self, nullptr));
}

template <class Bound>
py::capsule capsule_of(std::unique_ptr<Bound> bound) {
  return py::capsule(bound.release(), [](void* pointer) { delete static_cast<Bound*>(pointer); });
}

// Binds the arguments of a call to `names` as def f(a, b=..., c=...) would; missing arguments are null. False: an
// exception is set.
template <int N>
bool take_arguments(const char* function, const char* const (&names)[N], int required, PyObject* const* arguments,
                    Py_ssize_t n, PyObject* keywords, PyObject** out) noexcept {
  if (n > N) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments, got %zd", function, N, n);
    return false;
  }
  for (int i = 0; i < N; ++i) out[i] = i < n ? arguments[i] : nullptr;
  for (Py_ssize_t k = 0; keywords != nullptr && k < PyTuple_GET_SIZE(keywords); ++k) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
    int at = 0;
    while (at < N && PyUnicode_CompareWithASCIIString(keyword, names[at]) != 0) ++at;
    if (at == N || out[at] != nullptr) {
      PyErr_Format(PyExc_TypeError,
                   at == N ? "%s() got an unexpected argument %R" : "%s() got two values for argument %R", function,
                   keyword);
      return false;
    }
    out[at] = arguments[n + k];
  }
  for (int i = 0; i < required; ++i) {
    if (out[i] != nullptr) continue;
    PyErr_Format(PyExc_TypeError, "%s() is missing its argument '%s'", function, names[i]);
    return false;
  }
  return true;
}

// A reward or cumulant: finite, also in single precision, where 1e39 would become infinite and reach every weight.
inline bool take_signal(const char* name, PyObject* object, double* out) noexcept {
  double value = NAN;
  if (PyFloat_CheckExact(object))
    value = PyFloat_AS_DOUBLE(object);
  else if (!is_masked(object, 0))
    value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred() != nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_OverflowError))
      return false;
    PyErr_Clear();
    value = NAN;
  }
  if (std::fabs(value) <= static_cast<double>(FLT_MAX)) {
    *out = value;
    return true;
  }
  PyErr_Format(PyExc_ValueError, "%s = %R: expected a finite number from -3.4e+38 to 3.4e+38", name, object);
  return false;
}

inline double signal_of(const char* name, const py::object& object) {
  double value = 0;
  if (!take_signal(name, object.ptr(), &value)) throw py::error_already_set();
  return value;
}

// What flag_of() takes; a missing argument is false.
inline bool take_flag(const char* name, PyObject* object, bool* out) noexcept {
  *out = object == Py_True;
  if (object == nullptr || object == Py_True || object == Py_False) return true;
  try {
    *out = flag_of(name, object);
    return true;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  }
  return false;
}

// Raises the error for a failed status; no output was written. x (n): the input of the call.
template <class T>
PyObject* raise_for(core::Status status, const char* function, const char* name, const T* x, py::ssize_t n) noexcept {
  for (py::ssize_t i = 0; status == core::Status::kNonFinite && i < n; ++i) {
    if (std::fabs(x[i]) <= std::numeric_limits<T>::max()) continue;
    char text[32];
    PyOS_snprintf(text, sizeof text, "%g", static_cast<double>(x[i]));
    PyErr_Format(PyExc_ValueError, "%s[%zd] is %s: expected a finite number", name, i, text);
    return nullptr;
  }
  PyErr_Format(PyExc_RuntimeError, "%s(): refused with status %d", function, static_cast<int>(status));
  return nullptr;
}

inline PyObject* raise_runtime(const char* message) noexcept {
  PyErr_SetString(PyExc_RuntimeError, message);
  return nullptr;
}

}  // namespace rtu::bindings
