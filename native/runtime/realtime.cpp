#include "native/runtime/realtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

namespace rtu::runtime {
namespace {

constexpr size_t kStackPrefault = 128 * 1024;

void refused(RealtimeReport* report, const char* what, int error) noexcept {
  if (report->count >= RealtimeReport::kLinesMax) return;
  char* line = report->lines[report->count++];
  snprintf(line, sizeof report->lines[0], "%s: %s", what, strerrordesc_np(error));  // independent of the locale
}

void prefault_stack() noexcept {
  volatile uint8_t page[kStackPrefault];
  for (size_t i = 0; i < sizeof page; i += 1024) page[i] = 0;
}

// Locks current mappings; future ones only with an unlimited limit, since otherwise later allocations of the
// interpreter would fail.
void lock_memory(RealtimeReport* report) noexcept {
  rlimit limit{};
  const bool unlimited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
  if (mlockall(unlimited ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0) refused(report, "locked memory", errno);
}

}  // namespace

void enter_realtime(const RealtimeRequest& request, RealtimeReport* report) noexcept {
  if (request.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(request.cpu), &set);
    const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (error != 0) refused(report, "pinning to one core", error);
  }
  if (!request.realtime) return;
  lock_memory(report);
  prefault_stack();
  sched_param param{};
  param.sched_priority = request.priority;
  const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
  if (error != 0) refused(report, "real-time priority (SCHED_FIFO)", error);
}

}  // namespace rtu::runtime
