/* The state machine, one cell per event and state. docs/protocol_device.md prints this table; tests
 * compare the two and walk every cell. */
#include "firmware_bridge/bridge/bridge.h"

#define GO(what, to) {TL_DO_##what, TL_STATUS_OK, TL_STATE_##to}
#define NO(why, stays) {TL_DO_REFUSE, TL_STATUS_##why, TL_STATE_##stays}

/* Requests allowed in any state, which change none. */
#define ANSWERS(state)                                                          \
    [TL_ON_HELLO] = GO(SEND_HELLO, state), [TL_ON_PING] = GO(SEND_PONG, state), \
    [TL_ON_DESCRIBE] = GO(SEND_ROW, state), [TL_ON_PARAM] = GO(SEND_PARAM, state), [TL_ON_OTHER] = GO(NOTHING, state)

static const TL_IN_FLASH tl_bridge_rule table[TL_STATE_COUNT][TL_ON_COUNT] = {
    [TL_STATE_BOOT] =
        {
            ANSWERS(BOOT),
            [TL_ON_CMD] = NO(STATE, BOOT),
            [TL_ON_ARM] = NO(STATE, BOOT),
            [TL_ON_DISARM] = GO(ACK, BOOT),
            [TL_ON_CLEAR_FAULT] = GO(ACK, BOOT),
            [TL_ON_RESET] = NO(STATE, BOOT),
            [TL_ON_ESTOP] = GO(ESTOP, ESTOP),
            [TL_ON_TICK] = GO(START, DISARMED),
            [TL_ON_EXPIRED] = GO(NOTHING, BOOT),
            [TL_ON_SENSOR] = GO(NOTHING, BOOT),
            [TL_ON_LIMIT] = GO(NOTHING, BOOT),
            [TL_ON_READY] = GO(NOTHING, BOOT),
        },
    [TL_STATE_DISARMED] =
        {
            ANSWERS(DISARMED),
            [TL_ON_CMD] = NO(STATE, DISARMED),
            [TL_ON_ARM] = GO(ARM, ARMED),
            [TL_ON_DISARM] = GO(ACK, DISARMED),
            [TL_ON_CLEAR_FAULT] = GO(ACK, DISARMED),
            [TL_ON_RESET] = NO(STATE, DISARMED),
            [TL_ON_ESTOP] = GO(ESTOP, ESTOP),
            [TL_ON_TICK] = GO(REST, DISARMED),
            [TL_ON_EXPIRED] = GO(NOTHING, DISARMED),
            [TL_ON_SENSOR] = GO(NOTHING, DISARMED),
            [TL_ON_LIMIT] = GO(NOTHING, DISARMED),
            [TL_ON_READY] = GO(NOTHING, DISARMED),
        },
    [TL_STATE_ARMED] =
        {
            ANSWERS(ARMED),
            [TL_ON_CMD] = GO(COMMAND, ARMED),
            [TL_ON_ARM] = GO(ARM_AGAIN, ARMED),
            [TL_ON_DISARM] = GO(DISARM, DISARMED),
            [TL_ON_CLEAR_FAULT] = NO(STATE, ARMED),
            [TL_ON_RESET] = GO(RESET, RESETTING),
            [TL_ON_ESTOP] = GO(ESTOP, ESTOP),
            [TL_ON_TICK] = GO(RUN, ARMED),
            [TL_ON_EXPIRED] = GO(SAFE, SAFE),
            [TL_ON_SENSOR] = GO(SAFE, SAFE),
            [TL_ON_LIMIT] = GO(SAFE, SAFE),
            [TL_ON_READY] = GO(NOTHING, ARMED),
        },
    [TL_STATE_SAFE] =
        {
            ANSWERS(SAFE),
            [TL_ON_CMD] = NO(STATE, SAFE),
            [TL_ON_ARM] = GO(ARM, ARMED),
            [TL_ON_DISARM] = GO(ACK, SAFE),
            [TL_ON_CLEAR_FAULT] = GO(ACK, SAFE),
            [TL_ON_RESET] = NO(STATE, SAFE),
            [TL_ON_ESTOP] = GO(ESTOP, ESTOP),
            [TL_ON_TICK] = GO(REST, SAFE),
            [TL_ON_EXPIRED] = GO(NOTHING, SAFE),
            [TL_ON_SENSOR] = GO(NOTHING, SAFE),
            [TL_ON_LIMIT] = GO(NOTHING, SAFE),
            [TL_ON_READY] = GO(NOTHING, SAFE),
        },
    [TL_STATE_ESTOP] =
        {
            ANSWERS(ESTOP),
            [TL_ON_CMD] = NO(LATCHED, ESTOP),
            [TL_ON_ARM] = NO(LATCHED, ESTOP),
            [TL_ON_DISARM] = GO(ACK, ESTOP),
            [TL_ON_CLEAR_FAULT] = GO(CLEAR, DISARMED),
            [TL_ON_RESET] = NO(LATCHED, ESTOP),
            [TL_ON_ESTOP] = GO(REPEAT, ESTOP),
            [TL_ON_TICK] = GO(REST, ESTOP),
            [TL_ON_EXPIRED] = GO(NOTHING, ESTOP),
            [TL_ON_SENSOR] = GO(NOTHING, ESTOP),
            [TL_ON_LIMIT] = GO(NOTHING, ESTOP),
            [TL_ON_READY] = GO(NOTHING, ESTOP),
        },
    [TL_STATE_RESETTING] =
        {
            ANSWERS(RESETTING),
            [TL_ON_CMD] = NO(BUSY, RESETTING),
            [TL_ON_ARM] = NO(BUSY, RESETTING),
            [TL_ON_DISARM] = GO(DISARM, DISARMED),
            [TL_ON_CLEAR_FAULT] = NO(STATE, RESETTING),
            [TL_ON_RESET] = GO(RESET_AGAIN, RESETTING),
            [TL_ON_ESTOP] = GO(ESTOP, ESTOP),
            [TL_ON_TICK] = GO(WAIT, RESETTING),
            [TL_ON_EXPIRED] = GO(SAFE, SAFE),
            [TL_ON_SENSOR] = GO(SAFE, SAFE),
            [TL_ON_LIMIT] = GO(SAFE, SAFE),
            [TL_ON_READY] = GO(FIRST, ARMED),
        },
};

tl_bridge_rule tl_bridge_cell(uint8_t state, uint8_t on) { return table[state][on]; }
