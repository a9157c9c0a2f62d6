/* The checkpoint in flash: the power fails before, during and after each write and each erasure, on a model of flash
 * memory behind the driver interface and on a model of the STM32F405's registers. */
#include "firmware_bridge/boards/store/store.h"

#include <setjmp.h>
#include <string.h>

#include "check.h"
#include "firmware_bridge/boards/stm32f405/registers.h"
#include "firmware_bridge/protocol/crc32.h"

/* ---- memory: two slots; a cut leaves a word or a slot somewhere between what was and what should be */

enum { SLOT_BYTES = 128 * 1024, WORDS = 61, DATA_BYTES = 4 * WORDS, USED_WORDS = 6 + WORDS, KIND = 77 };

static uint32_t flash_memory[2][SLOT_BYTES / 4];
static uint32_t operations, cut_at; /* the power fails in this one, counted from 1; 0: never */
static uint32_t torn;               /* bits that an interrupted operation still changes */
static jmp_buf power_fails;

static bool fails(void) { return ++operations == cut_at; }

static void erase_words(uint32_t slot, uint32_t bits) {
  for (uint32_t i = 0; i < USED_WORDS + 4; i++) flash_memory[slot][i] |= (i % 3 == 0 ? ~0u : bits);
}

static void clear_bits(uint32_t slot, uint32_t offset, uint32_t value, uint32_t bits) {
  flash_memory[slot][offset / 4] &= value | ~bits;
}

static void erase_slot(uint32_t slot) {
  if (fails()) {
    if (torn != 0) erase_words(slot, torn);
    longjmp(power_fails, 1);
  }
  memset(flash_memory[slot], 0xff, sizeof flash_memory[slot]);
}

static void program_word(uint32_t slot, uint32_t offset, uint32_t value) {
  CHECK(flash_memory[slot][offset / 4] == ~0u);
  const bool cut = fails();
  clear_bits(slot, offset, value, cut ? torn : ~0u);
  if (cut) longjmp(power_fails, 1);
}

/* ---- registers of the STM32F405 (RM0090, 3.9): locked, and a wrong sequence is an error */

static struct {
  uint32_t acr, sr, cr, keys, cache_resets;
  bool dead; /* it stays busy */
} model;

static void set_keyr(uint32_t value) {
  static const uint32_t keys[] = {0x45670123u, 0xCDEF89ABu};
  CHECK((model.cr >> 31 & 1) == 1 && model.keys < 2 && value == keys[model.keys]);
  if (++model.keys == 2) model.cr &= ~(1u << 31);
}
static void set_sr(uint32_t value) { model.sr &= ~value; }
static void set_acr(uint32_t value) {
  if ((value & 1u << 12) != 0) {
    CHECK((value & 1u << 10) == 0); /* only while it is off */
    model.cache_resets++;
  }
  model.acr = value;
}
static void set_cr(uint32_t value) {
  CHECK((model.cr & 1u << 31) == 0);
  model.cr = value;
  if ((value & 1u << 31) != 0) model.keys = 0;
  if ((value & 1u << 16) == 0) return;
  const uint32_t sector = value >> 3 & 15;
  CHECK((value & 2) != 0 && (value & 1) == 0 && (value >> 8 & 3) == 2 && (sector == 10 || sector == 11));
  erase_slot(sector - 10);
}
static void set_word(uint32_t slot, uint32_t offset, uint32_t value) {
  if ((model.cr & (1u << 31 | 3u << 8 | 1u)) != (2u << 8 | 1u))
    model.sr |= 1u << 7;
  else
    program_word(slot, offset, value);
}
static uint32_t get_sr(void) { return model.sr | (model.dead ? 1u << 16 : 0); }
static uint32_t get_cr(void) { return model.cr; }
static uint32_t get_acr(void) { return model.acr; }

#define TL_FLASH_MODEL
#define WAIT_MAX 1000u
#define SET(name, value) set_##name(value)
#define GET(name) get_##name()
#define SET_WORD(slot, offset, value) set_word(slot, offset, value)
#define GET_WORD(slot, offset) flash_memory[slot][(offset) / 4]
#include "firmware_bridge/boards/stm32f405/flash.c"

static bool plain_erase(uint32_t slot) {
  erase_slot(slot);
  return true;
}
static bool plain_program(uint32_t slot, uint32_t offset, uint32_t value) {
  program_word(slot, offset, value);
  return true;
}
static uint32_t plain_read(uint32_t slot, uint32_t offset) { return flash_memory[slot][offset / 4]; }

static const tl_flash_driver drivers[] = {
    {SLOT_BYTES, plain_erase, plain_program, plain_read},
    {TL_FLASH_SLOT_BYTES, tl_flash_erase, tl_flash_program, tl_flash_read},
};

/* ---- checkpoints: number k in every word, in two parts */

static uint32_t state[WORDS];
static const tl_store_part parts[] = {{state, 4 * 11}, {state + 11, DATA_BYTES - 4 * 11}};

static void power_on(void) {
  memset(&model, 0, sizeof model);
  model.cr = 1u << 31;
  model.acr = 1u << 10 | 5u;
}

static bool save(const tl_flash_driver* flash, uint32_t number) {
  for (uint32_t i = 0; i < WORDS; i++) state[i] = number * 0x01010101u + i;
  return tl_store_save(flash, KIND, parts, 2);
}

/* The number of the checkpoint that is found; 0: none. Anything else is a mixture. */
static uint32_t load(const tl_flash_driver* flash) {
  memset(state, 0xee, sizeof state);
  if (!tl_store_load(flash, KIND, parts, 2)) {
    for (uint32_t i = 0; i < WORDS; i++) CHECK(state[i] == 0xeeeeeeeeu);
    return 0;
  }
  const uint32_t number = state[0] / 0x01010101u;
  for (uint32_t i = 0; i < WORDS; i++) CHECK(state[i] == number * 0x01010101u + i);
  return number;
}

/* Saves with a power cut in one operation, if there are that many. */
static bool save_cut(const tl_flash_driver* flash, uint32_t number, uint32_t at, uint32_t bits) {
  operations = 0;
  cut_at = at;
  torn = bits;
  const bool whole = setjmp(power_fails) == 0 && save(flash, number);
  cut_at = 0;
  power_on();
  return whole;
}

static uint32_t next_random(uint32_t* x) { return *x = *x * 1664525u + 1013904223u; }

/* From a flash with `before` checkpoints: each operation of the next one is cut, and one of the repetition as well. */
static void test_every_cut(const tl_flash_driver* flash, uint32_t before, uint32_t fill) {
  static uint32_t kept[2][USED_WORDS + 4];
  uint32_t random = before + 1;
  memset(flash_memory, (int)fill, sizeof flash_memory);
  power_on();
  for (uint32_t i = 1; i <= before; i++) CHECK(save(flash, i) && load(flash) == i);
  CHECK(tl_store_sequence(flash, KIND, DATA_BYTES) == before);
  for (uint32_t slot = 0; slot < 2; slot++) memcpy(kept[slot], flash_memory[slot], sizeof kept[slot]);
  uint32_t at = 1, ends[2] = {0, 0};
  for (bool whole = false; !whole; at++) {
    for (uint32_t k = 0; k < 6; k++) {
      const uint32_t bits = k == 0 ? 0 : k == 1 ? ~0u : next_random(&random) ^ next_random(&random) << 16;
      for (uint32_t slot = 0; slot < 2; slot++) memcpy(flash_memory[slot], kept[slot], sizeof kept[slot]);
      whole = save_cut(flash, before + 1, at, bits);
      const uint32_t found = load(flash);
      CHECK(found == before + 1 || (found == before && !whole));
      ends[found == before + 1]++;
      /* Again, cut somewhere else; then in peace. */
      (void)save_cut(flash, before + 2, next_random(&random) % (USED_WORDS + 1) + 1, ~bits);
      const uint32_t then = load(flash);
      CHECK(then == found || then == before + 2);
      CHECK(save(flash, before + 3) && load(flash) == before + 3);
    }
  }
  CHECK(at == USED_WORDS + 3); /* an erasure and each word were cut */
  CHECK(ends[0] > 6 * (USED_WORDS - 1) && ends[1] >= 6);
}

static void test_what_is_refused(const tl_flash_driver* flash) {
  memset(flash_memory, 0, sizeof flash_memory);
  power_on();
  CHECK(load(flash) == 0 && tl_store_sequence(flash, KIND, DATA_BYTES) == 0);
  CHECK(save(flash, 1) && save(flash, 2));
  const tl_store_part shorter = {state, DATA_BYTES - 4}, odd = {state, 6}, none = {state, 0},
                      large = {state, SLOT_BYTES - TL_STORE_HEAD_BYTES + 4};
  CHECK(!tl_store_load(flash, KIND, &shorter, 1) && !tl_store_load(flash, KIND + 1, parts, 2));
  CHECK(!tl_store_save(flash, KIND, &odd, 1) && !tl_store_save(flash, KIND, &none, 1));
  CHECK(!tl_store_save(flash, KIND, &large, 1));
  CHECK(load(flash) == 2);
  for (uint32_t i = 0; i < 8 * 4 * USED_WORDS; i++) { /* any damaged bit of the newest leads to the one before */
    flash_memory[1][i / 32] ^= 1u << i % 32;
    CHECK(load(flash) == 1);
    flash_memory[1][i / 32] ^= 1u << i % 32;
  }
  /* Another kind takes the place of what is there. */
  CHECK(tl_store_save(flash, KIND + 1, parts, 2) && tl_store_save(flash, KIND + 1, parts, 2) && load(flash) == 0);
}

/* The sequence wraps, without the 0 that is none. */
static void test_sequence_wraps(void) {
  memset(flash_memory, 0xff, sizeof flash_memory);
  CHECK(save(&drivers[0], 1));
  uint32_t* head = flash_memory[0];
  head[2] = ~0u - 2;
  head[5] = tl_crc32(0, head, 20); /* of a little-endian host */
  for (uint32_t i = 2; i < 9; i++) CHECK(save(&drivers[0], i) && load(&drivers[0]) == i);
  CHECK(tl_store_sequence(&drivers[0], KIND, DATA_BYTES) == 5);
}

static bool worn_program(uint32_t slot, uint32_t offset, uint32_t value) {
  flash_memory[slot][offset / 4] = value & ~(offset == 40 ? 8u : 0u);
  return true;
}

static void test_flash_that_does_not_take_it(void) {
  const tl_flash_driver worn = {SLOT_BYTES, plain_erase, worn_program, plain_read};
  memset(flash_memory, 0, sizeof flash_memory);
  CHECK(save(&drivers[0], 5) && !save(&worn, 9) && load(&worn) == 5);
  power_on();
  CHECK(tl_flash_erase(0) && model.cache_resets == 1 && (model.cr & 1u << 31) != 0 && model.acr == (1u << 10 | 5u));
  CHECK(tl_flash_program(0, 4, 6) && (model.cr & 1u << 31) != 0);
  model.dead = true; /* every wait ends */
  CHECK(!tl_flash_program(0, 8, 6) && !tl_flash_erase(0));
}

int main(void) {
  for (uint32_t i = 0; i < 2; i++) {
    for (uint32_t before = 0; before < 4; before++)
      for (uint32_t fill = 0; fill < 2; fill++) test_every_cut(&drivers[i], before, fill == 0 ? 0xff : 0);
    test_what_is_refused(&drivers[i]);
  }
  test_sequence_wraps();
  test_flash_that_does_not_take_it();
  return check_result("store");
}
