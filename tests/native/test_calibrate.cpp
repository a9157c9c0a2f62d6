// Calibration on a clock that moves only when the learner works: it returns the simulated durations.
#include "check.h"
#include "native/runtime/calibrate.h"

namespace {

using namespace rtu::runtime;

struct Worker {
  VirtualClock time;
  Clock clock = {this, now, nullptr};
  int64_t predict_ns, advance_ns, update_ns, read_ns;
  bool pending = false;  // a weight step that the next prediction applies: half of the update's cost
  int64_t calls = 0;

  static int64_t now(void* self) noexcept {
    auto& worker = *static_cast<Worker*>(self);
    worker.time.advance(worker.read_ns);
    return worker.time.t_ns;
  }
  void first() noexcept {
    // Occasionally something interrupts.
    time.advance(predict_ns + (pending ? update_ns / 2 : 0) + (++calls % 7 == 0 ? 50000 : 0));
    pending = false;
  }
  Subject subject() noexcept {
    Subject out;
    out.self = this;
    out.predict = [](void* self) noexcept { static_cast<Worker*>(self)->first(); };
    out.advance = [](void* self) noexcept {
      static_cast<Worker*>(self)->time.advance(static_cast<Worker*>(self)->advance_ns);
    };
    out.step = [](void* self) noexcept {
      auto& worker = *static_cast<Worker*>(self);
      worker.first();
      worker.time.advance(worker.advance_ns + worker.update_ns / 2);
      worker.pending = true;
    };
    return out;
  }
};

}  // namespace

int main() {
  Worker worker;
  worker.predict_ns = 1000;
  worker.advance_ns = 700;
  worker.update_ns = 400;
  worker.read_ns = 30;
  const StepTimes times = calibrate(worker.subject(), worker.clock, 100 * kNsPerMs);
  CHECK(times.predict_ns == 1000);
  CHECK(times.traces_ns == 700);
  CHECK(times.update_ns == 400);
  CHECK(times.rounds > 1000);
  CHECK(worker.time.t_ns < 110 * kNsPerMs);

  // Without a budget it still runs a few rounds; with an unlimited one it ends.
  CHECK(calibrate(worker.subject(), worker.clock, 0).predict_ns == 1000);
  CHECK(calibrate(worker.subject(), worker.clock, 3600 * kNsPerS).rounds < 100000);

  // Separate halves that cost more than the fused step.
  worker.predict_ns = 1000;
  worker.advance_ns = 900;
  worker.update_ns = 0;
  Subject fused = worker.subject();
  fused.step = [](void* self) noexcept { static_cast<Worker*>(self)->time.advance(1500); };
  const StepTimes one = calibrate(fused, worker.clock, kNsPerMs);
  CHECK(one.predict_ns == 1000);
  CHECK(one.traces_ns == 500);
  CHECK(one.update_ns == 0);
  return 0;
}
