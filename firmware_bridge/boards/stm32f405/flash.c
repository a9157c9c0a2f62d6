#include "firmware_bridge/boards/stm32f405/flash.h"

#include "firmware_bridge/boards/stm32f405/registers.h"

/* Every access to a register or to a slot's memory; a test puts a model of the registers in their place. */
#ifndef TL_FLASH_MODEL
#define SET(name, value) TL_FLASH->name = (value)
#define GET(name) TL_FLASH->name
#define AT(slot, offset) (*(tl_register *)(uintptr_t)(0x080C0000u + (slot) * (uint32_t)TL_FLASH_SLOT_BYTES + (offset)))
#define SET_WORD(slot, offset, value) AT(slot, offset) = (value)
#define GET_WORD(slot, offset) AT(slot, offset)
#define WAIT_MAX 100000000u /* longer than an erasure */
#endif

#define KEY_1 0x45670123u
#define KEY_2 0xCDEF89ABu
#define BUSY (1u << 16)
#define ERRORS 0xf2u /* operation, write protection, alignment, parallelism, sequence; a written 1 clears */
#define PROGRAM 1u
#define ERASE 2u
#define WIDTH_32 (2u << 8)
#define START (1u << 16)
#define LOCK (1u << 31)
#define DATA_CACHE (1u << 10)
#define DATA_CACHE_RESET (1u << 12)

enum { SECTOR = 10 /* of slot 0 */ };

/* Unlocks the control register, after the end of what was before. */
static bool begin(uint32_t control) {
    for (uint32_t i = 0; (GET(sr) & BUSY) != 0; i++)
        if (i == WAIT_MAX) return false;
    if ((GET(cr) & LOCK) != 0) {
        SET(keyr, KEY_1);
        SET(keyr, KEY_2);
    }
    SET(sr, ERRORS);
    SET(cr, control);
    return GET(cr) == control;
}

static bool end(void) {
    uint32_t i = 0;
    while (i < WAIT_MAX && (GET(sr) & BUSY) != 0) i++;
    const bool done = i < WAIT_MAX && (GET(sr) & ERRORS) == 0;
    SET(cr, LOCK);
    return done;
}

bool tl_flash_erase(uint32_t slot) {
    const uint32_t control = ERASE | (SECTOR + slot) << 3 | WIDTH_32;
    if (!begin(control)) return false;
    SET(cr, control | START);
    const bool done = end();
    /* The cache may hold words of the sector as they were. */
    const uint32_t access = GET(acr);
    SET(acr, access & ~DATA_CACHE);
    SET(acr, (access & ~DATA_CACHE) | DATA_CACHE_RESET);
    SET(acr, access);
    return done;
}

bool tl_flash_program(uint32_t slot, uint32_t offset, uint32_t value) {
    if (!begin(PROGRAM | WIDTH_32)) return false;
    SET_WORD(slot, offset, value);
    return end() && GET_WORD(slot, offset) == value;
}

uint32_t tl_flash_read(uint32_t slot, uint32_t offset) { return GET_WORD(slot, offset); }
