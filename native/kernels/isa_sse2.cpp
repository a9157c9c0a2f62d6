// x86-64 baseline, four lanes.
#include "native/kernels/table.inl.h"

namespace rtu::kernels {

static constexpr Kernels<float> kTable = make_table<float, 4>("sse2", coefficients_sse2);
const Kernels<float>* const kSse2 = &kTable;

}  // namespace rtu::kernels
