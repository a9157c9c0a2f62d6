// AVX2 and FMA, eight lanes.
#include "native/kernels/table.inl.h"

namespace rtu::kernels {

static constexpr Kernels<float> kTable = make_table<float, 8>("avx2", coefficients_avx2);
const Kernels<float>* const kAvx2 = &kTable;

}  // namespace rtu::kernels
