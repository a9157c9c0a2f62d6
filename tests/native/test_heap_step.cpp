// Steps of every learner, on every instruction set of this host: between step 100 and the last, no call of the
// allocator and no page fault. With the guard (tests/test_heap.py) 100 000 steps with the kernels that agents use;
// without it a few steps, which only have to succeed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "every_learner.h"
#include "native/runtime/alloc_guard.h"
#include "native/runtime/isa.h"

namespace {

#ifndef RUSAGE_THREAD
#define RUSAGE_THREAD 1  // of Linux: outside strict POSIX
#endif

long page_faults() {
  rusage usage{};
  (void)getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

template <class T>
int run(const rtu::kernels::Kernels<T>* kernels, const char* name, uint32_t steps) {
  const size_t bytes = every::bytes<T>(static_cast<uint32_t>(kernels->lanes));
  auto* memory = static_cast<unsigned char*>(aligned_alloc(rtu::core::kAlignment, bytes));
  memset(memory, 0, bytes);
  const auto models = every::set_up(memory, kernels);
  if (alloc_guard_calls == nullptr) steps = 500;
  int64_t before = 0;
  long faults = page_faults();
  int failures = 0;
  for (uint32_t i = 0; i < steps; ++i) {
    if (i == 100) {
      if (alloc_guard_calls != nullptr) before = alloc_guard_calls(0);
      faults = page_faults();
    }
    if (rtu::core::failed(every::step(models, i))) ++failures;
  }
  faults = page_faults() - faults;
  if (alloc_guard_calls != nullptr && alloc_guard_calls(0) != before) {
    char who[256] = "";
    (void)alloc_guard_last(0, who, sizeof who);
    printf("FAILED: %s: %lld calls of the allocator, last by %s\n", name,
           static_cast<long long>(alloc_guard_calls(0) - before), who);
    ++failures;
  }
  if (alloc_guard_calls != nullptr && faults != 0) {
    printf("FAILED: %s: %ld page faults\n", name, faults);
    ++failures;
  }
  printf("%s: %u steps, %d failures\n", name, steps, failures);
  free(memory);
  return failures;
}

}  // namespace

int main() {
  int failures = run(rtu::kernels::kScalarDouble, "double", 10000);
  const rtu::kernels::Kernels<float>* found[5];
  const int n = rtu::runtime::available_kernels(found);
  for (int i = 0; i < n; ++i) failures += run(found[i], found[i]->name, i == n - 1 ? 100000 : 10000);
  return failures != 0;
}
