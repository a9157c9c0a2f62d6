// The step as firmware would call it, in a unit of its own so that it can be linked, measured and searched alone.
#pragma once

#include "tests/firmware/cortex/cell_run.h"

extern "C" float rtu_cell_step(const cell_run::Model& model, float pending);
