// The host's half: the same steps through the scalar table of the library. First the planned bytes, then a line a step.
#include <cstdio>

#include "tests/firmware/cortex/cell_run.h"

static void print(const float* y, int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits = 0;
    memcpy(&bits, y + i, sizeof bits);
    std::printf("%08x%c", static_cast<unsigned>(bits), i + 1 < n ? ' ' : '\n');
  }
}

int main() {
  alignas(64) static unsigned char memory[cell_run::planned_bytes()];
  rtu::core::Builder arena(memory, nullptr, 1);
  cell_run::Model model = cell_run::lay_out(arena);
  model.cell.kernels = rtu::kernels::kScalar;
  std::printf("%llu\n", static_cast<unsigned long long>(arena.bytes()));
  cell_run::run(model, cell_run::step, print);
  return 0;
}
