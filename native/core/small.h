// Code left out of firmware. A source file that defines TL_SMALL before its includes has StreamAC with linear or
// nonlinear RTUs and at most one layer under ObGD or SGD: no other cells, no encoder, no action values, no moments.
#pragma once

namespace rtu::core {

// Setting: a number of a configuration that is rounded to the learner's type where it is used; in firmware once, by the
// compiler.
#if defined(TL_SMALL)
constexpr bool kSmall = true;
using Setting = float;
#else
constexpr bool kSmall = false;
using Setting = double;
#endif

}  // namespace rtu::core
