#define _GNU_SOURCE /* ppoll, clock_nanosleep */
#include "firmware_bridge/boards/bus_server/port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static uint64_t port_now(void *self) {
    struct timespec t;
    (void)self;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool passes(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static ptrdiff_t port_read(void *self, uint8_t *out, size_t room) {
    const ssize_t n = room != 0 ? read(*(int *)self, out, room) : 0;
    /* A tty with VMIN = VTIME = 0 reads 0 bytes when there are none; wait() finds out when it is gone. */
    return n >= 0 ? n : passes() ? 0 : -1;
}

static ptrdiff_t port_write(void *self, const uint8_t *bytes, size_t n) {
    const ssize_t wrote = write(*(int *)self, bytes, n);
    return wrote >= 0 ? wrote : passes() ? 0 : -1;
}

static int port_wait(void *self, uint64_t until_us, bool for_write) {
    const uint64_t now_us = port_now(self), left_us = until_us > now_us ? until_us - now_us : 0;
    const struct timespec timeout = {(time_t)(left_us / 1000000u), (long)(left_us % 1000000u) * 1000};
    struct pollfd entry = {.fd = *(int *)self, .events = for_write ? POLLOUT : POLLIN};
    const int ready = ppoll(&entry, 1, &timeout, NULL);
    if (ready <= 0) return ready == 0 || errno == EINTR ? 0 : -1;
    if (entry.revents & (POLLERR | POLLNVAL)) return -1;
    return (entry.revents & POLLHUP) && !(entry.revents & POLLIN) ? -1 : 1;
}

static void port_sleep(void *self, uint64_t until_us) {
    const struct timespec until = {(time_t)(until_us / 1000000u), (long)(until_us % 1000000u) * 1000};
    (void)self;
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

tl_bus_wire tl_bus_port(int *fd) {
    const int flags = fcntl(*fd, F_GETFL);
    if (flags != -1) (void)fcntl(*fd, F_SETFL, flags | O_NONBLOCK);
    return (tl_bus_wire){fd, port_read, port_write, port_wait, port_now, port_sleep};
}
