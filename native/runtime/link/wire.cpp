#include "native/runtime/link/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

namespace rtu::runtime::link {

PosixWire::PosixWire(int fd) noexcept : fd_(fd), clock_(monotonic_clock()) {
  const int flags = fcntl(fd_, F_GETFL);
  if (flags >= 0) fcntl(fd_, F_SETFL, flags | O_NONBLOCK);
}

Wire PosixWire::wire() noexcept { return {this, read, write, wait}; }

ptrdiff_t PosixWire::read(void* self, uint8_t* out, size_t room) noexcept {
  const ssize_t n = ::read(static_cast<PosixWire*>(self)->fd_, out, room);
  if (n > 0) return n;
  // A tty in raw mode with VMIN = VTIME = 0, as pyserial sets it, reads 0 bytes when there are none; a socket when
  // the other end has closed. wait() tells the two apart: a closed socket is always readable.
  if (n == 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
  return -1;
}

ptrdiff_t PosixWire::write(void* self, const uint8_t* data, size_t n) noexcept {
  const ssize_t taken = ::write(static_cast<PosixWire*>(self)->fd_, data, n);
  if (taken >= 0) return taken;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

int PosixWire::wait(void* self, int64_t deadline_ns, bool for_write) noexcept {
  auto* wire = static_cast<PosixWire*>(self);
  int64_t left = deadline_ns - wire->clock_.now();
  if (left < 0) left = 0;
  pollfd entry{wire->fd_, static_cast<short>(for_write ? POLLOUT : POLLIN), 0};
  const timespec timeout{static_cast<time_t>(left / kNsPerS), static_cast<long>(left % kNsPerS)};
  const int ready = ppoll(&entry, 1, &timeout, nullptr);
  if (ready <= 0) return ready == 0 || errno == EINTR ? 0 : -1;
  if (entry.revents & (POLLERR | POLLNVAL)) return -1;
  // Hung up, and all input read.
  if ((entry.revents & POLLHUP) && !(entry.revents & POLLIN)) return -1;
  return 1;
}

}  // namespace rtu::runtime::link
