// The table of one instruction set, filled from the templates.
#pragma once

#include "native/kernels/dense.inl.h"
#include "native/kernels/descend.inl.h"
#include "native/kernels/gated.inl.h"
#include "native/kernels/input.inl.h"
#include "native/kernels/online.inl.h"
#include "native/kernels/rtu_nonlinear.inl.h"
#include "native/kernels/rtu_poles.inl.h"

namespace {

template <class T, int V>
constexpr rtu::kernels::Kernels<T> make_table(const char* name, rtu::kernels::CoefficientsFunction<T>* coefficients) {
  return {name,
          V,
          coefficients,
          forward<T, V>,
          apply<T, V>,
          state<T, V>,
          learn_linear<T, V>,
          learn_nonlinear<T, V>,
          input_backward<T, V>,
          step_linear<T, V>,
          step_sgd<T, V>,
          learn_units<T, V>,
          dense_forward<T, V>,
          dense_backward<T, V>,
          dense_learn<T, V>,
          add_phase<T, V>,
          hold_phase<T, V>,
          add<T, V>,
          decay_add<T, V>,
          norm_relu<T, V>,
          norm_relu_backward<T, V>,
          adam<T, V>,
          condition<T, V>,
          dense_condition<T, V>,
          gains<T, V>,
          learn_gains<T, V>,
          gate<T, V>,
          learn_gated<T, V>,
          learn_gates<T, V>,
          online<T, V>,
          descend<T, V>,
          descend_units<T, V>,
          dense_descend<T, V>};
}

}  // namespace
