/* How a host waits for the answers of a servo bus, in virtual time. */
#include "bus_stage.h"
#include "check.h"

/* A clock that advances each time it is read. */
static uint64_t ticking_now(void* self) { return ((stage*)self)->now_ns += 1000, stage_now(self); }

static void stage_sleep(void* self, uint64_t until_us) {
  stage* s = (stage*)self;
  s->sleeps++;
  if (until_us * 1000 > s->now_ns) s->now_ns = until_us * 1000;
}

/* A host that can sleep does so once for all answers, and is awake when the last one is whole. */
static void one_sleep(const char* family, bool fast) {
  stage* s = begin(family, 6);
  tl_bus_servo servos[6], *list[6];
  servos_of(servos, list, 6);
  const tl_register* position = reg(s, TL_REG_POSITION);
  s->bus.wire.now_us = ticking_now;
  s->bus.wire.sleep = stage_sleep;
  for (uint32_t cycle = 1; cycle <= 20; cycle++) {
    CHECK_AT(tl_bus_poll(&s->bus, position->address, position->size, fast, servos, 6, cycle) == TL_BUS_OK, family);
    CHECK_AT(s->sleeps == cycle && s->waits == 0, family);
    CHECK_AT(s->now_ns / 1000 < s->bus.due_us + 10, family);
  }
  /* A dead one: the others are fresh, and the host waits as it did. */
  s->emulated.servos[2].dead = 1;
  (void)tl_bus_poll(&s->bus, position->address, position->size, fast, servos, 6, 21);
  for (uint8_t i = 0; i < 6; i++) CHECK_AT(servos[i].fresh == (i != 2), family);
  CHECK_AT(s->waits > 0, family);
}

int main(void) {
  one_sleep("dynamixel", false);
  one_sleep("dynamixel", true);
  one_sleep("feetech", false);
  return check_result("bus sleep");
}
