// The step as firmware would call it, in a separate translation unit so that it can be linked and measured alone.
#pragma once

#include "tests/firmware/cortex/cell_run.h"

extern "C" float rtu_cell_step(const cell_run::Model& model, float pending);
