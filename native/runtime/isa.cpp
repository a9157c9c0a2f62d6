#include "native/runtime/isa.h"

#include <string.h>

#include <initializer_list>

#include "native/runtime/cpu.h"

namespace rtu::runtime {

namespace {

using kernels::Kernels;

struct Candidate {
  const char* name;
  const Kernels<float>* table;  // null: not for this architecture
  bool runs;
};

int candidates(Candidate* out) {
  int n = 0;
  out[n++] = {"scalar", kernels::kScalar, true};
#if defined(__x86_64__)
  const VectorSets sets = vector_sets(read_cpu_identity());
  out[n++] = {"sse2", kernels::kSse2, true};
  out[n++] = {"avx2", kernels::kAvx2, sets.avx2};
  out[n++] = {"avx512", kernels::kAvx512, sets.avx512};
  out[n++] = {"neon", nullptr, false};
#elif defined(__aarch64__)
  out[n++] = {"neon", kernels::kNeon, true};
  for (const char* other : {"sse2", "avx2", "avx512"}) out[n++] = {other, nullptr, false};
#else
  for (const char* other : {"sse2", "avx2", "avx512", "neon"}) out[n++] = {other, nullptr, false};
#endif
  return n;
}

}  // namespace

const Kernels<float>* choose_kernels(const char* forced, const char*& error) {
  Candidate list[5];
  const int n = candidates(list);
  if (forced == nullptr || *forced == 0) {
    const Kernels<float>* best = kernels::kScalar;
    for (int i = 0; i < n; ++i)
      if (list[i].runs) best = list[i].table;
    return best;
  }
  for (int i = 0; i < n; ++i) {
    if (strcmp(list[i].name, forced) != 0) continue;
    if (list[i].runs) return list[i].table;
    error = list[i].table == nullptr ? "is not for this architecture" : "is not supported by this processor";
    return nullptr;
  }
  error = "is unknown; choose scalar, sse2, avx2, avx512 or neon";
  return nullptr;
}

int available_kernels(const Kernels<float>** out) {
  Candidate list[5];
  const int n = candidates(list);
  int found = 0;
  for (int i = 0; i < n; ++i)
    if (list[i].runs) out[found++] = list[i].table;
  return found;
}

}  // namespace rtu::runtime
