/* The firmware: the bridge in front of a simulated cart-pole, the same that the process in boards/posix runs.
 * TL_FIRMWARE_SOURCE replaces the plant by a user's own: docs/firmware.md. */
#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/boards/stm32f405/board.h"
#include "firmware_bridge/boards/stm32f405/start.h"

#if defined(TL_PLANT_OWN)
#define TL_FIRMWARE_PLANT (tl_plant_own.sheet->name)
#elif !defined(TL_FIRMWARE_PLANT)
#define TL_FIRMWARE_PLANT "cartpole"
#endif

float tl_board_driver[TL_PLANT_ACT_MAX]; /* the last actuator command, for debuggers and tests */

void tl_board_main(void) {
    static tl_simulated device;
    tl_board board;
    tl_board_start(&board);
    const tl_simulated_options options = {.boot_id = board.boot_id, .driver = tl_board_driver};
    if (!tl_simulated_init(&device, TL_FIRMWARE_PLANT, &options, tl_board_send, NULL, tl_board_now_us()))
        return; /* restarts: a data sheet that does not fit cannot be served */
    for (;;) {
        uint8_t bytes[256];
        const size_t n = tl_board_read(bytes, sizeof bytes);
        if (n != 0) tl_bridge_receive(&device.bridge, bytes, n, tl_board_now_us());
        tl_bridge_tick(&device.bridge, tl_board_now_us());
        tl_board_feed(); /* the only call: after the bridge has run */
        if (tl_bridge_due(&device.bridge) > tl_board_now_us()) tl_board_sleep();
    }
}
