/* Flash of the nRF51822 (nRF51 Series Reference Manual 3.0, 6): the last 16 KB are the two slots of a checkpoint. The
 * processor stops while a page is erased, 22 ms at most, and 46 us for each word. */
#include "firmware_bridge/boards/ports/port.h"
#include "firmware_bridge/boards/stm32f405/board.h"

#define AT(address) (*(volatile uint32_t *)(address))
#define NVMC_READY AT(0x4001E400u)
#define NVMC_CONFIG AT(0x4001E504u)
#define NVMC_ERASE_PAGE AT(0x4001E508u)

enum { SLOT_BYTES = 8 * 1024, READ = 0, WRITE = 1, ERASE = 2, PAGE_BYTES = 1024, END = 256 * 1024, WAIT_MAX = 1000000 };

static uint32_t address(uint32_t slot, uint32_t offset) { return END - (TL_STORE_SLOTS - slot) * SLOT_BYTES + offset; }

/* After each erasure and each word: where benchmarks/board_power_cut.py stops the processor. */
__attribute__((noinline)) bool tl_nrf51_ready(void);
bool tl_nrf51_ready(void) {
    for (uint32_t i = 0; i < WAIT_MAX; i++)
        if (NVMC_READY != 0) return true;
    return false;
}

static bool erase(uint32_t slot) {
    bool good = true;
    for (uint32_t offset = 0; good && offset < SLOT_BYTES; offset += PAGE_BYTES) {
        NVMC_CONFIG = ERASE;
        NVMC_ERASE_PAGE = address(slot, offset);
        good = tl_nrf51_ready();
        tl_port_feed(); /* eight pages are most of its half second */
    }
    NVMC_CONFIG = READ;
    return good;
}

static bool program(uint32_t slot, uint32_t offset, uint32_t value) {
    NVMC_CONFIG = WRITE;
    AT(address(slot, offset)) = value;
    const bool good = tl_nrf51_ready();
    NVMC_CONFIG = READ;
    return good && AT(address(slot, offset)) == value;
}

static uint32_t read(uint32_t slot, uint32_t offset) { return AT(address(slot, offset)); }

const tl_flash_driver tl_board_flash = {SLOT_BYTES, erase, program, read};
