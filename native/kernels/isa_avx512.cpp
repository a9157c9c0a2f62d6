// AVX-512 F, VL, DQ and BW, sixteen lanes.
#include "native/kernels/table.inl.h"

namespace rtu::kernels {

static constexpr Kernels<float> kTable = make_table<float, 16>("avx512", coefficients_avx512);
const Kernels<float>* const kAvx512 = &kTable;

}  // namespace rtu::kernels
