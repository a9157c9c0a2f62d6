/* Transactions against emulated buses in virtual time: exact, and independent of this host. */
#include <string.h>

#include "bus_stage.h"
#include "check.h"
#include "firmware_bridge/boards/servos/emulated.h"
#include "firmware_bridge/bus/bus.h"
#include "firmware_bridge/bus/feetech.h"
#include "firmware_bridge/protocol/bytes.h"

static tl_bus_status write_value(stage* s, uint8_t id, int role, int64_t v, uint8_t* alarm) {
  uint8_t bytes[4];
  CHECK(tl_register_put(reg(s, role), v, s->bus.family->big_endian, bytes));
  return tl_bus_write(&s->bus, id, reg(s, role)->address, bytes, reg(s, role)->size, alarm);
}

static int64_t read_value(stage* s, uint8_t id, int role) {
  uint8_t bytes[4];
  CHECK(tl_bus_read(&s->bus, id, reg(s, role)->address, reg(s, role)->size, bytes, NULL) == TL_BUS_OK);
  return tl_register_get(reg(s, role), s->bus.family->big_endian, bytes);
}

static void singles(const char* family) {
  stage* s = begin(family, 3);
  uint8_t alarm = 9;
  CHECK_AT(tl_bus_ping(&s->bus, 2, &alarm) == TL_BUS_OK && alarm == 0, family);
  CHECK_AT(tl_bus_ping(&s->bus, 9, &alarm) == TL_BUS_SILENT && alarm == 0, family);
  CHECK_AT(tl_bus_ping(&s->bus, 253, NULL) == TL_BUS_INVALID && tl_bus_ping(&s->bus, 254, NULL) == TL_BUS_INVALID,
           family);
  CHECK_AT(write_value(s, 2, TL_REG_TORQUE, 1, NULL) == TL_BUS_OK, family);
  CHECK_AT(write_value(s, 2, TL_REG_GOAL_POSITION, 700, NULL) == TL_BUS_OK, family);
  CHECK_AT(read_value(s, 2, TL_REG_GOAL_POSITION) == 700 && read_value(s, 1, TL_REG_GOAL_POSITION) != 700, family);
  if (strcmp(family, "scs") != 0) {
    CHECK_AT(write_value(s, 2, TL_REG_GOAL_POSITION, -300, NULL) == TL_BUS_OK, family);
    CHECK_AT(read_value(s, 2, TL_REG_GOAL_POSITION) == -300, family);
  }
  uint8_t bytes[4];
  CHECK(tl_register_put(reg(s, TL_REG_GOAL_POSITION), 555, s->bus.family->big_endian, bytes));
  const tl_register* goal = reg(s, TL_REG_GOAL_POSITION);
  CHECK_AT(tl_bus_reg_write(&s->bus, 3, goal->address, bytes, goal->size, NULL) == TL_BUS_OK, family);
  CHECK_AT(read_value(s, 3, TL_REG_GOAL_POSITION) != 555, family);
  CHECK_AT(tl_bus_action(&s->bus) == TL_BUS_OK && read_value(s, 3, TL_REG_GOAL_POSITION) == 555, family);
  int8_t found[TL_BUS_BROADCAST];
  CHECK_AT(tl_bus_scan(&s->bus, 0, 20, found) == TL_BUS_OK, family);
  for (int id = 0; id <= 20; id++) CHECK_AT(found[id] == (id >= 1 && id <= 3 ? TL_BUS_OK : TL_BUS_SILENT), family);
  CHECK_AT(tl_bus_torque_off(&s->bus) == TL_BUS_OK && read_value(s, 2, TL_REG_TORQUE) == 0, family);
  const tl_bus_status rebooted = tl_bus_reboot(&s->bus, 2, NULL);
  CHECK_AT(rebooted == (strcmp(family, "dynamixel") == 0 ? TL_BUS_OK : TL_BUS_INVALID), family);
  CHECK_AT(s->bus.counters.strays == 0 && s->bus.counters.damaged == 0, family);
}

static void many(const char* family, bool fast) {
  stage* s = begin(family, 4);
  tl_bus_servo servos[4], *list[4];
  servos_of(servos, list, 4);
  const tl_register* position = reg(s, TL_REG_POSITION);
  const uint8_t ids[2] = {2, 4};
  uint8_t bytes[8];
  const tl_register* goal = reg(s, TL_REG_GOAL_POSITION);
  CHECK(tl_register_put(goal, 10, false, bytes) && tl_register_put(goal, 20, false, bytes + goal->size));
  CHECK_AT(tl_bus_sync_write(&s->bus, goal->address, goal->size, ids, bytes, 2) == TL_BUS_OK, family);
  CHECK_AT(read_value(s, 2, TL_REG_GOAL_POSITION) == 10 && read_value(s, 4, TL_REG_GOAL_POSITION) == 20, family);
  const tl_bus_status status = fast ? tl_bus_fast_sync_read(&s->bus, position->address, position->size, list, 4)
                                    : tl_bus_sync_read(&s->bus, position->address, position->size, list, 4);
  CHECK_AT(status == TL_BUS_OK, family);
  for (size_t i = 0; i < 4; i++) {
    CHECK_AT(servos[i].state == TL_SERVO_VALID && servos[i].fresh && servos[i].at_us != 0, family);
    CHECK_AT(tl_register_get(position, false, servos[i].data) == 2048, family);
  }
  /* An alarm is next to the value, and prevents nothing. */
  s->emulated.servos[1].alarm = 4;
  CHECK_AT(tl_bus_sync_read(&s->bus, position->address, position->size, list, 4) == TL_BUS_OK, family);
  CHECK_AT(servos[1].state == TL_SERVO_ALARM && servos[1].fresh && servos[1].alarm != 0, family);
  CHECK_AT(tl_register_get(position, false, servos[1].data) == 2048 && servos[0].state == TL_SERVO_VALID, family);
  CHECK_AT(write_value(s, 2, TL_REG_TORQUE, 0, NULL) == TL_BUS_OK && servos[3].state == TL_SERVO_VALID, family);
}

static void bulk(void) {
  stage* s = begin("dynamixel", 2);
  tl_bus_servo servos[2], *list[2];
  servos_of(servos, list, 2);
  servos[0].address = reg(s, TL_REG_VOLTAGE)->address;
  servos[0].size = 2;
  servos[1].address = reg(s, TL_REG_TEMPERATURE)->address;
  servos[1].size = 1;
  CHECK(tl_bus_bulk_read(&s->bus, list, 2) == TL_BUS_OK && servos[0].data[0] == 120 && servos[1].data[0] == 25);
  begin("feetech", 2);
  CHECK(tl_bus_bulk_read(&s->bus, list, 2) == TL_BUS_INVALID);
  CHECK(tl_bus_fast_sync_read(&s->bus, 56, 2, list, 2) == TL_BUS_INVALID);
  begin("scs", 2);
  CHECK(tl_bus_sync_read(&s->bus, 56, 2, list, 2) == TL_BUS_INVALID);
  CHECK(s->bus.counters.questions == 0);
}

/* Row 1: a late answer shifts nothing. Values differ per servo and per time, so that a shift would show. */
static void late_answers(const char* family) {
  uint32_t right = 0;
  stage* s = begin(family, 3);
  for (uint8_t id = 1; id <= 3; id++) write_value(s, id, TL_REG_GOAL_POSITION, 100 * id, NULL);
  for (uint32_t late_us = 20; late_us < 3000; late_us += 97) {
    s->emulated.servos[1].late_us = late_us;
    s->emulated.servos[1].late_answers = 1;
    uint8_t bytes[4];
    const tl_register* goal = reg(s, TL_REG_GOAL_POSITION);
    const tl_bus_status status = tl_bus_read(&s->bus, 2, goal->address, goal->size, bytes, NULL);
    CHECK_AT((status == TL_BUS_OK) == (late_us < 100), family);
    for (int again = 0; again < 3; again++) {
      for (uint8_t id = 1; id <= 3; id++) {
        int64_t v = 0;
        if (tl_bus_read(&s->bus, id, goal->address, goal->size, bytes, NULL) != TL_BUS_OK) continue;
        v = tl_register_get(goal, s->bus.family->big_endian, bytes);
        CHECK_AT(v == 100 * id, family);
        /* Another register of the same length: a late answer to the first question may not stand for it. Later than
         * the bus settles, it destroys the answer on the wire, which is no value either. */
        const tl_register* speed = reg(s, TL_REG_GOAL_SPEED);
        if (tl_bus_read(&s->bus, id, speed->address, speed->size, bytes, NULL) != TL_BUS_OK) continue;
        CHECK_AT(tl_register_get(speed, s->bus.family->big_endian, bytes) == 0, family);
        right++;
      }
    }
    s->now_ns += 3000000; /* all that is late has come */
    CHECK_AT(read_value(s, 2, TL_REG_GOAL_POSITION) == 200, family);
  }
  CHECK_AT(right >= 240, family); /* of 279; the others met a late answer on the wire */
}

/* Row 2: one silent servo of six costs the others nothing, and has no number. */
static void one_dead(const char* family, bool fast) {
  for (uint8_t dead = 0; dead < 6; dead++) {
    stage* s = begin(family, 6);
    tl_bus_servo servos[6], *list[6];
    servos_of(servos, list, 6);
    s->emulated.servos[dead].dead = 1;
    const tl_register* position = reg(s, TL_REG_POSITION);
    for (uint32_t cycle = 0; cycle < 50; cycle++) {
      CHECK_AT(
          tl_bus_poll(&s->bus, position->address, position->size, fast, servos, 6, cycle) == TL_BUS_SILENT || cycle > 2,
          family);
      for (uint8_t i = 0; i < 6; i++) {
        CHECK_AT((servos[i].state == TL_SERVO_VALID) == (i != dead) && servos[i].fresh == (i != dead), family);
        CHECK_AT((servos[i].at_us == 0) == (i == dead), family);
        CHECK_AT((servos[i].misses == 0) == (i != dead), family); /* no other servo is blamed */
      }
    }
    /* It is found again, within the cycles between two probes. */
    s->emulated.servos[dead].dead = 0;
    for (uint32_t cycle = 50; cycle < 68; cycle++)
      (void)tl_bus_poll(&s->bus, position->address, position->size, fast, servos, 6, cycle);
    CHECK_AT(servos[dead].state == TL_SERVO_VALID && servos[dead].misses == 0, family);
    /* A value that came once keeps its time, and is not new. */
    s->emulated.servos[dead].dead = 1;
    const uint64_t at_us = servos[dead].at_us;
    (void)tl_bus_poll(&s->bus, position->address, position->size, fast, servos, 6, 70);
    CHECK_AT(servos[dead].at_us == at_us && !servos[dead].fresh && servos[dead].state == TL_SERVO_SILENT, family);
  }
}

/* All die: each poll ends, and soon. */
static void all_dead(const char* family) {
  stage* s = begin(family, 6);
  tl_bus_servo servos[6], *list[6];
  servos_of(servos, list, 6);
  for (int i = 0; i < 6; i++) s->emulated.servos[i].dead = 1;
  for (uint32_t cycle = 0; cycle < 40; cycle++) {
    const uint64_t before_ns = s->now_ns;
    CHECK(tl_bus_poll(&s->bus, reg(s, TL_REG_POSITION)->address, 2, false, servos, 6, cycle) != TL_BUS_GONE);
    CHECK_AT(s->now_ns - before_ns < 20000000, family);
  }
}

/* Row 3: alarms. Torque-off reaches every servo whatever the answers say. */
static void alarms(const char* family) {
  stage* s = begin(family, 3);
  uint8_t alarm = 0, bytes[4];
  for (int i = 0; i < 3; i++) {
    s->emulated.servos[i].alarm = 0x20;
    tl_emulated_set(&s->emulated, &s->emulated.servos[i], TL_REG_TORQUE, 1);
  }
  const tl_register* position = reg(s, TL_REG_POSITION);
  CHECK_AT(tl_bus_read(&s->bus, 1, position->address, position->size, bytes, &alarm) == TL_BUS_OK, family);
  CHECK_AT(alarm == (strcmp(family, "dynamixel") == 0 ? 0x80 : 0x20), family);
  CHECK_AT(write_value(s, 2, TL_REG_TORQUE, 1, &alarm) == TL_BUS_OK && alarm != 0, family);
  s->emulated.servos[2].dead = 0;
  CHECK_AT(tl_bus_torque_off(&s->bus) == TL_BUS_OK, family);
  s->now_ns += 10000000;
  for (int i = 0; i < 3; i++)
    CHECK_AT(tl_emulated_get(&s->emulated, &s->emulated.servos[i], TL_REG_TORQUE) == 0, family);
}

/* Row 7: a refusal without payload is no data. */
static void refusals(void) {
  stage* s = begin("dynamixel", 1);
  uint8_t bytes[4] = {0x5A, 0x5A, 0x5A, 0x5A}, alarm = 0;
  CHECK(tl_bus_read(&s->bus, 1, 158, 4, bytes, &alarm) == TL_BUS_REFUSED && alarm == 5 && bytes[0] == 0x5A);
  CHECK(tl_bus_write(&s->bus, 1, 132, bytes, 4, &alarm) == TL_BUS_REFUSED && alarm == 7);
  CHECK(tl_bus_read(&s->bus, 1, 132, 0, bytes, &alarm) == TL_BUS_INVALID && alarm == 0);
  CHECK(tl_bus_read(&s->bus, 1, 132, 33, bytes, &alarm) == TL_BUS_INVALID);
}

/* An echo has the form of an answer, and its check is right. */
static void echoes(const char* family) {
  stage* s = begin(family, 2);
  CHECK_AT(tl_bus_detect_echo(&s->bus) == TL_BUS_OK && !s->bus.echo, family);
  s->emulated.echo = 1;
  uint8_t bytes[4];
  CHECK_AT(tl_bus_detect_echo(&s->bus) == TL_BUS_OK && s->bus.echo, family);
  CHECK_AT(tl_bus_ping(&s->bus, 1, NULL) == TL_BUS_OK && tl_bus_ping(&s->bus, 7, NULL) == TL_BUS_SILENT, family);
  CHECK_AT(write_value(s, 1, TL_REG_GOAL_POSITION, 321, NULL) == TL_BUS_OK, family);
  CHECK_AT(read_value(s, 1, TL_REG_GOAL_POSITION) == 321, family);
  CHECK_AT(tl_bus_torque_off(&s->bus) == TL_BUS_OK && tl_bus_ping(&s->bus, 2, NULL) == TL_BUS_OK, family);
  s->emulated.echo = 0;
  const tl_register* position = reg(s, TL_REG_POSITION);
  CHECK_AT(tl_bus_read(&s->bus, 1, position->address, position->size, bytes, NULL) == TL_BUS_ECHO, family);
}

/* Two servos of one id destroy each other's answers: reported as such. */
static void collisions(const char* family) {
  stage* s = begin(family, 3);
  int8_t found[TL_BUS_BROADCAST];
  s->emulated.servos[2].id = 2;
  CHECK_AT(tl_bus_scan(&s->bus, 1, 3, found) == TL_BUS_OK, family);
  CHECK_AT(found[1] == TL_BUS_OK && found[2] == TL_BUS_GARBLED && found[3] == TL_BUS_SILENT, family);
  CHECK_AT(s->emulated.collisions > 0, family);
}

/* Row 5: no module state: two buses of different order of bytes at the same time. */
static void two_buses(void) {
  static stage other;
  stage* s = begin("feetech", 1);
  write_value(s, 1, TL_REG_GOAL_POSITION, 0x123, NULL);
  memcpy(&other, s, sizeof other);
  other.bus.wire.self = &other;
  s = begin("scs", 1);
  write_value(s, 1, TL_REG_GOAL_POSITION, 0x321, NULL);
  CHECK(read_value(&other, 1, TL_REG_GOAL_POSITION) == 0x123 && read_value(s, 1, TL_REG_GOAL_POSITION) == 0x321);
  CHECK(other.emulated.servos[0].table[42] == 0x23 && s->emulated.servos[0].table[42] == 0x03);
}

/* Row 6: the adapter is gone. */
static void unplugged(const char* family) {
  stage* s = begin(family, 2);
  tl_bus_servo servos[2], *list[2];
  servos_of(servos, list, 2);
  int8_t found[TL_BUS_BROADCAST];
  s->unplugged = true;
  CHECK_AT(tl_bus_ping(&s->bus, 1, NULL) == TL_BUS_GONE && tl_bus_torque_off(&s->bus) == TL_BUS_GONE, family);
  CHECK_AT(tl_bus_poll(&s->bus, 56, 2, false, servos, 2, 0) == TL_BUS_GONE, family);
  CHECK_AT(tl_bus_scan(&s->bus, 1, 3, found) == TL_BUS_GONE, family);
}

/* Row 8: what a goal does to torque is the servo's affair; torque off after it holds. */
static void waking(void) {
  stage* s = begin("feetech", 1);
  write_value(s, 1, TL_REG_GOAL_POSITION, 100, NULL);
  CHECK(read_value(s, 1, TL_REG_TORQUE) == 1);
  CHECK(tl_bus_torque_off(&s->bus) == TL_BUS_OK && read_value(s, 1, TL_REG_TORQUE) == 0);
}

static void watchdog(void) {
  stage* s = begin("dynamixel", 1);
  write_value(s, 1, TL_REG_TORQUE, 1, NULL);
  CHECK(write_value(s, 1, TL_REG_WATCHDOG, 5, NULL) == TL_BUS_OK && read_value(s, 1, TL_REG_WATCHDOG) == 5);
  write_value(s, 1, TL_REG_GOAL_POSITION, 4000, NULL);
  s->now_ns += 90000000;
  CHECK(read_value(s, 1, TL_REG_WATCHDOG) == 5);
  s->now_ns += 110000000;
  CHECK(read_value(s, 1, TL_REG_WATCHDOG) == -1 && read_value(s, 1, TL_REG_GOAL_POSITION) < 4000);
  uint8_t alarm = 0;
  CHECK(write_value(s, 1, TL_REG_GOAL_POSITION, 10, &alarm) == TL_BUS_REFUSED && alarm == 7);
  CHECK(write_value(s, 1, TL_REG_WATCHDOG, 0, NULL) == TL_BUS_OK);
  CHECK(write_value(s, 1, TL_REG_GOAL_POSITION, 10, NULL) == TL_BUS_OK);
}

/* Servos move: to the goal with torque, not without; against gravity with an error that is left. */
static void motion(const char* family) {
  stage* s = begin(family, 2);
  const int64_t middle = s->bus.family->turn / 2;
  s->emulated.servos[1].wakes = 0;
  for (uint8_t id = 1; id <= 2; id++) write_value(s, id, TL_REG_GOAL_POSITION, middle + 200, NULL);
  write_value(s, 1, TL_REG_TORQUE, 1, NULL);
  s->now_ns += 3000000000u;
  read_value(s, 1, TL_REG_POSITION);
  s->now_ns += 3000000000u;
  const int64_t moved = read_value(s, 1, TL_REG_POSITION) - middle, rested = read_value(s, 2, TL_REG_POSITION) - middle;
  CHECK_AT(moved > 180 && moved <= 210 && rested == 0, family);
}

/* Cycles per second of read and write, in the time of the wire, with a host that takes none. */
static double rate(stage* s, const tl_register* first, uint8_t n, bool fast, int goal_bytes, uint32_t cycles) {
  tl_bus_servo servos[6], *list[6];
  servos_of(servos, list, 6);
  const uint8_t ids[6] = {1, 2, 3, 4, 5, 6};
  uint8_t bytes[6 * 6] = {0};
  const uint64_t begin_ns = s->now_ns;
  for (uint32_t cycle = 0; cycle < cycles; cycle++) {
    (void)tl_bus_poll(&s->bus, first->address, n, fast, servos, 6, cycle);
    CHECK(tl_bus_sync_write(&s->bus, reg(s, TL_REG_GOAL_POSITION)->address, (uint8_t)goal_bytes, ids, bytes, 6) == 0);
    if (s->bus.sent_us * 1000 > s->now_ns) s->now_ns = s->bus.sent_us * 1000;
  }
  return cycles * 1e9 / (double)(s->now_ns - begin_ns);
}

static void rates(void) {
  stage* s = begin("dynamixel", 6);
  const double each = rate(s, reg(s, TL_REG_LOAD), 10, false, 4, 200);
  s = begin("dynamixel", 6);
  const double fast = rate(s, reg(s, TL_REG_LOAD), 10, true, 4, 200);
  s = begin("feetech", 6);
  const double feetech = rate(s, reg(s, TL_REG_POSITION), 8, false, 6, 200);
  s = begin("dynamixel", 6);
  s->emulated.servos[2].dead = 1;
  s->bus.latency_us = 1000;
  const double dead = rate(s, reg(s, TL_REG_LOAD), 10, false, 4, 400);
  printf("cycles/s on the wire: sync read %.0f, fast %.0f, feetech %.0f; one dead servo %.0f\n", each, fast, feetech,
         dead);
  CHECK(each >= 520 && fast >= 630 && feetech >= 670 && dead >= 280);
}

int main(void) {
  for (size_t f = 0; f < 3; f++) {
    singles(families[f]);
    late_answers(families[f]);
    one_dead(families[f], false);
    all_dead(families[f]);
    alarms(families[f]);
    echoes(families[f]);
    collisions(families[f]);
    unplugged(families[f]);
    motion(families[f]);
  }
  many("dynamixel", false);
  many("dynamixel", true);
  many("feetech", false);
  one_dead("dynamixel", true);
  bulk();
  refusals();
  two_buses();
  waking();
  watchdog();
  rates();
  return check_result("bus");
}
