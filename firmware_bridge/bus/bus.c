#include "firmware_bridge/bus/bus.h"

#include <string.h>

#include "firmware_bridge/bus/exchange.h"
#include "firmware_bridge/protocol/bytes.h"

void tl_bus_init(tl_bus *bus, tl_bus_wire wire, const tl_servo_family *family, uint32_t baud) {
    memset(bus, 0, sizeof *bus);
    bus->wire = wire;
    bus->family = family;
    bus->baud = baud;
    bus->return_delay_us = 500;
    bus->latency_us = 4000;
}

static bool is_dynamixel(const tl_bus *bus) { return bus->family->protocol == TL_BUS_DYNAMIXEL; }

/* Address, and the number of bytes, as both protocols write them. Returns the bytes written, 0 if they do not fit. */
static size_t put_place(const tl_bus *bus, uint16_t address, size_t n, bool with_size, uint8_t *out) {
    if (is_dynamixel(bus)) {
        tl_put_u16(out, address);
        if (with_size) tl_put_u16(out + 2, (uint16_t)n);
        return with_size ? 4 : 2;
    }
    if (address > UINT8_MAX || n > UINT8_MAX) return 0;
    out[0] = (uint8_t)address;
    if (with_size) out[1] = (uint8_t)n;
    return with_size ? 2 : 1;
}

/* Asks one servo, whose answer has size bytes. */
static tl_bus_status ask(tl_bus *bus, size_t n, tl_bus_servo *servo, tl_answer_kind kind, bool settle, uint8_t *alarm) {
    tl_bus_servo *const one[1] = {servo};
    const bool answered = kind != TL_ANSWER_NONE;
    const tl_bus_status status = tl_bus_exchange(bus, n, kind, one, answered ? 1 : 0, settle);
    if (alarm != NULL) *alarm = answered ? servo->alarm : 0;
    return status;
}

static tl_bus_status ping(tl_bus *bus, uint8_t id, bool settle, uint8_t *alarm) {
    tl_bus_servo servo = {.id = id, .size = is_dynamixel(bus) ? 3 : 0};
    if (id > TL_BUS_ID_MAX) return TL_BUS_INVALID;
    return ask(bus, tl_bus_question(bus, id, TL_BUS_PING, NULL, 0), &servo, TL_ANSWER_EACH, settle, alarm);
}

tl_bus_status tl_bus_ping(tl_bus *bus, uint8_t id, uint8_t *alarm) { return ping(bus, id, true, alarm); }

tl_bus_status tl_bus_scan(tl_bus *bus, uint8_t first, uint8_t last, int8_t found[TL_BUS_BROADCAST]) {
    for (unsigned id = first; id <= last && id <= TL_BUS_ID_MAX; id++) {
        /* No settling: a late answer has another id than the next question. */
        const tl_bus_status status = ping(bus, (uint8_t)id, false, NULL);
        if (status == TL_BUS_GONE) return status;
        found[id] = (int8_t)status;
    }
    return TL_BUS_OK;
}

tl_bus_status tl_bus_detect_echo(tl_bus *bus) {
    uint8_t params[4];
    const size_t head = put_place(bus, bus->family->registers[TL_REG_POSITION].address, 2, true, params);
    const size_t n = tl_bus_question(bus, TL_BUS_BROADCAST, TL_BUS_READ, params, head);
    return tl_bus_exchange(bus, n, TL_ANSWER_DETECT, NULL, 0, true);
}

tl_bus_status tl_bus_read(tl_bus *bus, uint8_t id, uint16_t address, size_t n, uint8_t *out, uint8_t *alarm) {
    uint8_t params[4];
    tl_bus_servo servo = {.id = id, .address = address, .size = (uint8_t)n};
    const size_t head = put_place(bus, address, n, true, params);
    if (alarm != NULL) *alarm = 0;
    if (id > TL_BUS_ID_MAX || n == 0 || n > TL_BUS_DATA_MAX || head == 0) return TL_BUS_INVALID;
    const size_t sent = tl_bus_question(bus, id, TL_BUS_READ, params, head);
    const tl_bus_status status = ask(bus, sent, &servo, TL_ANSWER_EACH, true, alarm);
    if (status == TL_BUS_OK) memcpy(out, servo.data, n);
    return status;
}

static tl_bus_status write_to(tl_bus *bus, uint8_t id, uint8_t instruction, uint16_t address, const uint8_t *bytes,
                              size_t n, uint8_t *alarm) {
    uint8_t params[2 + TL_BUS_DATA_MAX];
    tl_bus_servo servo = {.id = id};
    const size_t head = put_place(bus, address, n, false, params);
    if (alarm != NULL) *alarm = 0;
    if (!tl_bus_id_valid(id) || n == 0 || n > TL_BUS_DATA_MAX || head == 0) return TL_BUS_INVALID;
    memcpy(params + head, bytes, n);
    const bool silent = bus->quiet_writes || id == TL_BUS_BROADCAST;
    return ask(bus, tl_bus_question(bus, id, instruction, params, head + n), &servo,
               silent ? TL_ANSWER_NONE : TL_ANSWER_EACH, true, alarm);
}

tl_bus_status tl_bus_write(tl_bus *bus, uint8_t id, uint16_t address, const uint8_t *bytes, size_t n, uint8_t *alarm) {
    return write_to(bus, id, TL_BUS_WRITE, address, bytes, n, alarm);
}

tl_bus_status tl_bus_reg_write(tl_bus *bus, uint8_t id, uint16_t address, const uint8_t *bytes, size_t n,
                               uint8_t *alarm) {
    return write_to(bus, id, TL_BUS_REG_WRITE, address, bytes, n, alarm);
}

tl_bus_status tl_bus_reboot(tl_bus *bus, uint8_t id, uint8_t *alarm) {
    tl_bus_servo servo = {.id = id};
    if (alarm != NULL) *alarm = 0;
    if (id > TL_BUS_ID_MAX || !is_dynamixel(bus)) return TL_BUS_INVALID;
    return ask(bus, tl_bus_question(bus, id, TL_BUS_REBOOT, NULL, 0), &servo,
               bus->quiet_writes ? TL_ANSWER_NONE : TL_ANSWER_EACH, true, alarm);
}

tl_bus_status tl_bus_action(tl_bus *bus) {
    return tl_bus_exchange(bus, tl_bus_question(bus, TL_BUS_BROADCAST, TL_BUS_ACTION, NULL, 0), TL_ANSWER_NONE, NULL, 0,
                           true);
}

static tl_bus_status sync_read(tl_bus *bus, uint8_t instruction, uint16_t address, uint8_t n,
                               tl_bus_servo *const *servos, size_t count) {
    uint8_t params[4 + TL_BUS_SERVOS_MAX];
    const size_t head = put_place(bus, address, n, true, params);
    const bool fast = instruction == TL_BUS_FAST_SYNC_READ;
    if (!bus->family->sync_read || (fast && !is_dynamixel(bus)) || head == 0) return TL_BUS_INVALID;
    if (n == 0 || n > TL_BUS_DATA_MAX || count == 0 || count > TL_BUS_SERVOS_MAX) return TL_BUS_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (servos[i]->id > TL_BUS_ID_MAX) return TL_BUS_INVALID;
        params[head + i] = servos[i]->id;
    }
    for (size_t i = 0; i < count; i++) {
        servos[i]->address = address;
        servos[i]->size = n;
    }
    return tl_bus_exchange(bus, tl_bus_question(bus, TL_BUS_BROADCAST, instruction, params, head + count),
                           fast ? TL_ANSWER_FAST : TL_ANSWER_EACH, servos, count, true);
}

tl_bus_status tl_bus_sync_read(tl_bus *bus, uint16_t address, uint8_t n, tl_bus_servo *const *servos, size_t count) {
    return sync_read(bus, TL_BUS_SYNC_READ, address, n, servos, count);
}

tl_bus_status tl_bus_fast_sync_read(tl_bus *bus, uint16_t address, uint8_t n, tl_bus_servo *const *servos,
                                    size_t count) {
    return sync_read(bus, TL_BUS_FAST_SYNC_READ, address, n, servos, count);
}

tl_bus_status tl_bus_bulk_read(tl_bus *bus, tl_bus_servo *const *servos, size_t count) {
    uint8_t params[5 * TL_BUS_SERVOS_MAX];
    if (!is_dynamixel(bus) || count == 0 || count > TL_BUS_SERVOS_MAX) return TL_BUS_INVALID;
    for (size_t i = 0; i < count; i++) {
        const tl_bus_servo *servo = servos[i];
        if (servo->id > TL_BUS_ID_MAX || servo->size == 0 || servo->size > TL_BUS_DATA_MAX) return TL_BUS_INVALID;
        params[5 * i] = servo->id;
        tl_put_u16(params + 5 * i + 1, servo->address);
        tl_put_u16(params + 5 * i + 3, servo->size);
    }
    return tl_bus_exchange(bus, tl_bus_question(bus, TL_BUS_BROADCAST, TL_BUS_BULK_READ, params, 5 * count),
                           TL_ANSWER_EACH, servos, count, true);
}

tl_bus_status tl_bus_sync_write(tl_bus *bus, uint16_t address, uint8_t n, const uint8_t *ids, const uint8_t *bytes,
                                size_t count) {
    uint8_t params[TL_BUS_PARAMS_MAX];
    size_t at = put_place(bus, address, n, true, params);
    if (at == 0 || n == 0 || count == 0 || count > TL_BUS_SERVOS_MAX) return TL_BUS_INVALID;
    if (at + count * (n + 1u) > sizeof params) return TL_BUS_INVALID;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] > TL_BUS_ID_MAX) return TL_BUS_INVALID;
        params[at++] = ids[i];
        memcpy(params + at, bytes + i * n, n);
        at += n;
    }
    return tl_bus_exchange(bus, tl_bus_question(bus, TL_BUS_BROADCAST, TL_BUS_SYNC_WRITE, params, at), TL_ANSWER_NONE,
                           NULL, 0, true);
}

tl_bus_status tl_bus_torque_off(tl_bus *bus) {
    uint8_t off = 0;
    const uint16_t address = bus->family->registers[TL_REG_TORQUE].address;
    bus->settled_us = 0; /* at once; the bus may be in disorder */
    const tl_bus_status status = tl_bus_write(bus, TL_BUS_BROADCAST, address, &off, 1, NULL);
    if (status == TL_BUS_GONE) return status;
    /* Again: an answer that was still under way may have destroyed the first. */
    return tl_bus_write(bus, TL_BUS_BROADCAST, address, &off, 1, NULL);
}
