// count_step <isa> <work> <inputs> <units> <steps>: steps of one cell, for an instruction counter
// (tests/test_instructions.py) that counts inside counted().
#include <stdio.h>
#include <stdlib.h>

#include <string>

#include "check.h"
#include "native/runtime/isa.h"
#include "native/testing/cell_stepper.h"

extern "C" __attribute__((noinline)) void counted(rtu::testing::Stepper* stepper, int steps);
extern "C" void counted(rtu::testing::Stepper* stepper, int steps) { stepper->run(steps); }

int main(int argc, char** argv) {
  using rtu::testing::Work;
  CHECK(argc == 6);
  const char* error = "";
  rtu::testing::StepConfig config;
  config.kernels = rtu::runtime::choose_kernels(argv[1], error);
  CHECK(config.kernels != nullptr);
  const std::string work = argv[2];
  CHECK(work == "sgd" || work == "obgd" || work == "split");
  config.work = work == "sgd" ? Work::kSgd : work == "obgd" ? Work::kObgd : Work::kSplit;
  config.cell.inputs = atoi(argv[3]);
  config.cell.poles = atoi(argv[4]);
  rtu::testing::Stepper stepper(config);
  counted(&stepper, atoi(argv[5]));
  CHECK(stepper.output() == stepper.output());
  return 0;
}
