#include "firmware_bridge/bus/feetech.h"

#include <string.h>

enum { HEADER = 4, FIXED = 6 };

static uint8_t check(const uint8_t *bytes, size_t n) {
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)~sum;
}

size_t tl_feetech_encode(uint8_t id, uint8_t second, const uint8_t *params, size_t n, uint8_t *out, size_t room) {
    if (!tl_bus_id_valid(id) || n > TL_FEETECH_PARAMS_MAX || FIXED + n > room) return 0;
    out[0] = out[1] = 0xFF;
    out[2] = id;
    out[3] = (uint8_t)(n + 2);
    out[4] = second;
    if (n != 0) memcpy(out + 5, params, n);
    out[5 + n] = check(out + 2, n + 3);
    return FIXED + n;
}

tl_bus_found tl_feetech_next(const uint8_t *bytes, size_t n, bool last, tl_bus_packet *out, size_t *used) {
    size_t at = 0;
    *used = 0;
    if (n == 0) return TL_BUS_MORE; /* bytes may be NULL */
    while (at < n && !(bytes[at] == 0xFF && (at + 1 == n || bytes[at + 1] == 0xFF))) at++;
    const size_t left = n - at;
    const uint8_t *packet = bytes + at;
    const bool possible = (left < 3 || tl_bus_id_valid(packet[2])) && (left < HEADER || packet[3] >= 2);
    const bool whole = left >= HEADER && left >= HEADER + (size_t)packet[3];
    if (possible && !whole && (!last || left == 0)) {
        *used = at;
        return TL_BUS_MORE;
    }
    *used = at + 1;
    if (!possible || !whole) return TL_BUS_DAMAGED;
    const size_t size = HEADER + (size_t)packet[3];
    if (check(packet + 2, size - 3) != packet[size - 1]) return TL_BUS_DAMAGED;
    out->id = packet[2];
    out->instruction = out->error = packet[4];
    out->size = (uint16_t)(packet[3] - 2);
    out->params = packet + 5;
    *used = at + size;
    return TL_BUS_PACKET;
}
