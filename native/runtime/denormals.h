// Flushes denormal numbers to zero while a learner steps: traces and eligibilities decay into them, and each operation
// on one costs about a hundred cycles. The mode is per thread. It is restored on Python's threads; the loop's thread
// keeps it.
#pragma once

namespace rtu::runtime {

// Sets the mode; returns the state before, for restore_denormals().
inline unsigned long flush_denormals() noexcept {
#if defined(__x86_64__)
  const unsigned int state = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(state | 0x8040u);  // flush to zero, denormals are zero
  return state;
#elif defined(__aarch64__)
  unsigned long state = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  __asm__ volatile("msr fpcr, %0" : : "r"(state | (1ul << 24u)));
  return state;
#elif defined(__arm__) && defined(__VFP_FP__) && !defined(__SOFTFP__)
  unsigned long state = 0;
  __asm__ volatile("vmrs %0, fpscr" : "=r"(state));
  __asm__ volatile("vmsr fpscr, %0" : : "r"(state | (1ul << 24u)));
  return state;
#else
  return 0;
#endif
}

inline void restore_denormals(unsigned long state) noexcept {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(static_cast<unsigned int>(state));
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(state));
#elif defined(__arm__) && defined(__VFP_FP__) && !defined(__SOFTFP__)
  __asm__ volatile("vmsr fpscr, %0" : : "r"(state));
#else
  (void)state;
#endif
}

// Scope guard of the mode.
class DenormalsFlushed {
 public:
  DenormalsFlushed() noexcept : state_(flush_denormals()) {}
  ~DenormalsFlushed() { restore_denormals(state_); }
  DenormalsFlushed(const DenormalsFlushed&) = delete;
  DenormalsFlushed& operator=(const DenormalsFlushed&) = delete;

 private:
  unsigned long state_;
};

}  // namespace rtu::runtime
