/* The firmware: the bridge in front of a simulated cart-pole, the same that the process in boards/posix runs. A machine of your own
 * takes the place of the plant, with RTU_FIRMWARE_SOURCE: docs/firmware.md. */
#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/boards/stm32f405/board.h"
#include "firmware_bridge/boards/stm32f405/start.h"

#if defined(RTU_PLANT_OWN)
#define RTU_FIRMWARE_PLANT (rtu_plant_own.sheet->name)
#elif !defined(RTU_FIRMWARE_PLANT)
#define RTU_FIRMWARE_PLANT "cartpole"
#endif

float rtu_board_driver[RTU_PLANT_ACT_MAX]; /* what the machine was last told: for a debugger, and for tests */

void rtu_board_main(void) {
    static rtu_simulated device;
    rtu_board board;
    rtu_board_start(&board);
    const rtu_simulated_options options = {.boot_id = board.boot_id, .driver = rtu_board_driver};
    if (!rtu_simulated_init(&device, RTU_FIRMWARE_PLANT, &options, rtu_board_send, NULL, rtu_board_now_us()))
        return; /* restarts: a data sheet that does not fit cannot be served */
    for (;;) {
        uint8_t bytes[256];
        const size_t n = rtu_serial_read(&rtu_board_serial, bytes, sizeof bytes);
        if (n != 0) rtu_bridge_receive(&device.bridge, bytes, n, rtu_board_now_us());
        rtu_bridge_tick(&device.bridge, rtu_board_now_us());
        rtu_board_feed(); /* here and nowhere else: whoever gets here has run the bridge */
        if (rtu_bridge_due(&device.bridge) > rtu_board_now_us()) rtu_board_sleep();
    }
}
