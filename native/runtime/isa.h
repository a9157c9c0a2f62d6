// Selection of the kernels, once, at load. RTU_EDGE_ISA forces an instruction set by name.
#pragma once

#include "native/kernels/kernels.h"

namespace rtu::runtime {

// The widest table that this processor runs, or the one that RTU_EDGE_ISA names; null when the name is unknown or the
// processor lacks it; `error` then holds the reason.
const kernels::Kernels<float>* choose_kernels(const char* forced, const char*& error);

// Names of the tables of this build that this processor runs, widest last; returns how many (at most 5).
int available_kernels(const kernels::Kernels<float>** out);

}  // namespace rtu::runtime
