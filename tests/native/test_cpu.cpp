// The vector instructions that we find: as gcc's own library and the kernel find them on this host, and from planted
// registers where the processor or the operating system lacks one part.
#include <string.h>

#include <initializer_list>

#include "check.h"
#include "native/runtime/cpu.h"
#include "native/runtime/isa.h"

namespace {

using namespace rtu::runtime;

constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28;
constexpr uint32_t kAvx2 = 1u << 5, kF = 1u << 16, kDq = 1u << 17, kBw = 1u << 30, kVl = 1u << 31;
constexpr uint64_t kSse = 2, kYmm = 4, kZmm = 0xe0;

constexpr CpuIdentity kFull{kFma | kOsxsave | kAvx, kAvx2 | kF | kDq | kBw | kVl, kSse | kYmm | kZmm};

CpuIdentity without(uint32_t ecx, uint32_t ebx, uint64_t xcr0) {
  return {kFull.leaf1_ecx & ~ecx, kFull.leaf7_ebx & ~ebx, kFull.xcr0 & ~xcr0};
}

void expect(const CpuIdentity& cpu, bool avx2, bool avx512) {
  const VectorSets sets = vector_sets(cpu);
  CHECK(sets.avx2 == avx2);
  CHECK(sets.avx512 == avx512);
}

void planted() {
  expect(kFull, true, true);
  expect({}, false, false);
  expect(without(kOsxsave, 0, 0), false, false);
  expect(without(kAvx, 0, 0), false, false);
  expect(without(0, 0, kSse), false, false);
  expect(without(0, 0, kYmm), false, false);
  expect(without(kFma, 0, 0), false, true);
  expect(without(0, kAvx2, 0), false, true);
  for (const uint32_t part : {kF, kDq, kBw, kVl}) expect(without(0, part, 0), true, false);
  for (const uint64_t part : {0x20, 0x40, 0x80}) expect(without(0, 0, part), true, false);
}

#if defined(__x86_64__)
// Whether the kernel lists a flag for the first processor.
bool in_cpuinfo(const char* flag) {
  static char line[16384];
  FILE* file = fopen("/proc/cpuinfo", "r");
  CHECK(file != nullptr);
  bool found = false, listed = false;
  while (!listed && fgets(line, sizeof line, file) != nullptr) {
    if (strncmp(line, "flags", 5) != 0) continue;
    listed = true;
    for (char* word = strtok(line, " \t\n"); word != nullptr; word = strtok(nullptr, " \t\n"))
      found = found || strcmp(word, flag) == 0;
  }
  fclose(file);
  CHECK(listed);
  return found;
}

void this_host() {
  const VectorSets sets = vector_sets(read_cpu_identity());
  CHECK(sets.avx2 == (in_cpuinfo("avx2") && in_cpuinfo("fma")));
  CHECK(sets.avx512 ==
        (in_cpuinfo("avx512f") && in_cpuinfo("avx512vl") && in_cpuinfo("avx512dq") && in_cpuinfo("avx512bw")));
#if defined(__GNUC__) && !defined(__clang__)  // clang asks the library that zig leaves out
  __builtin_cpu_init();
  CHECK(sets.avx2 == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
  CHECK(sets.avx512 == (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")));
#endif
  const char* error = nullptr;
  const char* const widest = sets.avx512 ? "avx512" : sets.avx2 ? "avx2" : "sse2";
  CHECK(strcmp(choose_kernels(nullptr, error)->name, widest) == 0);
}
#else
void this_host() { expect(read_cpu_identity(), false, false); }
#endif

}  // namespace

int main() {
  planted();
  this_host();
  return 0;
}
