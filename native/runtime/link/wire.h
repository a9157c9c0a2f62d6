// Bytes in and out of an open descriptor. Only wait() waits.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native/runtime/clock.h"

namespace rtu::runtime::link {

// A table of functions, so that tests put a device in the place of the port.
struct Wire {
  void* self = nullptr;
  ptrdiff_t (*read)(void* self, uint8_t* out, size_t room) noexcept = nullptr;       // bytes, 0 nothing now, -1 gone
  ptrdiff_t (*write)(void* self, const uint8_t* data, size_t n) noexcept = nullptr;  // bytes taken, -1 gone
  // Until something can be read (or written) or the clock reaches the deadline: 1 ready, 0 deadline, -1 gone.
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
