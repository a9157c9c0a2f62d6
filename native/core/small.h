// Code left out of firmware. A source file that defines TL_SMALL before its includes has StreamAC with linear or
// nonlinear RTUs under ObGD, SGD or Adam alone: no other cells, no encoder, no action values, no preconditioned
// optimizers.
#pragma once

namespace rtu::core {

#if defined(TL_SMALL)
constexpr bool kSmall = true;
#else
constexpr bool kSmall = false;
#endif

}  // namespace rtu::core
