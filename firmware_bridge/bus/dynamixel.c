#include "firmware_bridge/bus/dynamixel.h"

#include <string.h>

#include "firmware_bridge/protocol/bytes.h"

enum { HEADER = 7, CRC = 2, STUFFED_MAX = TL_BUS_WIRE_MAX - HEADER - CRC };

uint16_t tl_dynamixel_crc(uint16_t crc, const uint8_t *bytes, size_t n) {
    /* Four bits at a time: 32 bytes of table instead of 512. */
    static const uint16_t table[16] = {0x0000, 0x8005, 0x800F, 0x000A, 0x801B, 0x001E, 0x0014, 0x8011,
                                       0x8033, 0x0036, 0x003C, 0x8039, 0x0028, 0x802D, 0x8027, 0x0022};
    for (size_t i = 0; i < n; i++) {
        crc = (uint16_t)(crc << 4 ^ table[(crc >> 12 ^ bytes[i] >> 4) & 15]);
        crc = (uint16_t)(crc << 4 ^ table[(crc >> 12 ^ bytes[i]) & 15]);
    }
    return crc;
}

/* Writes bytes, stuffed; a sequence may begin in one call and end in the next. */
typedef struct {
    uint8_t *out; /* NULL: only count */
    bool plain;   /* no stuffing */
    size_t n;
    uint32_t seen; /* the last three bytes */
} stuffer;

static void stuff(stuffer *to, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (to->out != NULL) to->out[to->n] = bytes[i];
        to->n++;
        to->seen = (to->seen << 8 | bytes[i]) & 0xFFFFFFu;
        if (to->seen != 0xFFFFFDu || to->plain) continue;
        if (to->out != NULL) to->out[to->n] = 0xFD;
        to->n++;
    }
}

static size_t encode(uint8_t id, const uint8_t *head, size_t n_head, const uint8_t *params, size_t n, uint8_t *out,
                     size_t room) {
    const bool plain = id == TL_BUS_BROADCAST && head[0] == TL_BUS_STATUS;
    stuffer count = {NULL, plain, 0, 0}, write = {out + HEADER, plain, 0, 0};
    if (!tl_bus_id_valid(id) || n > TL_BUS_PARAMS_MAX) return 0;
    stuff(&count, head, n_head);
    stuff(&count, params, n);
    const size_t size = HEADER + count.n + CRC;
    if (count.n > STUFFED_MAX || size > room) return 0;
    out[0] = out[1] = 0xFF;
    out[2] = 0xFD;
    out[3] = 0x00;
    out[4] = id;
    tl_put_u16(out + 5, (uint16_t)(count.n + CRC));
    stuff(&write, head, n_head);
    stuff(&write, params, n);
    tl_put_u16(out + size - CRC, tl_dynamixel_crc(0, out, size - CRC));
    return size;
}

size_t tl_dynamixel_encode(uint8_t id, uint8_t instruction, const uint8_t *params, size_t n, uint8_t *out,
                           size_t room) {
    return instruction == TL_BUS_STATUS ? 0 : encode(id, &instruction, 1, params, n, out, room);
}

size_t tl_dynamixel_encode_status(uint8_t id, uint8_t error, const uint8_t *params, size_t n, uint8_t *out,
                                  size_t room) {
    const uint8_t head[2] = {TL_BUS_STATUS, error};
    return encode(id, head, 2, params, n, out, room);
}

/* Index of the first byte from which a header may begin; n if there is none. */
static size_t find_header(const uint8_t *bytes, size_t n) {
    static const uint8_t header[4] = {0xFF, 0xFF, 0xFD, 0x00};
    for (size_t at = 0; at < n; at++) {
        const size_t known = n - at < sizeof header ? n - at : sizeof header;
        if (memcmp(bytes + at, header, known) == 0) return at;
    }
    return n;
}

/* Unstuffs n >= 1 bytes to instruction, error and parameters. False: not what an encoder makes, or too long. */
static bool unstuff(const uint8_t *bytes, size_t n, tl_bus_packet *out, uint8_t *params, size_t room) {
    const bool plain = out->id == TL_BUS_BROADCAST && bytes[0] == TL_BUS_STATUS;
    uint32_t seen = 0;
    size_t count = 0, head = 1;
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = bytes[i];
        if (count == 0) {
            out->instruction = byte;
            out->error = 0;
            head = byte == TL_BUS_STATUS ? 2 : 1;
        } else if (count < head) {
            out->error = byte;
        } else {
            if (count - head == room) return false;
            params[count - head] = byte;
        }
        count++;
        seen = (seen << 8 | byte) & 0xFFFFFFu;
        if (seen == 0xFFFFFDu && !plain && (++i == n || bytes[i] != 0xFD)) return false;
    }
    if (count < head) return false;
    out->size = (uint16_t)(count - head);
    out->params = params;
    return true;
}

tl_bus_found tl_dynamixel_next(const uint8_t *bytes, size_t n, bool last, tl_bus_packet *out, uint8_t *params,
                               size_t room, size_t *used) {
    *used = 0;
    if (n == 0) return TL_BUS_MORE; /* bytes may be NULL */
    const size_t at = find_header(bytes, n);
    const size_t left = n - at;
    const tl_bus_found incomplete = last && left != 0 ? TL_BUS_DAMAGED : TL_BUS_MORE;
    *used = incomplete == TL_BUS_MORE ? at : at + 1;
    if (left < HEADER) {
        if (left < 5 || tl_bus_id_valid(bytes[at + 4])) return incomplete;
        *used = at + 1;
        return TL_BUS_DAMAGED;
    }
    const uint8_t *packet = bytes + at;
    const size_t length = tl_get_u16(packet + 5);
    const bool possible = tl_bus_id_valid(packet[4]) && length > CRC && length - CRC <= STUFFED_MAX;
    if (possible && left < HEADER + length) return incomplete;
    *used = at + 1;
    if (!possible) return TL_BUS_DAMAGED;
    const size_t size = HEADER + length;
    if (tl_dynamixel_crc(0, packet, size - CRC) != tl_get_u16(packet + size - CRC)) return TL_BUS_DAMAGED;
    out->id = packet[4];
    if (!unstuff(packet + HEADER, length - CRC, out, params, room < TL_BUS_PARAMS_MAX ? room : TL_BUS_PARAMS_MAX))
        return TL_BUS_DAMAGED;
    *used = at + size;
    return TL_BUS_PACKET;
}

bool tl_dynamixel_fast_block(const tl_bus_packet *packet, size_t data_size, size_t index, tl_bus_packet *out) {
    /* The first error is the packet's, the last CRC is not among the parameters: id, data, CRC, the next error. */
    const size_t stride = data_size + 4;
    const size_t at = index * stride;
    if (packet->instruction != TL_BUS_STATUS || packet->id != TL_BUS_BROADCAST || data_size > TL_BUS_PARAMS_MAX ||
        index > TL_BUS_ID_MAX || at + 1 + data_size > packet->size)
        return false;
    *out = (tl_bus_packet){.id = packet->params[at],
                           .instruction = TL_BUS_STATUS,
                           .error = index == 0 ? packet->error : packet->params[at - 1],
                           .size = (uint16_t)data_size,
                           .params = packet->params + at + 1};
    return true;
}

bool tl_dynamixel_fast_begun(const uint8_t *bytes, size_t n, size_t data_size, size_t index, tl_bus_packet *out) {
    if (data_size > TL_BUS_PARAMS_MAX || index > TL_BUS_ID_MAX) return false;
    const size_t at = HEADER + 1 + index * (data_size + 4), crc_at = at + 2 + data_size;
    if (n < crc_at + CRC || find_header(bytes, n) != 0 || bytes[4] != TL_BUS_BROADCAST || bytes[7] != TL_BUS_STATUS)
        return false;
    if (tl_dynamixel_crc(0, bytes, crc_at) != tl_get_u16(bytes + crc_at)) return false;
    *out = (tl_bus_packet){.id = bytes[at + 1],
                           .instruction = TL_BUS_STATUS,
                           .error = bytes[at],
                           .size = (uint16_t)data_size,
                           .params = bytes + at + 2};
    return true;
}
