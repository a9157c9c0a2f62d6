// The coefficients of the RTU, 16 lanes; compiled without contraction (kernels.h).
#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace rtu::kernels {

void coefficients_avx512(int32_t poles, const float* nu_log, const float* theta_log, float k,
                         const Coefficients<float>& out) {
  coefficients_of<float, 16, true>(poles, nu_log, theta_log, k, out);
}

}  // namespace rtu::kernels
