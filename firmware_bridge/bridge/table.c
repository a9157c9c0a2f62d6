/* The state machine, one cell for each thing that can happen in each state. docs/protocol.md prints this table; tests compare the
 * two and walk every cell. */
#include "firmware_bridge/bridge/bridge.h"

#define GO(what, to) {RTU_DO_##what, RTU_STATUS_OK, RTU_STATE_##to}
#define NO(why, stays) {RTU_DO_REFUSE, RTU_STATUS_##why, RTU_STATE_##stays}

/* Asked in any state, changing none. */
#define ANSWERS(state)                                                               \
    [RTU_ON_HELLO] = GO(SEND_HELLO, state), [RTU_ON_PING] = GO(SEND_PONG, state),    \
    [RTU_ON_DESCRIBE] = GO(SEND_ROW, state), [RTU_ON_PARAM] = GO(SEND_PARAM, state), \
    [RTU_ON_OTHER] = GO(NOTHING, state)

static const rtu_bridge_rule table[RTU_STATE_COUNT][RTU_ON_COUNT] =
    {
        [RTU_STATE_BOOT] =
            {
                ANSWERS(BOOT),
                [RTU_ON_CMD] = NO(STATE, BOOT),
                [RTU_ON_ARM] = NO(STATE, BOOT),
                [RTU_ON_DISARM] = GO(ACK, BOOT),
                [RTU_ON_CLEAR_FAULT] = GO(ACK, BOOT),
                [RTU_ON_RESET] = NO(STATE, BOOT),
                [RTU_ON_ESTOP] = GO(ESTOP, ESTOP),
                [RTU_ON_TICK] = GO(START, DISARMED),
                [RTU_ON_EXPIRED] = GO(NOTHING, BOOT),
                [RTU_ON_SENSOR] = GO(NOTHING, BOOT),
                [RTU_ON_READY] = GO(NOTHING, BOOT),
            },
        [RTU_STATE_DISARMED] =
            {
                ANSWERS(DISARMED),
                [RTU_ON_CMD] = NO(STATE, DISARMED),
                [RTU_ON_ARM] = GO(ARM, ARMED),
                [RTU_ON_DISARM] = GO(ACK, DISARMED),
                [RTU_ON_CLEAR_FAULT] = GO(ACK, DISARMED),
                [RTU_ON_RESET] = NO(STATE, DISARMED),
                [RTU_ON_ESTOP] = GO(ESTOP, ESTOP),
                [RTU_ON_TICK] = GO(REST, DISARMED),
                [RTU_ON_EXPIRED] = GO(NOTHING, DISARMED),
                [RTU_ON_SENSOR] = GO(NOTHING, DISARMED),
                [RTU_ON_READY] = GO(NOTHING, DISARMED),
            },
        [RTU_STATE_ARMED] =
            {
                ANSWERS(ARMED),
                [RTU_ON_CMD] = GO(COMMAND, ARMED),
                [RTU_ON_ARM] = GO(ARM_AGAIN, ARMED),
                [RTU_ON_DISARM] = GO(DISARM, DISARMED),
                [RTU_ON_CLEAR_FAULT] = NO(STATE, ARMED),
                [RTU_ON_RESET] = GO(RESET, RESETTING),
                [RTU_ON_ESTOP] = GO(ESTOP, ESTOP),
                [RTU_ON_TICK] = GO(RUN, ARMED),
                [RTU_ON_EXPIRED] = GO(SAFE, SAFE),
                [RTU_ON_SENSOR] = GO(SAFE, SAFE),
                [RTU_ON_READY] = GO(NOTHING, ARMED),
            },
        [RTU_STATE_SAFE] =
            {
                ANSWERS(SAFE),
                [RTU_ON_CMD] = NO(STATE, SAFE),
                [RTU_ON_ARM] = GO(ARM, ARMED),
                [RTU_ON_DISARM] = GO(ACK, SAFE),
                [RTU_ON_CLEAR_FAULT] = GO(ACK, SAFE),
                [RTU_ON_RESET] = NO(STATE, SAFE),
                [RTU_ON_ESTOP] = GO(ESTOP, ESTOP),
                [RTU_ON_TICK] = GO(REST, SAFE),
                [RTU_ON_EXPIRED] = GO(NOTHING, SAFE),
                [RTU_ON_SENSOR] = GO(NOTHING, SAFE),
                [RTU_ON_READY] = GO(NOTHING, SAFE),
            },
        [RTU_STATE_ESTOP] =
            {
                ANSWERS(ESTOP),
                [RTU_ON_CMD] = NO(LATCHED, ESTOP),
                [RTU_ON_ARM] = NO(LATCHED, ESTOP),
                [RTU_ON_DISARM] = GO(ACK, ESTOP),
                [RTU_ON_CLEAR_FAULT] = GO(CLEAR, DISARMED),
                [RTU_ON_RESET] = NO(LATCHED, ESTOP),
                [RTU_ON_ESTOP] = GO(REPEAT, ESTOP),
                [RTU_ON_TICK] = GO(REST, ESTOP),
                [RTU_ON_EXPIRED] = GO(NOTHING, ESTOP),
                [RTU_ON_SENSOR] = GO(NOTHING, ESTOP),
                [RTU_ON_READY] = GO(NOTHING, ESTOP),
            },
        [RTU_STATE_RESETTING] =
            {
                ANSWERS(RESETTING),
                [RTU_ON_CMD] = NO(BUSY, RESETTING),
                [RTU_ON_ARM] = NO(BUSY, RESETTING),
                [RTU_ON_DISARM] = GO(DISARM, DISARMED),
                [RTU_ON_CLEAR_FAULT] = NO(STATE, RESETTING),
                [RTU_ON_RESET] = GO(RESET_AGAIN, RESETTING),
                [RTU_ON_ESTOP] = GO(ESTOP, ESTOP),
                [RTU_ON_TICK] = GO(WAIT, RESETTING),
                [RTU_ON_EXPIRED] = GO(SAFE, SAFE),
                [RTU_ON_SENSOR] = GO(SAFE, SAFE),
                [RTU_ON_READY] = GO(FIRST, ARMED),
            },
};

rtu_bridge_rule rtu_bridge_cell(uint8_t state, uint8_t on) { return table[state][on]; }
