#include "firmware_bridge/boards/store/store.h"

#include "firmware_bridge/protocol/bytes.h"
#include "firmware_bridge/protocol/crc32.h"

enum { MARK, KIND, SEQUENCE, BYTES, DATA_CRC, HEAD_CRC, WORDS, NO_SLOT = TL_STORE_SLOTS };

static const uint32_t kMark = 0x31534C54u; /* "TLS1" */

static uint32_t crc_of_word(uint32_t crc, uint32_t word) {
    uint8_t bytes[4];
    tl_put_u32(bytes, word);
    return tl_crc32(crc, bytes, sizeof bytes);
}

static uint32_t crc_of_head(const uint32_t *head) {
    uint32_t crc = 0;
    for (uint32_t i = 0; i < HEAD_CRC; i++) crc = crc_of_word(crc, head[i]);
    return crc;
}

static uint32_t crc_of_data(const tl_flash_driver *flash, uint32_t slot, uint32_t bytes) {
    uint32_t crc = 0;
    for (uint32_t at = 0; at < bytes; at += 4) crc = crc_of_word(crc, flash->read(slot, TL_STORE_HEAD_BYTES + at));
    return crc;
}

/* The sequence of a valid slot, 0 of any other. */
static uint32_t sequence_of(const tl_flash_driver *flash, uint32_t slot, uint32_t kind, uint32_t bytes) {
    uint32_t head[WORDS];
    for (uint32_t i = 0; i < WORDS; i++) head[i] = flash->read(slot, 4 * i);
    if (head[MARK] != kMark || head[KIND] != kind || head[BYTES] != bytes || head[HEAD_CRC] != crc_of_head(head))
        return 0;
    return crc_of_data(flash, slot, bytes) == head[DATA_CRC] ? head[SEQUENCE] : 0;
}

static uint32_t newest(const tl_flash_driver *flash, uint32_t kind, uint32_t bytes, uint32_t *sequence) {
    uint32_t slot = NO_SLOT;
    *sequence = 0;
    for (uint32_t i = 0; i < TL_STORE_SLOTS; i++) {
        const uint32_t found = sequence_of(flash, i, kind, bytes);
        if (found == 0 || (slot != NO_SLOT && (int32_t)(found - *sequence) <= 0)) continue;
        *sequence = found;
        slot = i;
    }
    return slot;
}

/* Bytes of all parts; 0: they do not fit. */
static uint32_t size_of(const tl_flash_driver *flash, const tl_store_part *parts, uint32_t n) {
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (parts[i].bytes % 4 != 0 || parts[i].bytes > flash->slot_bytes - TL_STORE_HEAD_BYTES - bytes) return 0;
        bytes += parts[i].bytes;
    }
    return bytes;
}

static bool program_data(const tl_flash_driver *flash, uint32_t slot, const tl_store_part *parts, uint32_t n,
                         uint32_t *crc) {
    uint32_t offset = TL_STORE_HEAD_BYTES;
    *crc = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *data = (const uint8_t *)parts[i].data;
        *crc = tl_crc32(*crc, data, parts[i].bytes);
        for (uint32_t at = 0; at < parts[i].bytes; at += 4, offset += 4)
            if (!flash->program(slot, offset, tl_get_u32(data + at))) return false;
    }
    return true;
}

bool tl_store_save(const tl_flash_driver *flash, uint32_t kind, const tl_store_part *parts, uint32_t n) {
    uint32_t sequence;
    const uint32_t bytes = size_of(flash, parts, n);
    if (bytes == 0) return false;
    const uint32_t slot = newest(flash, kind, bytes, &sequence) == 0 ? 1 : 0;
    uint32_t head[WORDS] = {kMark, kind, sequence + 1 == 0 ? 1 : sequence + 1, bytes, 0, 0};
    if (!flash->erase(slot) || !program_data(flash, slot, parts, n, &head[DATA_CRC])) return false;
    if (crc_of_data(flash, slot, bytes) != head[DATA_CRC]) return false; /* worn out, or not flash at all */
    head[HEAD_CRC] = crc_of_head(head);
    for (uint32_t i = 0; i < WORDS; i++)
        if (!flash->program(slot, 4 * i, head[i])) return false;
    return sequence_of(flash, slot, kind, bytes) == head[SEQUENCE];
}

bool tl_store_load(const tl_flash_driver *flash, uint32_t kind, const tl_store_part *parts, uint32_t n) {
    uint32_t sequence, offset = TL_STORE_HEAD_BYTES;
    const uint32_t bytes = size_of(flash, parts, n);
    const uint32_t slot = bytes == 0 ? (uint32_t)NO_SLOT : newest(flash, kind, bytes, &sequence);
    if (slot == NO_SLOT) return false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t at = 0; at < parts[i].bytes; at += 4, offset += 4)
            tl_put_u32((uint8_t *)parts[i].data + at, flash->read(slot, offset));
    return true;
}

uint32_t tl_store_sequence(const tl_flash_driver *flash, uint32_t kind, uint32_t bytes) {
    uint32_t sequence;
    (void)newest(flash, kind, bytes, &sequence);
    return sequence;
}
