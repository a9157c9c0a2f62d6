// Which vector instructions this processor and its operating system support, from CPUID and XGETBV themselves:
// __builtin_cpu_supports depends on the compiler's runtime library, and answers 0 for everything under zig.
// Source: Intel SDM, volume 1, 14.3 and 15.2: a set is usable when the processor has it and the operating system saves
// its registers.
#pragma once

#include <stdint.h>

namespace rtu::runtime {

struct CpuIdentity {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;  // 0 where the processor has no leaf 7
  uint64_t xcr0 = 0;       // registers that the operating system saves; 0 where XGETBV is not enabled
};

struct VectorSets {
  bool avx2 = false;    // with FMA
  bool avx512 = false;  // F, VL, DQ and BW
};

// Zeros on other architectures.
CpuIdentity read_cpu_identity();

VectorSets vector_sets(const CpuIdentity& cpu);

}  // namespace rtu::runtime
