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
#include "native/runtime/occupancy.h"

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
using runtime::Occupancy;
using runtime::Occupied;
using runtime::User;

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

// A table of sections with memory for as many as a layout has.
struct SizedTable : core::SectionTable {
  explicit SizedTable(int wanted) : room(static_cast<size_t>(wanted)) {
    sections = room.data();
    capacity = wanted;
  }
  SizedTable(const SizedTable&) = delete;
  SizedTable& operator=(const SizedTable&) = delete;
  std::vector<core::Section> room;
};

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
    const Call call(*this);
    apply_pending();
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t hash() {
    const Call call(*this);
    apply_pending();
    return core::state_hash(*table_, memory_.get());
  }

  // Entered by each user of this learner.
  Occupancy& occupancy() const noexcept { return occupancy_; }

  py::list sections() const { return section_rows(*table_); }

  py::array get(const std::string& name) {
    const core::Section& s = find(name);
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(s.rows)};
    if (s.matrix) shape.push_back(static_cast<py::ssize_t>(s.cols));
    py::array out(numpy_dtype(s.dtype), shape);
    auto* data = static_cast<unsigned char*>(out.mutable_data());
    const Call call(*this);
    apply_pending();
    core::gather(s, memory_.get(), data);
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
    const auto* data = static_cast<const unsigned char*>(value.data());
    const Call call(*this);
    apply_pending();
    core::scatter(s, data, memory_.get());
  }

  py::bytes save(const std::string& text, const py::bytes& beside) {
    const auto text_bytes = static_cast<uint32_t>(text.size());
    const auto extra_bytes = static_cast<uint32_t>(PyBytes_GET_SIZE(beside.ptr()));
    const uint64_t n = core::checkpoint_bytes(*table_, text_bytes, extra_bytes);
    py::bytes out(nullptr, static_cast<py::ssize_t>(n));
    auto* written = reinterpret_cast<unsigned char*>(PyBytes_AS_STRING(out.ptr()));
    const auto* extra = reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(beside.ptr()));
    const Call call(*this);
    apply_pending();
    core::write_checkpoint(*table_, memory_.get(), text.data(), text_bytes, written, extra, extra_bytes);
    return out;
  }

  // All of the arena, what a checkpoint leaves out included: for adopt().
  py::bytes arena() {
    py::bytes out(nullptr, static_cast<py::ssize_t>(bytes_));
    char* written = PyBytes_AS_STRING(out.ptr());
    const Call call(*this);
    apply_pending();
    std::memcpy(written, memory_.get(), bytes_);
    return out;
  }

  // The arena's bytes as another model of the same configuration in this process has them, between two calls.
  void adopt(const py::bytes& arena) {
    if (static_cast<uint64_t>(PyBytes_GET_SIZE(arena.ptr())) != bytes_)
      refuse("arena: expected " + std::to_string(bytes_) + " bytes");
    const char* data = PyBytes_AS_STRING(arena.ptr());
    const Call call(*this);
    std::memcpy(memory_.get(), data, bytes_);
  }

  // (status, section): 0 on success.
  py::tuple load(const py::bytes& data) {
    const char* where = "";
    const auto* bytes = reinterpret_cast<const unsigned char*>(PyBytes_AS_STRING(data.ptr()));
    const auto n = static_cast<uint64_t>(PyBytes_GET_SIZE(data.ptr()));
    core::Status status;
    {
      const Call call(*this);
      apply_pending();
      status = core::read_checkpoint(*table_, bytes, n, memory_.get(), where);
    }
    return py::make_tuple(static_cast<int>(status), std::string(where));
  }

 protected:
  virtual void apply_pending() noexcept = 0;

  // The arena: the complete learner state, in one block.
  unsigned char* memory() const noexcept { return memory_.get(); }
  const core::SectionTable* table() const noexcept { return table_.get(); }

  struct Entered {
    Entered(const Model& model, User as) : occupied(&model.occupancy_, as) {
      if (const char* problem = occupied.problem()) throw std::runtime_error(problem);
    }
    Occupied occupied;
  };

  // Scope of a call: no other thread works on the learner, denormals are flushed. Throws if a run() or a loop has it.
  // Nothing in it may call Python, which could hand over to a thread that waits for the end of the call: arguments are
  // converted and results allocated before.
  class Call {
   public:
    explicit Call(const Model& model) : entered_(model, User::kCall) {}

   private:
    Entered entered_;
    DenormalsFlushed flushed_;
  };

  template <class Read>
  auto within_call(Read read) const {
    const Call call(*this);
    return read();
  }

  // The same for many steps, without the interpreter lock.
  class Released {
   public:
    explicit Released(const Model& model) : entered_(model, User::kRun) {}

   private:
    Entered entered_;
    py::gil_scoped_release release_;
    DenormalsFlushed flushed_;
  };

  // Counts the layout with `make(builder)`, then binds it to new, zeroed memory with a second call.
  template <class Make>
  auto build(uint32_t lanes, Make make) {
    core::Builder footprint(nullptr, nullptr, lanes);
    (void)make(footprint);
    table_ = std::make_unique<SizedTable>(footprint.sections());
    bytes_ = footprint.bytes();
    memory_ = allocate(bytes_);
    core::Builder bind(memory_.get(), table_.get(), lanes);
    return make(bind);
  }

 private:
  const core::Section& find(const std::string& name) const {
    for (int i = 0; i < table_->count; ++i)
      if (name == table_->sections[i].name) return table_->sections[i];
    throw py::key_error("no section is named " + name);
  }

  std::unique_ptr<SizedTable> table_;
  Memory memory_;
  uint64_t bytes_ = 0;
  mutable Occupancy occupancy_;
};

inline void check(core::Status status, const char* what) {
  if (status == core::Status::kOk) return;
  if (status == core::Status::kOrder) throw std::runtime_error(std::string(what) + ": out of order");
  if (status == core::Status::kNonFinite) refuse(std::string(what) + ": expected finite numbers");
  refuse(std::string(what) + ": refused with status " + std::to_string(static_cast<int>(status)));
}

}  // namespace rtu::bindings
