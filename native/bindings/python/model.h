// The interface that every learner shares in Python: sections of an arena, a hash, checkpoint bytes. Each learner's
// binding adds its step functions.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "native/bindings/python/arrays.h"
#include "native/core/checkpoint.h"
#include "native/runtime/denormals.h"
#include "native/runtime/isa.h"

namespace rtu::bindings {

namespace py = pybind11;

// The kernels of float, chosen once; of double, always the scalar reference.
template <class T>
const kernels::Kernels<T>* kernels_for();
template <>
const kernels::Kernels<float>* kernels_for<float>();
template <>
const kernels::Kernels<double>* kernels_for<double>();

using runtime::DenormalsFlushed;

struct FreeDeleter {
  void operator()(unsigned char* p) const { std::free(p); }
};
using Memory = std::unique_ptr<unsigned char, FreeDeleter>;

inline Memory allocate(uint64_t bytes) {
  auto* data = static_cast<unsigned char*>(
      std::aligned_alloc(core::kAlignment, (bytes + core::kAlignment) / core::kAlignment * core::kAlignment));
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, bytes);
  return Memory(data);
}

inline py::dtype numpy_dtype(core::DType dtype) {
  switch (dtype) {
    case core::DType::kF32:
      return py::dtype::of<float>();
    case core::DType::kF64:
      return py::dtype::of<double>();
    case core::DType::kU64:
      return py::dtype::of<uint64_t>();
    default:
      return py::dtype::of<int32_t>();
  }
}

// (name, dtype, shape, bytes, offset, saved) of each section.
inline py::list section_rows(const core::SectionTable& table) {
  py::list rows;
  for (int i = 0; i < table.count; ++i) {
    const core::Section& s = table.sections[i];
    const py::tuple shape = s.matrix ? py::tuple(py::make_tuple(s.rows, s.cols)) : py::tuple(py::make_tuple(s.rows));
    rows.append(py::make_tuple(std::string(s.name), numpy_dtype(s.dtype), shape, s.count() * core::dtype_bytes(s.dtype),
                               s.offset, s.saved));
  }
  return rows;
}

class Model {
 public:
  virtual ~Model() = default;
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Applies pending weight steps, so that weights and hashes do not depend on the time of reading.
  void flush() {
    check_free();
    settle();
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t hash() {
    check_free();
    return hash_now();
  }
  // For a learner that is known to be idle: throws nothing.
  uint64_t hash_now() noexcept {
    settle();
    return core::state_hash(*table_, memory_.get());
  }

  // run() works without the interpreter lock: other Python threads must not use the learner until it returns.
  void check_free() const {
    if (running_) throw std::runtime_error(kRunning);
  }
  bool running() const noexcept { return running_; }
  static constexpr const char* kRunning = "run() of this learner is under way in another thread";

  py::list sections() const { return section_rows(*table_); }

  py::array get(const std::string& name) {
    flush();
    const core::Section& s = find(name);
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(s.rows)};
    if (s.matrix) shape.push_back(static_cast<py::ssize_t>(s.cols));
    py::array out(numpy_dtype(s.dtype), shape);
    core::gather(s, memory_.get(), static_cast<unsigned char*>(out.mutable_data()));
    return out;
  }

  void set(const std::string& name, const py::array& value) {
    const core::Section& s = find(name);
    const bool fits = s.matrix ? value.ndim() == 2 && value.shape(0) == s.rows && value.shape(1) == s.cols
                               : value.ndim() == 1 && value.shape(0) == s.rows;
    if (!fits) refuse(name + ": wrong shape");
    if (!value.dtype().is(numpy_dtype(s.dtype)) && !value.dtype().equal(numpy_dtype(s.dtype)))
      refuse(name + ": wrong dtype");
    if ((value.flags() & py::array::c_style) == 0) refuse(name + ": not contiguous");
    flush();
    core::scatter(s, static_cast<const unsigned char*>(value.data()), memory_.get());
  }

  py::bytes save(const std::string& text, const py::bytes& beside) {
    flush();
    const auto text_bytes = static_cast<uint32_t>(text.size());
    const auto extra_bytes = static_cast<uint32_t>(PyBytes_GET_SIZE(beside.ptr()));
    const uint64_t n = core::checkpoint_bytes(*table_, text_bytes, extra_bytes);
    py::bytes out(nullptr, static_cast<py::ssize_t>(n));
    core::write_checkpoint(*table_, memory_.get(), text.data(), text_bytes,
                           reinterpret_cast<unsigned char*>(PyBytes_AS_STRING(out.ptr())),
                           reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(beside.ptr())), extra_bytes);
    return out;
  }

  // All of the arena, what a checkpoint leaves out included: for adopt().
  py::bytes arena() {
    flush();
    return {reinterpret_cast<const char*>(memory_.get()), static_cast<size_t>(bytes_)};
  }

  // The arena's bytes as another model of the same configuration in this process has them, between two calls.
  void adopt(const py::bytes& arena) {
    check_free();
    if (static_cast<uint64_t>(PyBytes_GET_SIZE(arena.ptr())) != bytes_)
      refuse("arena: expected " + std::to_string(bytes_) + " bytes");
    std::memcpy(memory_.get(), PyBytes_AS_STRING(arena.ptr()), bytes_);
  }

  // (status, section): 0 on success.
  py::tuple load(const py::bytes& data) {
    flush();
    const char* where = "";
    const core::Status status =
        core::read_checkpoint(*table_, reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(data.ptr())),
                              static_cast<uint64_t>(PyBytes_GET_SIZE(data.ptr())), memory_.get(), where);
    return py::make_tuple(static_cast<int>(status), std::string(where));
  }

 protected:
  virtual void apply_pending() noexcept = 0;

  // The arena: the complete learner state, in one block.
  unsigned char* memory() const noexcept { return memory_.get(); }
  const core::SectionTable* table() const noexcept { return table_.get(); }

  // Scope of work without the interpreter lock: other Python threads are excluded, denormals are flushed. Throws if
  // another thread took the learner while this one converted its arguments.
  class Released {
   public:
    explicit Released(Model& model) : mark_(model.running_) {}

   private:
    struct Mark {
      explicit Mark(bool& running) : flag(running) {
        if (flag) throw std::runtime_error(kRunning);
        flag = true;
      }
      ~Mark() { flag = false; }
      Mark(const Mark&) = delete;
      Mark& operator=(const Mark&) = delete;
      bool& flag;
    };
    Mark mark_;  // first and last, with the lock held
    py::gil_scoped_release release_;
    DenormalsFlushed flushed_;
  };

  // Computes the layout with `make(builder)`, then binds it to new, zeroed memory with a second call.
  template <class Make>
  auto build(uint32_t lanes, Make make) {
    table_ = std::make_unique<core::SectionTable>();
    core::Builder footprint(nullptr, table_.get(), lanes);
    (void)make(footprint);
    if (core::failed(table_->status))
      refuse("the configuration has more sections than a layout can hold (" + std::to_string(core::kMaxSections) + ")");
    bytes_ = footprint.bytes();
    memory_ = allocate(bytes_);
    core::Builder bind(memory_.get(), nullptr, lanes);
    return make(bind);
  }

 private:
  void settle() noexcept {
    const DenormalsFlushed flushed;
    apply_pending();
  }

  const core::Section& find(const std::string& name) const {
    for (int i = 0; i < table_->count; ++i)
      if (name == table_->sections[i].name) return table_->sections[i];
    throw py::key_error("no section is named " + name);
  }

  std::unique_ptr<core::SectionTable> table_;
  Memory memory_;
  uint64_t bytes_ = 0;
  bool running_ = false;
};

inline void check(core::Status status, const char* what) {
  if (status == core::Status::kOk) return;
  if (status == core::Status::kOrder) throw std::runtime_error(std::string(what) + ": out of order");
  if (status == core::Status::kNonFinite) refuse(std::string(what) + ": expected finite numbers");
  refuse(std::string(what) + ": refused with status " + std::to_string(static_cast<int>(status)));
}

}  // namespace rtu::bindings
