// Tests the guard: it counts every allocation function, from any thread, and nothing else.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "native/runtime/alloc_guard.h"

namespace {

// Stored so that the compiler cannot remove it as unused.
void* volatile kept;

void keep_and_free(void* block) {
  kept = block;
  free(kept);
}

struct Way {
  const char* name;
  void (*take)();
};

const Way kWays[] = {
    {"malloc", [] { keep_and_free(malloc(24)); }},
    {"calloc", [] { keep_and_free(calloc(3, 8)); }},
    {"realloc", [] { keep_and_free(realloc(nullptr, 24)); }},
    {"aligned_alloc", [] { keep_and_free(aligned_alloc(64, 64)); }},
    {"posix_memalign",
     [] {
       void* block = nullptr;
       if (posix_memalign(&block, 64, 64) == 0) keep_and_free(block);
     }},
    {"strdup", [] { keep_and_free(strdup("x")); }},
    {"new",
     [] {
       kept = new int(3);
       delete static_cast<int*>(kept);
     }},
    {"mmap",
     [] {
       kept = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       munmap(kept, 4096);
     }},
};

std::atomic<int> thread_id{0};
std::atomic<int> order{0};

// Another thread: waits, then allocates once.
void* allocate_when_told(void*) {
  thread_id = static_cast<int>(syscall(SYS_gettid));
  while (order == 0) usleep(100);
  keep_and_free(malloc(100));
  order = 2;
  while (order != 3) usleep(100);
  return nullptr;
}

int check(bool good, const char* what) {
  if (!good) printf("FAILED: %s\n", what);
  return good ? 0 : 1;
}

}  // namespace

int main() {
  if (alloc_guard_calls == nullptr) {
    puts("no guard in this process: nothing to count");
    return 0;
  }
  int failures = 0;
  for (const Way& way : kWays) {
    const int64_t before = alloc_guard_calls(0);
    way.take();
    failures += check(alloc_guard_calls(0) == before + 2, way.name);
  }

  const int64_t before = alloc_guard_calls(0);
  float sum = 0.0f;
  for (int i = 0; i < 100000; ++i) sum += static_cast<float>(i);
  failures += check(sum > 0.0f && alloc_guard_calls(0) == before, "arithmetic allocates nothing");

  pthread_t thread;
  pthread_create(&thread, nullptr, allocate_when_told, nullptr);
  while (thread_id == 0) usleep(100);
  const int64_t mine = alloc_guard_calls(0);
  const int64_t theirs = alloc_guard_calls(thread_id);
  order = 1;
  while (order != 2) usleep(100);
  failures += check(alloc_guard_calls(thread_id) == theirs + 2, "another thread's calls are seen");
  failures += check(alloc_guard_calls(0) == mine, "and are not ours");
  order = 3;
  pthread_join(thread, nullptr);
  return failures;
}
