#include "native/runtime/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace rtu::runtime {

namespace {

constexpr uint32_t bit(int n) { return uint32_t{1} << n; }

// CPUID 1, ECX
constexpr uint32_t kFma = bit(12), kOsxsave = bit(27), kAvx = bit(28);
// CPUID 7, EBX
constexpr uint32_t kAvx2 = bit(5), kAvx512f = bit(16), kAvx512dq = bit(17), kAvx512bw = bit(30), kAvx512vl = bit(31);
// XCR0: SSE and AVX registers; opmasks, upper halves of ZMM0 to 15, ZMM16 to 31
constexpr uint64_t kYmmSaved = bit(1) | bit(2), kZmmSaved = kYmmSaved | bit(5) | bit(6) | bit(7);

template <class Word>
bool has(Word word, Word wanted) {
  return (word & wanted) == wanted;
}

}  // namespace

CpuIdentity read_cpu_identity() {
  CpuIdentity cpu;
#if defined(__x86_64__)
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return cpu;
  cpu.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) cpu.leaf7_ebx = b;
  if (has(cpu.leaf1_ecx, kOsxsave)) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpu.xcr0 = (uint64_t{high} << 32) | low;
  }
#endif
  return cpu;
}

VectorSets vector_sets(const CpuIdentity& cpu) {
  VectorSets sets;
  const bool avx = has(cpu.leaf1_ecx, kOsxsave | kAvx) && has(cpu.xcr0, kYmmSaved);
  sets.avx2 = avx && has(cpu.leaf1_ecx, kFma) && has(cpu.leaf7_ebx, kAvx2);
  sets.avx512 = avx && has(cpu.xcr0, kZmmSaved) && has(cpu.leaf7_ebx, kAvx512f | kAvx512vl | kAvx512dq | kAvx512bw);
  return sets;
}

}  // namespace rtu::runtime
