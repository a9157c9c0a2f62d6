// Minimax series for float, of kernels and scalars. Internal linkage: kernel files include this and share no code.
#pragma once

namespace rtu::core {

// exp(r) = 1 + r + r^2/2 + r^3 sum_k a_k r^k for |r| <= ln2 / 2: 1e-10 of it
constexpr float kExpSeries[] = {0.16666667f, 0.041666456f, 0.008333274f, 0.0013935644f, 0.00019913568f};
// sin(r) = r + r w sum_k a_k w^k and cos(r) = 1 - w/2 + w^2 sum_k a_k w^k, w = r^2, |r| <= pi / 4: 2e-9, 1e-10
constexpr float kSineSeries[] = {-0.16666651f, 0.0083319759f, -0.00019495275f};
constexpr float kCosineSeries[] = {0.041666646f, -0.0013887364f, 2.4438072e-05f};
// atanh(t) = t + t w sum_k a_k w^k, w = t^2 <= 1 / 9: 5e-9 of it
constexpr float kAtanhSeries[] = {0.33333206f, 0.20010847f, 0.13999607f, 0.14012076f};

}  // namespace rtu::core
