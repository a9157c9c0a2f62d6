#include "firmware_bridge/boards/servos/motion.h"

#include <string.h>

#include "firmware_bridge/plants/trig.h"

/* Of a geared hobby servo with a horn, scaled by its inertia: 60 rad/s^2 at full torque, 5 rad/s without load. */
#define ACCELERATION 60.0f /* rad/s^2 */
#define DAMPING 12.0f      /* 1/s */
#define FRICTION 3.0f      /* rad/s^2, of the gears */
#define GAIN 8.0f          /* full torque per rad of the servo's own controller */
#define GAIN_SPEED 0.25f   /* full torque per rad/s */
#define CURRENT_MAX 2.3f   /* A at full torque */
#define SUPPLY 12.0f       /* V */
#define SAG 0.8f           /* V at full torque */
#define AMBIENT 25.0f      /* degrees C */
#define HEAT 0.8f          /* K/s at full torque */
#define COOLING 0.01f      /* 1/s */

enum { ACCESS_ERROR = 7, LENGTH_ERROR = 5, RANGE_ERROR = 4, DYNAMIXEL_RAM = 64, GUARD_TIME_US = 20000 };

static const tl_servo_family *family_of(const tl_emulated *bus) { return tl_servo_family_at(bus->family); }

int64_t tl_emulated_get(const tl_emulated *bus, const tl_emulated_servo *servo, int role) {
    const tl_register *reg = &family_of(bus)->registers[role];
    return reg->size == 0 ? 0 : tl_register_get(reg, family_of(bus)->big_endian, servo->table + reg->address);
}

void tl_emulated_set(const tl_emulated *bus, tl_emulated_servo *servo, int role, int64_t v) {
    const tl_register *reg = &family_of(bus)->registers[role];
    if (reg->size != 0) (void)tl_register_put(reg, v, family_of(bus)->big_endian, servo->table + reg->address);
}

static float clamp(float v, float bound) { return v > bound ? bound : v < -bound ? -bound : v; }

static float physical(const tl_emulated *bus, const tl_emulated_servo *servo, int role) {
    return (float)tl_emulated_get(bus, servo, role) * family_of(bus)->registers[role].unit;
}

static void measure(const tl_emulated *bus, tl_emulated_servo *servo, int role, float v) {
    int64_t steps;
    if (tl_register_steps(&family_of(bus)->registers[role], v, &steps)) tl_emulated_set(bus, servo, role, steps);
}

/* Torque that the servo's own controller asks for, -1 to 1. */
static float controlled(const tl_emulated *bus, const tl_emulated_servo *servo) {
    const bool is_dynamixel = family_of(bus)->protocol == TL_BUS_DYNAMIXEL;
    const int64_t mode = tl_emulated_get(bus, servo, TL_REG_MODE);
    if (tl_emulated_get(bus, servo, TL_REG_TORQUE) != 1) return 0.0f;
    if (mode == (is_dynamixel ? 16 : 2)) return clamp(physical(bus, servo, TL_REG_GOAL_TORQUE), 1.0f);
    if (is_dynamixel && mode == 0) return clamp(physical(bus, servo, TL_REG_GOAL_CURRENT) / CURRENT_MAX, 1.0f);
    if (mode == 1) return clamp(GAIN * (physical(bus, servo, TL_REG_GOAL_SPEED) - servo->speed_rad_s), 1.0f);
    const float error = physical(bus, servo, TL_REG_GOAL_POSITION) - servo->position_rad;
    const float asked = clamp(GAIN * error - GAIN_SPEED * servo->speed_rad_s, 1.0f);
    const bool limited = family_of(bus)->registers[TL_REG_TORQUE_LIMIT].size != 0;
    return limited ? clamp(asked, physical(bus, servo, TL_REG_TORQUE_LIMIT)) : asked;
}

/* Dynamixel's Bus Watchdog: silence for its time stops the servo where it is. */
static void watch(const tl_emulated *bus, tl_emulated_servo *servo, uint64_t now_us) {
    const int64_t guard = tl_emulated_get(bus, servo, TL_REG_WATCHDOG);
    if (guard <= 0 || now_us - servo->heard_us <= (uint64_t)guard * GUARD_TIME_US) return;
    tl_emulated_set(bus, servo, TL_REG_WATCHDOG, -1);
    tl_emulated_set(bus, servo, TL_REG_GOAL_POSITION, tl_emulated_get(bus, servo, TL_REG_POSITION));
    tl_emulated_set(bus, servo, TL_REG_GOAL_SPEED, 0);
    tl_emulated_set(bus, servo, TL_REG_GOAL_CURRENT, 0);
    tl_emulated_set(bus, servo, TL_REG_GOAL_TORQUE, 0);
}

void tl_emulated_move(const tl_emulated *bus, tl_emulated_servo *servo, uint32_t dt_us) {
    const float dt = (float)dt_us * 1e-6f, middle = 0.5f * (float)family_of(bus)->turn;
    const float step = family_of(bus)->registers[TL_REG_POSITION].unit;
    if (servo->heard_us != 0) watch(bus, servo, bus->now_us);
    servo->torque = controlled(bus, servo);
    const float angle = clamp(servo->position_rad - middle * step, 100.0f);
    const float load = servo->gravity * tl_sincos(angle).sin;
    const float pull = ACCELERATION * (servo->torque - load) - DAMPING * servo->speed_rad_s;
    const float free_speed = servo->speed_rad_s + pull * dt;
    /* Friction stops what it can stop within the step. */
    servo->speed_rad_s = free_speed - clamp(free_speed, FRICTION * dt);
    servo->position_rad += servo->speed_rad_s * dt;
    const float heat = servo->torque * servo->torque * HEAT - COOLING * (servo->temperature_c - AMBIENT);
    servo->temperature_c += heat * dt;
    const float used = servo->torque < 0.0f ? -servo->torque : servo->torque;
    measure(bus, servo, TL_REG_POSITION, servo->position_rad);
    measure(bus, servo, TL_REG_SPEED, servo->speed_rad_s);
    measure(bus, servo, TL_REG_LOAD,
            family_of(bus)->protocol == TL_BUS_DYNAMIXEL ? servo->torque * CURRENT_MAX : servo->torque);
    measure(bus, servo, TL_REG_TEMPERATURE, servo->temperature_c);
    measure(bus, servo, TL_REG_VOLTAGE, SUPPLY - SAG * used);
    tl_emulated_set(bus, servo, TL_REG_MOVING, servo->speed_rad_s > 0.05f || servo->speed_rad_s < -0.05f);
    tl_emulated_set(bus, servo, TL_REG_ALARM, servo->alarm & 0x7F);
}

static bool covers(const tl_register *reg, uint16_t address, size_t n) {
    return reg->size != 0 && address < reg->address + reg->size && reg->address < address + n;
}

/* The error with which a Dynamixel refuses a write; 0: it accepts. */
static uint8_t refused(const tl_emulated *bus, const tl_emulated_servo *servo, uint16_t address, const uint8_t *bytes,
                       size_t n) {
    static const int measured[] = {TL_REG_MODEL,   TL_REG_FIRMWARE,    TL_REG_LOAD,  TL_REG_SPEED, TL_REG_POSITION,
                                   TL_REG_VOLTAGE, TL_REG_TEMPERATURE, TL_REG_ALARM, TL_REG_MOVING};
    static const int goals[] = {TL_REG_GOAL_TORQUE, TL_REG_GOAL_CURRENT, TL_REG_GOAL_SPEED, TL_REG_GOAL_POSITION};
    const tl_register *registers = family_of(bus)->registers;
    for (size_t i = 0; i < sizeof measured / sizeof measured[0]; i++)
        if (covers(&registers[measured[i]], address, n)) return ACCESS_ERROR;
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++)
        if (covers(&registers[goals[i]], address, n) && tl_emulated_get(bus, servo, TL_REG_WATCHDOG) < 0)
            return ACCESS_ERROR;
    if (address < DYNAMIXEL_RAM && tl_emulated_get(bus, servo, TL_REG_TORQUE) == 1) return ACCESS_ERROR;
    if (address == registers[TL_REG_TORQUE].address && bytes[0] > 1) return RANGE_ERROR;
    return 0;
}

uint8_t tl_emulated_write(tl_emulated *bus, tl_emulated_servo *servo, uint16_t address, const uint8_t *bytes,
                          size_t n) {
    const tl_servo_family *family = family_of(bus);
    const bool is_dynamixel = family->protocol == TL_BUS_DYNAMIXEL;
    uint8_t error = (size_t)address + n > family->control_bytes ? LENGTH_ERROR : 0;
    if (error == 0 && is_dynamixel) error = refused(bus, servo, address, bytes, n);
    if (error != 0) {
        servo->refusals++;
        return is_dynamixel ? error : 0;
    }
    memcpy(servo->table + address, bytes, n);
    if (covers(&family->registers[TL_REG_GOAL_POSITION], address, n)) {
        servo->goals++;
        if (servo->wakes) tl_emulated_set(bus, servo, TL_REG_TORQUE, 1);
    }
    servo->id = servo->table[family->registers[TL_REG_ID].address];
    return 0;
}

void tl_emulated_restart(const tl_emulated *bus, tl_emulated_servo *servo) {
    servo->alarm = 0;
    servo->registered = 0;
    tl_emulated_set(bus, servo, TL_REG_TORQUE, 0);
    tl_emulated_set(bus, servo, TL_REG_WATCHDOG, 0);
    tl_emulated_set(bus, servo, TL_REG_GOAL_POSITION, tl_emulated_get(bus, servo, TL_REG_POSITION));
}
