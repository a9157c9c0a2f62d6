/* An emulated bus in virtual time, and a tl_bus connected to it. */
#pragma once

#include <string.h>

#include "check.h"
#include "firmware_bridge/boards/servos/emulated.h"
#include "firmware_bridge/bus/bus.h"

typedef struct {
  tl_emulated emulated;
  uint64_t now_ns;
  bool unplugged;
  uint32_t sleeps, waits;
  tl_bus bus;
} stage;

static ptrdiff_t stage_read(void* self, uint8_t* out, size_t room) {
  stage* s = (stage*)self;
  return s->unplugged ? -1 : (ptrdiff_t)tl_emulated_take(&s->emulated, out, room, s->now_ns);
}

static ptrdiff_t stage_write(void* self, const uint8_t* bytes, size_t n) {
  stage* s = (stage*)self;
  if (s->unplugged) return -1;
  tl_emulated_receive(&s->emulated, bytes, n, s->now_ns);
  return (ptrdiff_t)n;
}

static int stage_wait(void* self, uint64_t until_us, bool for_write) {
  stage* s = (stage*)self;
  const uint64_t until_ns = until_us * 1000, due_ns = tl_emulated_due(&s->emulated);
  s->waits++;
  if (s->unplugged) return -1;
  if (for_write) return 1;
  const bool comes = due_ns <= until_ns;
  const uint64_t at_ns = comes ? due_ns : until_ns;
  if (at_ns > s->now_ns) s->now_ns = at_ns;
  return comes ? 1 : 0;
}

static uint64_t stage_now(void* self) { return ((stage*)self)->now_ns / 1000; }

static stage the_stage;

static stage* begin(const char* family, uint32_t count) {
  stage* s = &the_stage;
  memset(s, 0, sizeof *s);
  s->now_ns = 1000000;
  CHECK(tl_emulated_init(&s->emulated, family, count, 1000000, s->now_ns));
  const tl_bus_wire wire = {s, stage_read, stage_write, stage_wait, stage_now, NULL};
  tl_bus_init(&s->bus, wire, tl_servo_family_find(family), 1000000);
  s->bus.return_delay_us = 0;
  s->bus.latency_us = 100;
  return s;
}

static const char* const families[] = {"dynamixel", "feetech", "scs"};

static const tl_register* reg(const stage* s, int role) { return &s->bus.family->registers[role]; }

static void servos_of(tl_bus_servo* servos, tl_bus_servo** list, size_t count) {
  memset(servos, 0, count * sizeof *servos);
  for (size_t i = 0; i < count; i++) {
    servos[i].id = (uint8_t)(i + 1);
    list[i] = &servos[i];
  }
}
