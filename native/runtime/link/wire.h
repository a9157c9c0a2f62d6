// Reads and writes bytes on an open descriptor. Only wait() blocks.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/runtime/clock.h"

namespace rtu::runtime::link {

// A table of functions, so that tests can replace the port with a device.
struct Wire {
  void* self = nullptr;
  ptrdiff_t (*read)(void* self, uint8_t* out, size_t room) noexcept = nullptr;  // bytes read; 0: none now; -1: closed
  ptrdiff_t (*write)(void* self, const uint8_t* data, size_t n) noexcept = nullptr;  // bytes written; -1: closed
  // Waits for the descriptor to be readable (or writable), or the deadline: 1 ready, 0 deadline, -1 closed.
  int (*wait)(void* self, int64_t deadline_ns, bool for_write) noexcept = nullptr;
};

// A tty, pty or socket. The descriptor is made non-blocking; it is not closed here.
class PosixWire {
 public:
  explicit PosixWire(int fd) noexcept;
  Wire wire() noexcept;

 private:
  int fd_;
  Clock clock_;

  static ptrdiff_t read(void* self, uint8_t* out, size_t room) noexcept;
  static ptrdiff_t write(void* self, const uint8_t* data, size_t n) noexcept;
  static int wait(void* self, int64_t deadline_ns, bool for_write) noexcept;
};

}  // namespace rtu::runtime::link
