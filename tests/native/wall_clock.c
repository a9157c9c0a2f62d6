/* A wall clock that is wrong: loaded with LD_PRELOAD. The monotonic clock is the system's.
 *   WALL_CLOCK       seconds since 1970 at the first read, such as 5 or -86400
 *   WALL_CLOCK_JUMPS seconds by which it jumps, forwards and back, at every read; 0: none */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct timespec wall(void) {
  static _Thread_local int reads;
  static long long begun;
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  if (begun == 0) begun = now.tv_sec;
  const char* jumps = getenv("WALL_CLOCK_JUMPS");
  const long long jump = jumps == NULL || reads++ % 2 == 0 ? 0 : atoll(jumps);
  const char* at = getenv("WALL_CLOCK");
  now.tv_sec = now.tv_sec - begun + (at == NULL ? 0 : atoll(at)) + jump;
  return now;
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, out);
  *out = wall();
  return 0;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  const struct timespec now = wall();
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  const time_t now = wall().tv_sec;
  if (out != NULL) *out = now;
  return now;
}
