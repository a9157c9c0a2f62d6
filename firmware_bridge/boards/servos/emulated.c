#include "firmware_bridge/boards/servos/emulated.h"

#include <string.h>

#include "firmware_bridge/boards/servos/motion.h"
#include "firmware_bridge/bus/dynamixel.h"
#include "firmware_bridge/bus/feetech.h"
#include "firmware_bridge/protocol/bytes.h"

enum { RETURN_LEVEL = 68, RETURN_LEVEL_FEETECH = 8, INSTRUCTION_ERROR = 2, LENGTH_ERROR = 5, MOVE_US = 1000 };
enum { SKEW_NS = 300, GAP_NS = 1000000 }; /* between two servos of one id; after which a packet is given up */

static const tl_servo_family *family_of(const tl_emulated *bus) { return tl_servo_family_at(bus->family); }

static bool is_dynamixel(const tl_emulated *bus) { return family_of(bus)->protocol == TL_BUS_DYNAMIXEL; }

static uint64_t byte_ns(const tl_emulated *bus) { return 10000000000u / bus->baud; }

bool tl_emulated_init(tl_emulated *bus, const char *family, uint32_t count, uint32_t baud, uint64_t now_ns) {
    memset(bus, 0, sizeof *bus);
    while (tl_servo_family_at(bus->family) != NULL && strcmp(family_of(bus)->name, family) != 0) bus->family++;
    if (family_of(bus) == NULL || count == 0 || count > TL_EMULATED_SERVOS_MAX || baud < 1200) return false;
    bus->baud = baud;
    bus->count = count;
    bus->now_us = now_ns / 1000;
    for (uint32_t i = 0; i < count; i++) {
        tl_emulated_servo *servo = &bus->servos[i];
        const int64_t middle = family_of(bus)->turn / 2;
        servo->id = (uint8_t)(i + 1);
        servo->wakes = !is_dynamixel(bus);
        servo->position_rad = (float)middle * family_of(bus)->registers[TL_REG_POSITION].unit;
        servo->temperature_c = 25.0f;
        tl_emulated_set(bus, servo, TL_REG_MODEL, is_dynamixel(bus) ? 1020 : 777);
        tl_emulated_set(bus, servo, TL_REG_FIRMWARE, is_dynamixel(bus) ? 46 : 3);
        tl_emulated_set(bus, servo, TL_REG_ID, servo->id);
        tl_emulated_set(bus, servo, TL_REG_MODE, family_of(bus)->position_mode);
        tl_emulated_set(bus, servo, TL_REG_TORQUE_LIMIT, 1000);
        tl_emulated_set(bus, servo, TL_REG_LOCK, 1);
        servo->table[is_dynamixel(bus) ? RETURN_LEVEL : RETURN_LEVEL_FEETECH] = is_dynamixel(bus) ? 2 : 1;
        tl_emulated_move(bus, servo, MOVE_US);
        tl_emulated_set(bus, servo, TL_REG_GOAL_POSITION, middle);
    }
    bus->magic = TL_EMULATED_MAGIC;
    return true;
}

void tl_emulated_advance(tl_emulated *bus, uint64_t now_us) {
    /* After a long pause the servos have come to rest: a second of it is enough. */
    if (now_us > bus->now_us + 1000000u) bus->now_us = now_us - 1000000u;
    while (bus->now_us + MOVE_US <= now_us) {
        bus->now_us += MOVE_US;
        for (uint32_t i = 0; i < bus->count; i++) tl_emulated_move(bus, &bus->servos[i], MOVE_US);
    }
}

/* Puts a byte on the wire that ends at due_ns; what overlaps with it is destroyed, and so is the byte. */
static void put(tl_emulated *bus, uint8_t byte, uint64_t due_ns) {
    uint32_t at = bus->waiting;
    if (at == TL_EMULATED_WIRE_MAX) return;
    while (at > 0 && bus->out[at - 1].due_ns > due_ns) at--;
    const uint64_t near = byte_ns(bus) - byte_ns(bus) / 8;
    bool hit = false;
    if (at > 0 && due_ns - bus->out[at - 1].due_ns < near) {
        bus->out[at - 1].byte ^= 0xA5;
        hit = true;
    }
    if (at < bus->waiting && bus->out[at].due_ns - due_ns < near) {
        bus->out[at].byte ^= 0x5A;
        hit = true;
    }
    memmove(bus->out + at + 1, bus->out + at, (bus->waiting - at) * sizeof bus->out[0]);
    bus->out[at] = (tl_emulated_byte){due_ns, (uint8_t)(hit ? byte ^ 0x3C : byte)};
    bus->waiting++;
    bus->collisions += hit;
}

/* Puts a packet on the wire from start_ns; returns its end. */
static uint64_t put_packet(tl_emulated *bus, const uint8_t *bytes, size_t n, uint64_t start_ns) {
    for (size_t i = 0; i < n; i++) put(bus, bytes[i], start_ns + (i + 1) * byte_ns(bus));
    return start_ns + n * byte_ns(bus);
}

/* When a servo begins to answer a packet that ended at end_ns. */
static uint64_t begins(const tl_emulated *bus, tl_emulated_servo *servo, uint64_t end_ns) {
    const uint64_t delay_ns = (uint64_t)tl_emulated_get(bus, servo, TL_REG_RETURN_DELAY) * 2000u;
    if (servo->late_answers == 0) return end_ns + delay_ns;
    servo->late_answers--;
    return end_ns + delay_ns + servo->late_us * 1000u;
}

static uint8_t error_of(const tl_emulated *bus, const tl_emulated_servo *servo, uint8_t error) {
    if (!is_dynamixel(bus)) return servo->alarm;
    return (uint8_t)(error | (servo->alarm != 0 ? TL_DYNAMIXEL_ALERT : 0));
}

/* An answer with n bytes of the servo; returns its end. */
static uint64_t answer(tl_emulated *bus, tl_emulated_servo *servo, uint8_t error, const uint8_t *bytes, size_t n,
                       uint64_t end_ns) {
    uint8_t out[TL_BUS_WIRE_MAX];
    const uint8_t full = error_of(bus, servo, error);
    const size_t size = is_dynamixel(bus) ? tl_dynamixel_encode_status(servo->id, full, bytes, n, out, sizeof out)
                                          : tl_feetech_encode(servo->id, full, bytes, n, out, sizeof out);
    return put_packet(bus, out, size, begins(bus, servo, end_ns));
}

static bool answers_writes(const tl_emulated *bus, const tl_emulated_servo *servo) {
    return is_dynamixel(bus) ? servo->table[RETURN_LEVEL] >= 2 : servo->table[RETURN_LEVEL_FEETECH] >= 1;
}

/* Address and number of bytes at the beginning of parameters. False: they are too few. */
static bool place(const tl_emulated *bus, const uint8_t *params, size_t n, bool with_size, uint16_t *address,
                  uint16_t *size, size_t *head) {
    const size_t width = is_dynamixel(bus) ? 2 : 1;
    *head = with_size ? 2 * width : width;
    if (n < *head) return false;
    *address = width == 2 ? tl_get_u16(params) : params[0];
    *size = !with_size ? (uint16_t)(n - *head) : width == 2 ? tl_get_u16(params + 2) : params[1];
    return true;
}

static uint64_t answer_read(tl_emulated *bus, tl_emulated_servo *servo, uint16_t address, uint16_t size,
                            uint64_t end_ns) {
    if ((size_t)address + size > family_of(bus)->control_bytes || size == 0)
        return answer(bus, servo, LENGTH_ERROR, NULL, 0, end_ns);
    return answer(bus, servo, 0, servo->table + address, size, end_ns);
}

static void single(tl_emulated *bus, tl_emulated_servo *servo, const tl_bus_packet *packet, uint64_t end_ns) {
    uint16_t address = 0, size = 0;
    size_t head = 0;
    const bool broadcast = packet->id == TL_BUS_BROADCAST;
    const bool reads = packet->instruction == TL_BUS_READ;
    uint8_t error = 0;
    if (packet->instruction == TL_BUS_REBOOT && is_dynamixel(bus)) {
        if (!broadcast && answers_writes(bus, servo)) (void)answer(bus, servo, 0, NULL, 0, end_ns);
        tl_emulated_restart(bus, servo);
        return;
    }
    if (!reads && packet->instruction != TL_BUS_WRITE && packet->instruction != TL_BUS_REG_WRITE)
        error = INSTRUCTION_ERROR;
    else if (!place(bus, packet->params, packet->size, reads, &address, &size, &head) || size == 0)
        error = LENGTH_ERROR;
    if (error == 0 && reads) {
        if (!broadcast) (void)answer_read(bus, servo, address, size, end_ns);
        return;
    }
    if (error == 0 && packet->instruction == TL_BUS_WRITE)
        error = tl_emulated_write(bus, servo, address, packet->params + head, size);
    if (error == 0 && packet->instruction == TL_BUS_REG_WRITE && size <= sizeof servo->registered_bytes) {
        servo->registered = (uint8_t)size;
        servo->registered_address = address;
        memcpy(servo->registered_bytes, packet->params + head, size);
    }
    if (!broadcast && answers_writes(bus, servo)) (void)answer(bus, servo, error, NULL, 0, end_ns);
}

/* A Dynamixel's answer to a ping has model and firmware. */
static void ping(tl_emulated *bus, tl_emulated_servo *servo, bool broadcast, uint64_t *end_ns) {
    uint8_t found[3];
    memcpy(found, servo->table, 2);
    found[2] = servo->table[6];
    const uint64_t end = answer(bus, servo, 0, found, is_dynamixel(bus) ? sizeof found : 0, *end_ns);
    if (broadcast) *end_ns = end;
}

static tl_emulated_servo *find(tl_emulated *bus, uint8_t id) {
    for (uint32_t i = 0; i < bus->count; i++)
        if (bus->servos[i].id == id && !bus->servos[i].dead) return &bus->servos[i];
    return NULL;
}

/* SYNC READ and BULK READ: a servo answers behind the one before it. */
static void read_many(tl_emulated *bus, const tl_bus_packet *packet, uint64_t end_ns) {
    uint16_t address = 0, size = 0;
    size_t at = 0, step = 1;
    const bool bulk = packet->instruction == TL_BUS_BULK_READ;
    if (bulk)
        step = 5;
    else if (!place(bus, packet->params, packet->size, true, &address, &size, &at))
        return;
    for (; at + step <= packet->size; at += step) {
        const uint8_t *params = packet->params + at;
        tl_emulated_servo *servo = find(bus, params[0]);
        if (servo == NULL) return;
        if (bulk) {
            address = tl_get_u16(params + 1);
            size = tl_get_u16(params + 3);
        }
        end_ns = answer_read(bus, servo, address, size, end_ns);
    }
}

/* One packet, begun by the first servo; a servo that is missing ends it. */
static void fast_read(tl_emulated *bus, const tl_bus_packet *packet, uint64_t end_ns) {
    uint16_t address = 0, size = 0;
    size_t at = 0, n = 8;
    uint8_t out[TL_BUS_WIRE_MAX] = {0xFF, 0xFF, 0xFD, 0x00, TL_BUS_BROADCAST};
    if (!place(bus, packet->params, packet->size, true, &address, &size, &at)) return;
    const size_t whole = (packet->size - at) * (size + 4u);
    if ((size_t)address + size > family_of(bus)->control_bytes || whole + 8 > sizeof out) return;
    tl_put_u16(out + 5, (uint16_t)(whole + 1));
    out[7] = TL_BUS_STATUS;
    uint64_t start_ns = 0;
    for (; at < packet->size; at++) {
        tl_emulated_servo *servo = find(bus, packet->params[at]);
        if (servo == NULL) break;
        if (n == 8) start_ns = begins(bus, servo, end_ns);
        out[n] = error_of(bus, servo, 0);
        out[n + 1] = servo->id;
        memcpy(out + n + 2, servo->table + address, size);
        n += 2u + size;
        tl_put_u16(out + n, tl_dynamixel_crc(0, out, n));
        n += 2;
    }
    if (n > 8) (void)put_packet(bus, out, n, start_ns);
}

static void write_many(tl_emulated *bus, const tl_bus_packet *packet) {
    uint16_t address = 0, size = 0;
    size_t at = 0;
    if (packet->instruction == TL_BUS_BULK_WRITE) {
        while (at + 5 <= packet->size) {
            const uint8_t *params = packet->params + at;
            tl_emulated_servo *servo = find(bus, params[0]);
            size = tl_get_u16(params + 3);
            if (at + 5 + size > packet->size) return;
            if (servo != NULL) (void)tl_emulated_write(bus, servo, tl_get_u16(params + 1), params + 5, size);
            at += 5u + size;
        }
        return;
    }
    if (!place(bus, packet->params, packet->size, true, &address, &size, &at) || size == 0) return;
    for (; at + 1 + size <= packet->size; at += 1u + size) {
        tl_emulated_servo *servo = find(bus, packet->params[at]);
        if (servo != NULL) (void)tl_emulated_write(bus, servo, address, packet->params + at + 1, size);
    }
}

static void act(tl_emulated *bus, tl_emulated_servo *servo) {
    if (servo->registered == 0) return;
    (void)tl_emulated_write(bus, servo, servo->registered_address, servo->registered_bytes, servo->registered);
    servo->registered = 0;
}

/* Executes a packet that ended at end_ns. */
static void execute(tl_emulated *bus, const tl_bus_packet *packet, uint64_t end_ns) {
    tl_emulated_advance(bus, end_ns / 1000);
    for (uint32_t i = 0; i < bus->count; i++) bus->servos[i].heard_us = end_ns / 1000;
    const bool can_sync = family_of(bus)->sync_read;
    switch (packet->instruction) {
        case TL_BUS_SYNC_READ:
            if (can_sync) read_many(bus, packet, end_ns);
            return;
        case TL_BUS_BULK_READ:
            if (is_dynamixel(bus)) read_many(bus, packet, end_ns);
            return;
        case TL_BUS_FAST_SYNC_READ:
            if (is_dynamixel(bus)) fast_read(bus, packet, end_ns);
            return;
        case TL_BUS_SYNC_WRITE:
            write_many(bus, packet);
            return;
        case TL_BUS_BULK_WRITE:
            if (is_dynamixel(bus)) write_many(bus, packet);
            return;
        default:
            break;
    }
    const bool broadcast = packet->id == TL_BUS_BROADCAST;
    for (uint32_t i = 0; i < bus->count; i++) {
        tl_emulated_servo *servo = &bus->servos[i];
        if (servo->dead || (servo->id != packet->id && !broadcast)) continue;
        if (packet->instruction == TL_BUS_ACTION)
            act(bus, servo);
        else if (packet->instruction == TL_BUS_PING)
            ping(bus, servo, broadcast, &end_ns);
        else
            single(bus, servo, packet, end_ns);
        if (!broadcast) end_ns += SKEW_NS;
    }
}

/* Whether a byte of a servo is on the wire in the time of a byte of the host that ends at due_ns; both are lost. */
static bool meets(tl_emulated *bus, uint64_t due_ns) {
    bool hit = false;
    for (uint32_t i = 0; i < bus->waiting && bus->out[i].due_ns < due_ns + byte_ns(bus); i++) {
        if (bus->out[i].due_ns + byte_ns(bus) <= due_ns) continue;
        bus->out[i].byte ^= 0xA5;
        bus->collisions++;
        hit = true;
    }
    return hit;
}

void tl_emulated_receive(tl_emulated *bus, const uint8_t *bytes, size_t n, uint64_t now_ns) {
    if (bus->free_ns + GAP_NS < now_ns) bus->size = 0;
    if (bus->free_ns < now_ns) bus->free_ns = now_ns;
    tl_emulated_advance(bus, now_ns / 1000);
    for (size_t i = 0; i < n; i++) {
        bus->free_ns += byte_ns(bus);
        if (bus->size == sizeof bus->in) bus->size = 0;
        bus->in[bus->size] = (uint8_t)(meets(bus, bus->free_ns) ? bytes[i] ^ 0x5A : bytes[i]);
        if (bus->echo) put(bus, bus->in[bus->size], bus->free_ns);
        bus->size++;
        for (;;) {
            tl_bus_packet packet;
            uint8_t params[TL_BUS_PARAMS_MAX];
            size_t used = 0;
            const tl_bus_found found =
                is_dynamixel(bus) ? tl_dynamixel_next(bus->in, bus->size, false, &packet, params, sizeof params, &used)
                                  : tl_feetech_next(bus->in, bus->size, false, &packet, &used);
            bus->damaged += found == TL_BUS_DAMAGED;
            if (found == TL_BUS_PACKET) {
                bus->packets++;
                execute(bus, &packet, bus->free_ns);
            }
            bus->size -= (uint32_t)used;
            memmove(bus->in, bus->in + used, bus->size);
            if (found == TL_BUS_MORE) break;
        }
    }
}

size_t tl_emulated_take(tl_emulated *bus, uint8_t *out, size_t room, uint64_t now_ns) {
    size_t n = 0;
    while (n < room && n < bus->waiting && bus->out[n].due_ns <= now_ns) {
        out[n] = bus->out[n].byte;
        n++;
    }
    bus->waiting -= (uint32_t)n;
    memmove(bus->out, bus->out + n, bus->waiting * sizeof bus->out[0]);
    tl_emulated_advance(bus, now_ns / 1000);
    return n;
}

uint64_t tl_emulated_run_end(const tl_emulated *bus) {
    uint32_t i = 0;
    if (bus->waiting == 0) return UINT64_MAX;
    while (i + 1 < bus->waiting && bus->out[i + 1].due_ns - bus->out[i].due_ns < 2 * byte_ns(bus)) i++;
    return bus->out[i].due_ns;
}

uint64_t tl_emulated_due(const tl_emulated *bus) { return bus->waiting != 0 ? bus->out[0].due_ns : UINT64_MAX; }
