// Shared by bind_link.cpp and bind_loop.cpp: an open link as Python holds it.
#pragma once

#include <fcntl.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <string>

#include "native/runtime/link/control_server.h"
#include "native/runtime/link/link.h"

namespace py = pybind11;

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::record;
using namespace runtime::link;

constexpr double kNsPerSecond = 1e9;

// Converts a timeout: 0 if negative or NaN, at most thirty years, so that it can be added to a clock.
inline int64_t to_ns(double seconds) {
  constexpr double kLongest = 1e9;
  if (!(seconds > 0)) return 0;
  const auto ns = static_cast<int64_t>((seconds < kLongest ? seconds : kLongest) * kNsPerSecond);
  return ns > 0 ? ns : 1;  // 0 means no limit to some callers; a positive number never becomes 0
}

// A duplicated descriptor, the link on it, and the server of its control socket.
struct PyLink {
  // wire: transport of the bytes; null: the descriptor itself.
  PyLink(int fd_in, size_t capture_bytes, const Wire* wire)
      : fd(fd_in), posix(fd_in), link(wire != nullptr ? *wire : posix.wire(), monotonic_clock(), capture_bytes) {}
  ~PyLink() { close(); }

  // Idempotent, also from several threads.
  void close() {
    {
      const std::lock_guard<std::mutex> lock(serving);
      server.reset();
    }
    close_port();
  }
  void close_port() {
    const int open = fd.exchange(-1);
    if (open >= 0) ::close(open);
  }

  bool wants_port() const { return port.load() == Port::kWanted; }
  // Lets go of a port that is gone, so that it can be opened again: the descriptor then carries nothing, and gives no
  // other user the right to an emergency stop (ControlServer).
  void drop_port() {
    const int ours = fd;
    if (ours < 0 || port.load() != Port::kWanted) return;
    const int nothing = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (nothing < 0) return;
    dup3(nothing, ours, O_CLOEXEC);
    ::close(nothing);
  }
  // Puts a port that was opened again under the link's descriptor; false: the link is closed, or no loop waits for it.
  bool replace_port(int opened) {
    const int ours = fd;
    if (ours < 0 || port.load() != Port::kWanted) return false;
    if (dup3(opened, ours, O_CLOEXEC) < 0) return false;
    fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
    Port wanted = Port::kWanted;
    return port.compare_exchange_strong(wanted, Port::kOpen);
  }
  // For the loop: runtime::loop::Reopen.
  static bool is_open(void* self) noexcept {
    std::atomic<Port>& port = static_cast<PyLink*>(self)->port;
    Port expected = Port::kOpen;
    if (port.compare_exchange_strong(expected, Port::kNone)) return true;
    expected = Port::kNone;
    port.compare_exchange_strong(expected, Port::kWanted);
    return false;
  }

  // In a forked child: the server thread and the socket's path belong to the parent.
  void forked() {
    (void)server.release();
    close_port();  // without the mutex, which another thread may have held
  }

  enum class Port : uint32_t { kNone, kWanted, kOpen };

  std::atomic<int> fd;
  std::atomic<Port> port{Port::kNone};  // after a loss: the loop asks, another thread opens
  PosixWire posix;
  Link link;
  std::unique_ptr<ControlServer> server;
  std::mutex serving;  // of server; taken without the interpreter's lock
  tl_hello hello{};
};

inline py::dict link_counters(const PyLink& self) {
  py::dict out;
  const LinkCounters& c = self.link.counters();
#define X(name) out[#name] = c.name.get();
  RTU_RUNTIME_LINK_COUNTERS(X)
#undef X
  return out;
}

inline py::dict link_quality(const PyLink& self) {
  py::dict out;
  const LinkQuality& q = self.link.meter.quality;
#define X(name) out[#name] = q.name.get();
  RTU_RUNTIME_QUALITY_GAUGES(X)
  RTU_RUNTIME_QUALITY_COUNTS(X)
#undef X
  py::dict device;
#define X(name, index)                                    \
  const double name = q.device[TL_COUNTER_##index].get(); \
  if (!std::isnan(name)) device[#name] = static_cast<uint64_t>(name);
  RTU_RUNTIME_DEVICE_COUNTS(X)
#undef X
  out["device"] = device;
  return out;
}

}  // namespace rtu::bindings
