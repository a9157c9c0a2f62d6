/* CLOCK_MONOTONIC of a process and its children at a fraction of its speed, and every wait on it as much longer: a
 * test in real time then holds on a busier host. Built and preloaded by tools/slow.py; RTU_SLOW is the factor.
 *
 * CLOCK_REALTIME and the times of the processor are the host's; so are waits for a time of CLOCK_REALTIME. */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const int64_t kNs = 1000000000;
static const time_t kYear2001 = 1000000000; /* a later time in s is one of CLOCK_REALTIME */

static int64_t factor(void) {
  static int64_t known;
  if (known == 0) {
    const char* text = getenv("RTU_SLOW");
    known = text != NULL && atoi(text) > 1 ? atoi(text) : 1;
  }
  return known;
}

static int slowed(clockid_t clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
         clock == CLOCK_BOOTTIME;
}

static struct timespec scaled(struct timespec t, int64_t by, int64_t over) {
  const int64_t ns = (t.tv_sec * kNs + t.tv_nsec) * by / over;
  return (struct timespec){.tv_sec = ns / kNs, .tv_nsec = ns % kNs};
}

static struct timespec longer(struct timespec t) { return scaled(t, factor(), 1); }

/* NULL stays NULL. */
static const struct timespec* longer_or_none(const struct timespec* t, struct timespec* room) {
  if (t == NULL) return NULL;
  *room = longer(*t);
  return room;
}

static int longer_ms(int ms) { return ms <= 0 ? ms : ms > INT32_MAX / factor() ? INT32_MAX : ms * (int)factor(); }

/* Of a deadline whose clock is not known. */
static struct timespec deadline(const struct timespec* t) { return t->tv_sec > kYear2001 ? *t : longer(*t); }

#define NEXT(name)               \
  static __typeof__(&name) next; \
  if (next == NULL) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The first version of this function has another layout. */
#define NEXT_VERSION(name, version)                                              \
  static __typeof__(&name) next;                                                 \
  if (next == NULL) next = (__typeof__(&name))dlvsym(RTLD_NEXT, #name, version); \
  if (next == NULL) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec* now) {
  NEXT(clock_gettime);
  const int result = next(clock, now);
  if (result == 0 && slowed(clock)) *now = scaled(*now, 1, factor());
  return result;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec* wanted, struct timespec* left) {
  NEXT(clock_nanosleep);
  /* A time of CLOCK_REALTIME that is no duration is the host's. */
  const struct timespec t = slowed(clock) || !(flags & TIMER_ABSTIME) ? longer(*wanted) : *wanted;
  const int result = next(clock, flags, &t, left);
  if (result == EINTR && left != NULL && !(flags & TIMER_ABSTIME)) *left = scaled(*left, 1, factor());
  return result;
}

int nanosleep(const struct timespec* wanted, struct timespec* left) {
  const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
  errno = error == 0 ? errno : error;
  return error == 0 ? 0 : -1;
}

int usleep(useconds_t us) {
  return nanosleep(&(struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L}, NULL);
}

unsigned sleep(unsigned seconds) {
  struct timespec left = {0};
  return nanosleep(&(struct timespec){.tv_sec = seconds}, &left) == 0 ? 0 : (unsigned)left.tv_sec;
}

int poll(struct pollfd* fds, nfds_t n, int timeout_ms) {
  NEXT(poll);
  return next(fds, n, longer_ms(timeout_ms));
}

int __poll_chk(struct pollfd* fds, nfds_t n, int timeout_ms, size_t bytes) {
  (void)bytes;
  return poll(fds, n, timeout_ms);
}

int ppoll(struct pollfd* fds, nfds_t n, const struct timespec* timeout, const sigset_t* mask) {
  NEXT(ppoll);
  struct timespec room;
  return next(fds, n, longer_or_none(timeout, &room), mask);
}

int __ppoll_chk(struct pollfd* fds, nfds_t n, const struct timespec* timeout, const sigset_t* mask, size_t bytes) {
  (void)bytes;
  return ppoll(fds, n, timeout, mask);
}

int select(int n, fd_set* in, fd_set* out, fd_set* other, struct timeval* timeout) {
  NEXT(select);
  if (timeout == NULL) return next(n, in, out, other, NULL);
  const struct timespec t = longer((struct timespec){.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000});
  struct timeval room = {.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
  return next(n, in, out, other, &room);
}

int pselect(int n, fd_set* in, fd_set* out, fd_set* other, const struct timespec* timeout, const sigset_t* mask) {
  NEXT(pselect);
  struct timespec room;
  return next(n, in, out, other, longer_or_none(timeout, &room), mask);
}

int epoll_wait(int fd, struct epoll_event* events, int n, int timeout_ms) {
  NEXT(epoll_wait);
  return next(fd, events, n, longer_ms(timeout_ms));
}

int epoll_pwait(int fd, struct epoll_event* events, int n, int timeout_ms, const sigset_t* mask) {
  NEXT(epoll_pwait);
  return next(fd, events, n, longer_ms(timeout_ms), mask);
}

int timerfd_settime(int fd, int flags, const struct itimerspec* wanted, struct itimerspec* before) {
  NEXT(timerfd_settime);
  const struct timespec begin = flags & TFD_TIMER_ABSTIME ? deadline(&wanted->it_value) : longer(wanted->it_value);
  const struct itimerspec t = {.it_interval = longer(wanted->it_interval), .it_value = begin};
  return next(fd, flags, &t, before);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* until) {
  NEXT_VERSION(pthread_cond_timedwait, "GLIBC_2.3.2");
  const struct timespec t = deadline(until);
  return next(condition, mutex, &t);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const struct timespec* until) {
  NEXT(pthread_cond_clockwait);
  const struct timespec t = deadline(until);
  return next(condition, mutex, clock, &t);
}

int sem_clockwait(sem_t* semaphore, clockid_t clock, const struct timespec* until) {
  NEXT(sem_clockwait);
  const struct timespec t = deadline(until);
  return next(semaphore, clock, &t);
}
