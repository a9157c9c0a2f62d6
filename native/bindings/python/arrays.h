// Converts Python arrays to native ones: checked once, errors name the argument, copied only if dtype or layout differ.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace rtu::bindings {

namespace py = pybind11;

constexpr py::ssize_t kAny = -1;  // an extent that the caller chooses

// ValueError: the error, the value given, the values allowed.
[[noreturn]] inline void refuse(const std::string& message) { throw py::value_error(message); }

// "(k, 3)"
inline std::string shape_text(std::initializer_list<py::ssize_t> shape) {
  std::string text = "(";
  for (const py::ssize_t extent : shape)
    text += (text.size() > 1 ? " " : "") + (extent == kAny ? std::string("k") : std::to_string(extent)) + ",";
  if (shape.size() > 1) text.pop_back();
  return text + ")";
}

inline void check_shape(const py::array& array, std::initializer_list<py::ssize_t> shape, const std::string& what) {
  bool fits = array.ndim() == static_cast<py::ssize_t>(shape.size());
  int axis = 0;
  for (const py::ssize_t extent : shape) {
    if (!fits) break;
    fits = extent == kAny || array.shape(axis) == extent;
    ++axis;
  }
  if (!fits)
    refuse(what + ": expected shape " + shape_text(shape) + ", got " + std::string(py::str(array.attr("shape"))));
}

// A masked array, or rows of which one is masked: under a mask there is no value, and numpy would hand out the number
// that is stored there.
inline bool is_masked(const py::handle& object, int depth = 2) noexcept {
  const auto* plain = reinterpret_cast<PyObject*>(py::detail::npy_api::get().PyArray_Type_);
  if (py::type::handle_of(object).ptr() == plain || PyFloat_CheckExact(object.ptr())) return false;
  if (py::isinstance<py::array>(object)) return PyObject_HasAttrString(object.ptr(), "mask") != 0;
  if (depth == 0 || !(PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()))) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object.ptr()); ++i)
    if (is_masked(PySequence_Fast_GET_ITEM(object.ptr(), i), depth - 1)) return true;
  return false;
}

inline void refuse_masked(const py::handle& object, const std::string& what) {
  if (is_masked(object))
    refuse(what + ": a masked array has no values under its mask: give an array without one, such as .filled(0.0)");
}

// A truth value: True or False, also as numpy has it, or as 1 or 0.
inline bool flag_of(const char* name, const py::handle& object) {
  if (object.ptr() == Py_True || object.ptr() == Py_False) return object.ptr() == Py_True;
  py::object plain = py::reinterpret_borrow<py::object>(object);
  if (py::hasattr(object, "dtype") && py::hasattr(object, "item") && !is_masked(object)) {
    try {
      plain = object.attr("item")();
    } catch (py::error_already_set&) {  // more than one element
    }
  }
  if (PyLong_Check(plain.ptr())) {
    const long value = PyLong_AsLong(plain.ptr());
    if (value == 0 || value == 1) return value == 1;
    PyErr_Clear();
  }
  refuse(std::string(name) + " = " + std::string(py::repr(object)) + ": expected True or False");
}

// Finite numbers as T, one after another: any real array or sequence of the right shape.
template <class T>
class Numbers {
 public:
  // limit: the largest size allowed, where it differs from that of T.
  Numbers(const py::handle& object, std::initializer_list<py::ssize_t> shape, const char* what,
          double limit = static_cast<double>(std::numeric_limits<T>::max()))
      : array_(ensure(object, what)) {
    if (!array_) {
      PyErr_Clear();
      refuse(std::string(what) + ": expected an array of shape " + shape_text(shape));
    }
    const char kind = array_.dtype().kind();
    if (kind != 'f' && kind != 'i' && kind != 'u' && kind != 'b')
      refuse(std::string(what) + ": expected real numbers (float32 or float64), got dtype " +
             std::string(py::str(array_.dtype())));
    check_shape(array_, shape, what);
    if (py::array_t<T, py::array::c_style>::check_(array_) &&
        reinterpret_cast<std::uintptr_t>(array_.data()) % alignof(T) == 0)
      data_ = static_cast<const T*>(array_.data());
    else
      convert(what, limit);
    for (py::ssize_t i = 0; i < array_.size(); ++i)
      if (!(std::fabs(static_cast<double>(data_[i])) <= limit)) refuse_element(i, what);
  }

  const T* data() const { return data_; }
  py::ssize_t rows() const { return array_.shape(0); }
  py::ssize_t size() const { return array_.size(); }
  // "observations[4, 1] is nan: expected a finite number"
  [[noreturn]] void refuse_element(py::ssize_t flat, const std::string& what,
                                   const char* expected = "a finite number") const {
    std::string at = std::to_string(flat);
    py::tuple index = py::make_tuple(flat);
    if (array_.ndim() == 2) {
      const py::ssize_t i = flat / array_.shape(1), j = flat % array_.shape(1);
      at = std::to_string(i) + ", " + std::to_string(j);
      index = py::make_tuple(i, j);
    }
    refuse(what + "[" + at + "] is " + std::string(py::str(array_[index])) + ": expected " + expected);
  }

 private:
  static py::array ensure(const py::handle& object, const char* what) {
    refuse_masked(object, what);
    return py::array::ensure(object);
  }

  // numpy converts to double, this code to T: numpy warns when a cast to float overflows, and users may turn warnings
  // into errors.
  void convert(const char* what, double limit) {
    using Converted = py::array_t<double, py::array::c_style | py::array::forcecast>;
    const auto values = Converted::ensure(array_);
    if (!values) {
      PyErr_Clear();
      refuse(std::string(what) + ": expected finite numbers");
    }
    copy_.resize(static_cast<size_t>(array_.size()) + 1);
    for (py::ssize_t i = 0; i < array_.size(); ++i) {
      if (!(std::fabs(values.data()[i]) <= limit)) refuse_element(i, what);
      copy_[static_cast<size_t>(i)] = static_cast<T>(values.data()[i]);
    }
    data_ = copy_.data();
  }

  py::array array_;
  std::vector<T> copy_;
  const T* data_ = nullptr;
};

// (k,) truth values; None is all false.
class Flags {
 public:
  Flags(const py::handle& object, py::ssize_t k, const char* what) {
    if (object.is_none()) return;
    refuse_masked(object, what);
    const py::array given = py::array::ensure(object);
    if (!given) {
      PyErr_Clear();
      refuse(std::string(what) + ": expected an array of shape " + shape_text({k}));
    }
    const char kind = given.dtype().kind();
    if (kind != 'b' && kind != 'i' && kind != 'u')
      refuse(std::string(what) + ": expected truth values (bool), got dtype " + std::string(py::str(given.dtype())));
    check_shape(given, {k}, what);
    if (kind != 'b') check_flags(given, k, what);
    array_ = py::array_t < bool, py::array::c_style | py::array::forcecast > ::ensure(given);
    data_ = array_.data();
  }
  bool operator[](py::ssize_t i) const { return data_ != nullptr && data_[i]; }

 private:
  // Integers: 0 and 1 alone.
  static void check_flags(const py::array& given, py::ssize_t k, const char* what) {
    for (py::ssize_t i = 0; i < k; ++i) {
      const py::object value = given[py::int_(i)];
      if (!value.equal(py::int_(0)) && !value.equal(py::int_(1)))
        refuse(std::string(what) + "[" + std::to_string(i) + "] = " + std::string(py::str(value)) +
               ": expected True or False");
    }
  }

  py::array_t<bool, py::array::c_style | py::array::forcecast> array_;
  const bool* data_ = nullptr;
};

template <class T>
py::array_t<T> array_from(const T* data, py::ssize_t n) {
  return py::array_t<T>(n, data);
}

// An array of the caller that is kept and read or written in place at each call: one-dimensional, contiguous, n of T.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const py::handle& array, const char* name, py::ssize_t n, bool writable) {
    refuse_masked(array, name);
    if (PyObject_GetBuffer(array.ptr(), &view_, PyBUF_FORMAT | PyBUF_STRIDES) != 0) {
      PyErr_Clear();
      view_.obj = nullptr;
      refuse_given(array, name, n);
    }
    const char* format = view_.format == nullptr ? "B" : view_.format;
    if (*format == '<' || *format == '=' || *format == '@') ++format;
    const char ours[] = {sizeof(T) == sizeof(float) ? 'f' : 'd', 0};
    const bool fits = std::string(format) == ours && view_.ndim == 1 && view_.shape[0] == n &&
                      (n == 1 || view_.strides[0] == static_cast<py::ssize_t>(sizeof(T))) &&
                      reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(T) == 0;
    if (fits && !(writable && view_.readonly != 0)) return;
    const bool read_only = fits;
    PyBuffer_Release(&view_);
    if (read_only) refuse(std::string(name) + ": expected a writable array, got a read-only one");
    refuse_given(array, name, n);
  }
  Buffer(Buffer&& other) noexcept : view_(std::exchange(other.view_, Py_buffer{})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(view_, other.view_);
    return *this;
  }
  ~Buffer() { PyBuffer_Release(&view_); }  // nothing where there is no view

  T* data() const { return static_cast<T*>(view_.buf); }

 private:
  [[noreturn]] static void refuse_given(const py::handle& array, const char* name, py::ssize_t n) {
    std::string text = std::string(name) + ": expected a contiguous " +
                       (sizeof(T) == sizeof(float) ? "float32" : "float64") + " array of shape " + shape_text({n}) +
                       ", got ";
    if (py::isinstance<py::array>(array)) {
      const auto given = py::reinterpret_borrow<py::array>(array);
      text += std::string(py::str(given.dtype())) + " of shape " + std::string(py::str(given.attr("shape"))) +
              ", strides " + std::string(py::str(given.attr("strides"))) + " bytes";
    } else {
      text += "a " + std::string(Py_TYPE(array.ptr())->tp_name);
    }
    refuse(text);
  }

  Py_buffer view_{};
};

}  // namespace rtu::bindings
