/* The board that the firmware with a learner expects (boards/stm32f405/board.h), over the functions of a port. */
#include "firmware_bridge/boards/ports/port.h"
#include "firmware_bridge/boards/ports/soft_sqrt.h"
#include "firmware_bridge/boards/stm32f405/board.h"
#include "firmware_bridge/boards/stm32f405/identity.h"
#include "firmware_bridge/boards/stm32f405/start.h"

tl_ring tl_port_rx, tl_port_tx;

__attribute__((section(".noinit"))) static tl_boot_memory boot_memory;

void tl_board_start(tl_board *board) {
    tl_port_start();
    board->boot_id = tl_next_boot_id(&boot_memory, tl_port_chip());
}

uint64_t tl_board_now_us(void) { return tl_port_now_us(); }

size_t tl_board_room(void) { return tl_ring_room(&tl_port_tx); }

void tl_board_send(void *unused, const uint8_t *bytes, size_t n) {
    (void)unused;
    if (n > tl_board_room()) return;
    for (size_t i = 0; i < n; i++) (void)tl_ring_put(&tl_port_tx, bytes[i]);
    tl_port_transmit();
}

size_t tl_board_read(uint8_t *bytes, size_t n) {
    size_t taken = 0;
    while (taken < n && tl_ring_take(&tl_port_rx, &bytes[taken])) taken++;
    return taken;
}

void tl_board_sleep(void) { tl_port_wait(); }

void tl_board_feed(void) { tl_port_feed(); }

/* What the compiler calls where it finds no instruction for it. */
float sqrtf(float x);
float sqrtf(float x) { return tl_soft_sqrt(x); }

int main(void) {
    tl_board_main();
    tl_port_restart();
    for (;;) {
    }
}
