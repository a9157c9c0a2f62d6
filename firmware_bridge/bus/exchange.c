#include "firmware_bridge/bus/exchange.h"

#include <string.h>

#include "firmware_bridge/bus/dynamixel.h"
#include "firmware_bridge/bus/feetech.h"

enum { DYNAMIXEL_STATUS = 11, FEETECH_STATUS = 6, FAST_HEAD = 8, FAST_BLOCK = 4, AWAKE_US = 200 };

uint64_t tl_bus_wire_us(const tl_bus *bus, size_t bytes) {
    return ((uint64_t)bytes * 10u * 1000000u + bus->baud - 1) / bus->baud; /* start, 8 bits, stop */
}

size_t tl_bus_question(tl_bus *bus, uint8_t id, uint8_t instruction, const uint8_t *params, size_t n) {
    if (bus->family->protocol == TL_BUS_DYNAMIXEL)
        return tl_dynamixel_encode(id, instruction, params, n, bus->out, sizeof bus->out);
    return tl_feetech_encode(id, instruction, params, n, bus->out, sizeof bus->out);
}

/* Reads and discards until a time; at least what is there now. */
static tl_bus_status drain(tl_bus *bus, uint64_t until_us) {
    bus->n = 0;
    for (;;) {
        const ptrdiff_t n = bus->wire.read(bus->wire.self, bus->in, sizeof bus->in);
        if (n < 0) return TL_BUS_GONE;
        bus->counters.discarded += (uint32_t)n;
        if (n > 0) continue;
        if (bus->wire.now_us(bus->wire.self) >= until_us) return TL_BUS_OK;
        if (bus->wire.wait(bus->wire.self, until_us, false) < 0) return TL_BUS_GONE;
    }
}

static tl_bus_status send(tl_bus *bus, size_t n, uint64_t deadline_us) {
    for (size_t at = 0; at < n;) {
        const ptrdiff_t wrote = bus->wire.write(bus->wire.self, bus->out + at, n - at);
        if (wrote < 0) return TL_BUS_GONE;
        at += (size_t)wrote;
        if (at == n || wrote > 0) continue;
        const int ready = bus->wire.wait(bus->wire.self, deadline_us, true);
        if (ready < 0) return TL_BUS_GONE;
        if (ready == 0) return TL_BUS_SILENT;
    }
    return TL_BUS_OK;
}

static void remove_bytes(tl_bus *bus, size_t n) {
    bus->n -= n;
    memmove(bus->in, bus->in + n, bus->n);
}

/* Bytes of the answers, without stuffing. */
static size_t expected(const tl_bus *bus, tl_answer_kind kind, tl_bus_servo *const *servos, size_t count) {
    const bool is_dynamixel = bus->family->protocol == TL_BUS_DYNAMIXEL;
    size_t n = kind == TL_ANSWER_FAST ? FAST_HEAD : 0;
    for (size_t i = 0; i < count; i++) {
        const size_t fixed = kind == TL_ANSWER_FAST ? FAST_BLOCK : is_dynamixel ? DYNAMIXEL_STATUS : FEETECH_STATUS;
        n += fixed + servos[i]->size;
    }
    return n;
}

/* Bytes that stuffing may add to answers of n bytes: at most one for three. */
static size_t stuffing(const tl_bus *bus, tl_answer_kind kind, size_t n, size_t count) {
    const bool is_stuffed = bus->family->protocol == TL_BUS_DYNAMIXEL && kind == TL_ANSWER_EACH;
    return is_stuffed ? (n - DYNAMIXEL_STATUS * count) / 3 : 0;
}

/* Gives a packet to the servo that was asked for it. False: there is none. */
static bool take(tl_bus *bus, const tl_bus_packet *packet, tl_bus_servo *const *servos, size_t count, bool *waits) {
    const bool is_dynamixel = bus->family->protocol == TL_BUS_DYNAMIXEL;
    size_t i = 0;
    while (i < count && !(waits[i] && servos[i]->id == packet->id)) i++;
    if (i == count || (is_dynamixel && packet->instruction != TL_BUS_STATUS)) return false;
    const bool refused = is_dynamixel && (packet->error & TL_DYNAMIXEL_ERROR_MASK) != 0;
    /* Length before data: an error without payload has none, and another length is another answer. */
    if (packet->size != servos[i]->size && !(packet->size == 0 && packet->error != 0)) return false;
    tl_bus_servo *servo = servos[i];
    waits[i] = false;
    servo->alarm = packet->error;
    servo->state = packet->error != 0 ? TL_SERVO_ALARM : TL_SERVO_VALID;
    servo->misses = 0;
    servo->fresh = packet->size == servo->size && !refused;
    if (servo->fresh) {
        if (packet->size != 0) memcpy(servo->data, packet->params, packet->size);
        servo->at_us = bus->wire.now_us(bus->wire.self);
    }
    bus->counters.answers++;
    return true;
}

static bool any(const bool *waits, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (waits[i]) return true;
    return false;
}

/* Takes the blocks of a fast answer, whole, or broken off. */
static void take_fast(tl_bus *bus, const tl_bus_packet *whole, tl_bus_servo *const *servos, size_t count, bool *waits) {
    tl_bus_packet block;
    for (size_t i = 0; i < count; i++) {
        const size_t size = servos[0]->size;
        const bool found = whole != NULL ? tl_dynamixel_fast_block(whole, size, i, &block)
                                         : tl_dynamixel_fast_begun(bus->in, bus->n, size, i, &block);
        if (!found) break;
        if (!take(bus, &block, servos, count, waits)) bus->counters.strays++;
    }
}

/* Takes the packets in bus->in. Returns true when damage was found. */
static bool parse(tl_bus *bus, bool last, tl_answer_kind kind, tl_bus_servo *const *servos, size_t count, bool *waits) {
    bool damage = false;
    for (;;) {
        tl_bus_packet packet;
        size_t used = 0;
        if (last && kind == TL_ANSWER_FAST) take_fast(bus, NULL, servos, count, waits);
        const tl_bus_found found =
            bus->family->protocol == TL_BUS_DYNAMIXEL
                ? tl_dynamixel_next(bus->in, bus->n, last, &packet, bus->params, sizeof bus->params, &used)
                : tl_feetech_next(bus->in, bus->n, last, &packet, &used);
        if (found == TL_BUS_PACKET) {
            if (kind == TL_ANSWER_FAST && packet.id == TL_BUS_BROADCAST)
                take_fast(bus, &packet, servos, count, waits);
            else if (!take(bus, &packet, servos, count, waits))
                bus->counters.strays++;
        }
        damage = damage || found == TL_BUS_DAMAGED || (found == TL_BUS_MORE && used > 0);
        bus->counters.damaged += found == TL_BUS_DAMAGED;
        remove_bytes(bus, used);
        if (found == TL_BUS_MORE || (found == TL_BUS_PACKET && !any(waits, count))) return damage;
    }
}

/* Waits for bytes, or the deadline. Returns as wire.wait() does; while awake, 1 without looking. */
static int wait_for_bytes(tl_bus *bus, uint64_t deadline_us) {
    if (bus->wire.sleep != NULL) {
        const uint64_t now_us = bus->wire.now_us(bus->wire.self);
        const bool is_early = now_us + AWAKE_US < bus->due_us;
        if (is_early) bus->wire.sleep(bus->wire.self, bus->due_us - AWAKE_US);
        if (is_early || (now_us < bus->due_us + AWAKE_US && now_us < deadline_us)) return 1;
    }
    return bus->wire.wait(bus->wire.self, deadline_us, false);
}

/* Reads until n bytes are there, or the deadline. */
static tl_bus_status fill(tl_bus *bus, size_t n, uint64_t deadline_us) {
    for (;;) {
        const ptrdiff_t got = bus->wire.read(bus->wire.self, bus->in + bus->n, sizeof bus->in - bus->n);
        if (got < 0) return TL_BUS_GONE;
        bus->n += (size_t)got;
        if (bus->n >= n) return TL_BUS_OK;
        if (got > 0) continue;
        const int ready = wait_for_bytes(bus, deadline_us);
        if (ready < 0) return TL_BUS_GONE;
        if (ready == 0) return TL_BUS_SILENT;
    }
}

/* Removes the echo of n bytes. Compared as bytes: an echo looks like an answer. */
static tl_bus_status skip_echo(tl_bus *bus, size_t n, uint64_t deadline_us) {
    if (!bus->echo) return TL_BUS_OK;
    const tl_bus_status status = fill(bus, n, deadline_us);
    if (status == TL_BUS_GONE) return status;
    if (status != TL_BUS_OK || memcmp(bus->in, bus->out, n) != 0) return TL_BUS_ECHO;
    remove_bytes(bus, n);
    return TL_BUS_OK;
}

static tl_bus_status collect(tl_bus *bus, tl_answer_kind kind, uint64_t deadline_us, tl_bus_servo *const *servos,
                             size_t count, bool *waits) {
    bool damage = parse(bus, false, kind, servos, count, waits);
    while (any(waits, count)) {
        const tl_bus_status status = fill(bus, bus->n + 1, deadline_us);
        if (status == TL_BUS_GONE) return status;
        damage = parse(bus, status != TL_BUS_OK, kind, servos, count, waits) || damage;
        if (status != TL_BUS_OK) break;
    }
    if (!any(waits, count)) return TL_BUS_OK;
    return damage && count == 1 ? TL_BUS_GARBLED : TL_BUS_SILENT;
}

/* What the answers say together. */
static tl_bus_status result(const tl_bus *bus, tl_bus_servo *const *servos, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bus->family->protocol == TL_BUS_DYNAMIXEL && (servos[i]->alarm & TL_DYNAMIXEL_ERROR_MASK) != 0)
            return TL_BUS_REFUSED;
    for (size_t i = 0; i < count; i++)
        if (!servos[i]->fresh) return TL_BUS_REFUSED;
    return TL_BUS_OK;
}

static void forget(tl_bus_servo *const *servos, size_t count, bool *waits) {
    for (size_t i = 0; i < count; i++) {
        waits[i] = true;
        servos[i]->fresh = false;
        servos[i]->state = TL_SERVO_SILENT;
        servos[i]->alarm = 0;
    }
}

tl_bus_status tl_bus_exchange(tl_bus *bus, size_t n, tl_answer_kind kind, tl_bus_servo *const *servos, size_t count,
                              bool settle) {
    bool waits[TL_BUS_SERVOS_MAX];
    if (n == 0 || count > TL_BUS_SERVOS_MAX) return TL_BUS_INVALID;
    forget(servos, count, waits);
    tl_bus_status status = drain(bus, bus->settled_us);
    if (status != TL_BUS_OK) return status;
    const uint64_t now_us = bus->wire.now_us(bus->wire.self);
    const uint64_t begin_us = now_us > bus->sent_us ? now_us : bus->sent_us;
    const size_t answers = kind == TL_ANSWER_FAST && count != 0 ? 1 : count;
    const size_t bytes = n + expected(bus, kind, servos, count);
    const size_t most = bytes + stuffing(bus, kind, bytes - n, count);
    bus->due_us = begin_us + tl_bus_wire_us(bus, bytes);
    const uint64_t deadline_us =
        begin_us + bus->latency_us + answers * bus->return_delay_us + tl_bus_wire_us(bus, most);
    bus->counters.questions++;
    status = send(bus, n, deadline_us);
    bus->sent_us = begin_us + tl_bus_wire_us(bus, n);
    if (status == TL_BUS_OK && kind == TL_ANSWER_DETECT) {
        status = fill(bus, n, deadline_us);
        bus->echo = status == TL_BUS_OK && memcmp(bus->in, bus->out, n) == 0;
        return status == TL_BUS_GONE ? status : TL_BUS_OK;
    }
    if (status == TL_BUS_OK) status = skip_echo(bus, n, deadline_us);
    if (status == TL_BUS_OK && kind != TL_ANSWER_NONE) status = collect(bus, kind, deadline_us, servos, count, waits);
    for (size_t i = 0; i < count; i++)
        if (waits[i] && servos[i]->misses < UINT16_MAX) servos[i]->misses++;
    if (status == TL_BUS_OK) return result(bus, servos, count);
    if (status == TL_BUS_GONE) return status;
    bus->counters.timeouts++;
    if (settle) bus->settled_us = bus->wire.now_us(bus->wire.self) + (deadline_us - begin_us);
    return status;
}
