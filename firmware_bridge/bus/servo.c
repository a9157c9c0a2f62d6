#include "firmware_bridge/bus/servo.h"

#include <string.h>

#define NONE TL_SIGN_NONE
#define TWOS TL_SIGN_TWOS
#define STEP_4096 1.5339808e-3f /* 2 pi / 4096 rad */
#define STEP_SCS 5.1132693e-3f  /* 300 degrees / 1024 */

/* clang-format off */
static const tl_servo_family families[] = {
    {"dynamixel", "Dynamixel X series, protocol 2.0", TL_BUS_DYNAMIXEL, false, true, 4096, 160, 3, {
        [TL_REG_MODEL] = {"model", 0, 2, NONE, 1.0f, "1"},
        [TL_REG_FIRMWARE] = {"firmware", 6, 1, NONE, 1.0f, "1"},
        [TL_REG_ID] = {"id", 7, 1, NONE, 1.0f, "1"},
        [TL_REG_BAUD] = {"baud", 8, 1, NONE, 1.0f, "1"},
        [TL_REG_RETURN_DELAY] = {"return_delay", 9, 1, NONE, 2e-6f, "s"},
        [TL_REG_MODE] = {"mode", 11, 1, NONE, 1.0f, "1"},
        [TL_REG_HOMING] = {"homing_offset", 20, 4, TWOS, STEP_4096, "rad"},
        [TL_REG_TORQUE] = {"torque_enable", 64, 1, NONE, 1.0f, "1"},
        [TL_REG_ALARM] = {"alarm", 70, 1, NONE, 1.0f, "1"},
        [TL_REG_WATCHDOG] = {"bus_watchdog", 98, 1, TWOS, 0.02f, "s"},
        [TL_REG_GOAL_TORQUE] = {"goal_torque", 100, 2, TWOS, 1.0f / 885.0f, "1"},
        [TL_REG_GOAL_CURRENT] = {"goal_current", 102, 2, TWOS, 2.69e-3f, "A"},
        [TL_REG_GOAL_SPEED] = {"goal_speed", 104, 4, TWOS, 2.3980824e-2f, "rad/s"}, /* .229 rpm */
        [TL_REG_ACCELERATION] = {"acceleration", 108, 4, NONE, 0.37456297f, "rad/s^2"}, /* 214.577 rev/min^2 */
        [TL_REG_GOAL_POSITION] = {"goal_position", 116, 4, TWOS, STEP_4096, "rad"},
        [TL_REG_MOVING] = {"moving", 122, 1, NONE, 1.0f, "1"},
        [TL_REG_LOAD] = {"current", 126, 2, TWOS, 2.69e-3f, "A"},
        [TL_REG_SPEED] = {"speed", 128, 4, TWOS, 2.3980824e-2f, "rad/s"},
        [TL_REG_POSITION] = {"position", 132, 4, TWOS, STEP_4096, "rad"},
        [TL_REG_VOLTAGE] = {"voltage", 144, 2, NONE, 0.1f, "V"},
        [TL_REG_TEMPERATURE] = {"temperature", 146, 1, NONE, 1.0f, "degC"},
    }},
    {"feetech", "Feetech STS and SMS series", TL_BUS_FEETECH, false, true, 4096, 128, 0, {
        [TL_REG_MODEL] = {"model", 3, 2, NONE, 1.0f, "1"},
        [TL_REG_FIRMWARE] = {"firmware", 0, 1, NONE, 1.0f, "1"},
        [TL_REG_ID] = {"id", 5, 1, NONE, 1.0f, "1"},
        [TL_REG_BAUD] = {"baud", 6, 1, NONE, 1.0f, "1"},
        [TL_REG_RETURN_DELAY] = {"return_delay", 7, 1, NONE, 2e-6f, "s"},
        [TL_REG_HOMING] = {"homing_offset", 31, 2, 11, STEP_4096, "rad"},
        [TL_REG_MODE] = {"mode", 33, 1, NONE, 1.0f, "1"},
        [TL_REG_TORQUE] = {"torque_enable", 40, 1, NONE, 1.0f, "1"},
        [TL_REG_ACCELERATION] = {"acceleration", 41, 1, NONE, 0.15339808f, "rad/s^2"}, /* 100 steps/s^2 */
        [TL_REG_GOAL_POSITION] = {"goal_position", 42, 2, 15, STEP_4096, "rad"},
        [TL_REG_GOAL_TORQUE] = {"goal_torque", 44, 2, 10, 1e-3f, "1"},
        [TL_REG_GOAL_SPEED] = {"goal_speed", 46, 2, 15, STEP_4096, "rad/s"},
        [TL_REG_TORQUE_LIMIT] = {"torque_limit", 48, 2, NONE, 1e-3f, "1"},
        [TL_REG_LOCK] = {"lock", 55, 1, NONE, 1.0f, "1"},
        [TL_REG_POSITION] = {"position", 56, 2, 15, STEP_4096, "rad"},
        [TL_REG_SPEED] = {"speed", 58, 2, 15, STEP_4096, "rad/s"},
        [TL_REG_LOAD] = {"load", 60, 2, 10, 1e-3f, "1"},
        [TL_REG_VOLTAGE] = {"voltage", 62, 1, NONE, 0.1f, "V"},
        [TL_REG_TEMPERATURE] = {"temperature", 63, 1, NONE, 1.0f, "degC"},
        [TL_REG_ALARM] = {"alarm", 65, 1, NONE, 1.0f, "1"},
        [TL_REG_MOVING] = {"moving", 66, 1, NONE, 1.0f, "1"},
    }},
    {"scs", "Feetech SCS series", TL_BUS_FEETECH, true, false, 1024, 128, 0, {
        [TL_REG_MODEL] = {"model", 3, 2, NONE, 1.0f, "1"},
        [TL_REG_FIRMWARE] = {"firmware", 0, 1, NONE, 1.0f, "1"},
        [TL_REG_ID] = {"id", 5, 1, NONE, 1.0f, "1"},
        [TL_REG_BAUD] = {"baud", 6, 1, NONE, 1.0f, "1"},
        [TL_REG_RETURN_DELAY] = {"return_delay", 7, 1, NONE, 2e-6f, "s"},
        [TL_REG_TORQUE] = {"torque_enable", 40, 1, NONE, 1.0f, "1"},
        [TL_REG_GOAL_POSITION] = {"goal_position", 42, 2, 15, STEP_SCS, "rad"},
        [TL_REG_GOAL_SPEED] = {"goal_speed", 46, 2, 15, STEP_SCS, "rad/s"},
        [TL_REG_LOCK] = {"lock", 48, 1, NONE, 1.0f, "1"},
        [TL_REG_POSITION] = {"position", 56, 2, 15, STEP_SCS, "rad"},
        [TL_REG_SPEED] = {"speed", 58, 2, 15, STEP_SCS, "rad/s"},
        [TL_REG_LOAD] = {"load", 60, 2, 10, 1e-3f, "1"},
        [TL_REG_VOLTAGE] = {"voltage", 62, 1, NONE, 0.1f, "V"},
        [TL_REG_TEMPERATURE] = {"temperature", 63, 1, NONE, 1.0f, "degC"},
        [TL_REG_ALARM] = {"alarm", 65, 1, NONE, 1.0f, "1"},
        [TL_REG_MOVING] = {"moving", 66, 1, NONE, 1.0f, "1"},
    }},
};
/* clang-format on */

const tl_servo_family *tl_servo_family_at(size_t index) {
    return index < sizeof families / sizeof families[0] ? &families[index] : NULL;
}

const tl_servo_family *tl_servo_family_find(const char *name) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(name, families[i].name) == 0) return &families[i];
    return NULL;
}
