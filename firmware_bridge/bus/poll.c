#include "firmware_bridge/bus/bus.h"

enum { GIVEN_UP = 3, PROBE_EACH = 16, ASKED_MAX = 3 };

/* Those to ask in this cycle, those that answered last time first; at most one that was given up. */
static size_t choose(tl_bus_servo *servos, size_t count, uint32_t cycle, tl_bus_servo **asked) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (servos[i].misses == 0) asked[n++] = &servos[i];
    for (size_t i = 0; i < count; i++)
        if (servos[i].misses > 0 && servos[i].misses < GIVEN_UP) asked[n++] = &servos[i];
    const size_t probe = cycle / PROBE_EACH % count;
    size_t given_up = 0;
    for (size_t i = 0; i < count; i++) given_up += servos[i].misses >= GIVEN_UP;
    if (given_up == 0 || cycle % PROBE_EACH != 0) return n;
    for (size_t i = probe, left = count; left > 0; i = (i + 1) % count, left--) {
        if (servos[i].misses < GIVEN_UP) continue;
        asked[n++] = &servos[i];
        break;
    }
    return n;
}

static tl_bus_status ask_each(tl_bus *bus, uint16_t address, uint8_t n, tl_bus_servo **asked, size_t count) {
    tl_bus_status all = TL_BUS_OK;
    for (size_t i = 0; i < count; i++) {
        tl_bus_servo *servo = asked[i];
        servo->address = address;
        servo->size = n;
        uint8_t alarm = 0;
        const tl_bus_status status = tl_bus_read(bus, servo->id, address, n, servo->data, &alarm);
        if (status == TL_BUS_GONE || status == TL_BUS_INVALID) return status;
        const bool answered = status == TL_BUS_OK || status == TL_BUS_REFUSED;
        servo->alarm = alarm;
        servo->fresh = status == TL_BUS_OK;
        servo->state = !answered ? TL_SERVO_SILENT : alarm != 0 ? TL_SERVO_ALARM : TL_SERVO_VALID;
        servo->misses = answered ? 0 : (uint16_t)(servo->misses + (servo->misses < UINT16_MAX));
        if (servo->fresh) servo->at_us = bus->wire.now_us(bus->wire.self);
        if (status != TL_BUS_OK) all = status;
    }
    return all;
}

tl_bus_status tl_bus_poll(tl_bus *bus, uint16_t address, uint8_t n, bool fast, tl_bus_servo *servos, size_t count,
                          uint32_t cycle) {
    tl_bus_servo *asked[TL_BUS_SERVOS_MAX];
    if (count == 0 || count > TL_BUS_SERVOS_MAX) return TL_BUS_INVALID;
    size_t left = choose(servos, count, cycle, asked), missing = 0;
    for (size_t i = 0; i < count; i++) {
        servos[i].fresh = false;
        if (servos[i].misses >= GIVEN_UP) servos[i].state = TL_SERVO_SILENT;
    }
    if (!bus->family->sync_read) return ask_each(bus, address, n, asked, left);
    tl_bus_servo **from = asked;
    for (int asks = 0; left > 0 && asks < ASKED_MAX; asks++) {
        const tl_bus_status status =
            fast ? tl_bus_fast_sync_read(bus, address, n, from, left) : tl_bus_sync_read(bus, address, n, from, left);
        if (status == TL_BUS_GONE || status == TL_BUS_INVALID) return status;
        size_t first = 0;
        while (first < left && from[first]->state != TL_SERVO_SILENT) first++;
        if (first == left) break;
        missing++;
        /* The first that is silent is not asked again. Those behind it that are silent too may have waited for it. */
        size_t again = 0;
        for (size_t i = first + 1; i < left; i++) {
            if (from[i]->state != TL_SERVO_SILENT) continue;
            from[i]->misses--;
            asked[again++] = from[i];
        }
        from = asked;
        left = again;
    }
    for (size_t i = 0; i < count; i++)
        if (servos[i].state != TL_SERVO_SILENT && !servos[i].fresh) return TL_BUS_REFUSED;
    return missing == 0 ? TL_BUS_OK : TL_BUS_SILENT;
}
