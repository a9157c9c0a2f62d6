// The coefficients of the RTU, 1 lane; compiled without contraction (kernels.h).
#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace rtu::kernels {

void coefficients_scalar(int32_t poles, const float* nu_log, const float* theta_log, float k,
                         const Coefficients<float>& out) {
  coefficients_of<float, 1, false>(poles, nu_log, theta_log, k, out);
}

#if !defined(RTU_EDGE_FLOAT_ONLY)
void coefficients_scalar_double(int32_t poles, const double* nu_log, const double* theta_log, double k,
                                const Coefficients<double>& out) {
  coefficients_of<double, 1, false>(poles, nu_log, theta_log, k, out);
}
#endif

}  // namespace rtu::kernels
