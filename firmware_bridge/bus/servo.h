/* Families of servos: protocol, registers and their units. */
#pragma once

#include "firmware_bridge/bus/value.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TL_BUS_DYNAMIXEL = 0, TL_BUS_FEETECH = 1 };

/* Registers that all families have, under any name; one that a family lacks has size 0. */
enum {
    TL_REG_MODEL,
    TL_REG_FIRMWARE,
    TL_REG_ID,
    TL_REG_BAUD,
    TL_REG_RETURN_DELAY, /* unit: s */
    TL_REG_MODE,
    TL_REG_HOMING,
    TL_REG_TORQUE,      /* 1: enabled */
    TL_REG_LOCK,        /* 1: the registers that survive power-off are locked; Feetech */
    TL_REG_ALARM,       /* bits of Hardware Error Status; Feetech: Servo Status */
    TL_REG_WATCHDOG,    /* Bus Watchdog; reads as -1 after it has stopped the servo; Dynamixel */
    TL_REG_GOAL_TORQUE, /* PWM: a share of the largest torque at standstill */
    TL_REG_GOAL_CURRENT,
    TL_REG_GOAL_SPEED,
    TL_REG_GOAL_POSITION,
    TL_REG_ACCELERATION,
    TL_REG_TORQUE_LIMIT,
    TL_REG_MOVING,
    TL_REG_LOAD, /* a current in A, or a share of the largest torque */
    TL_REG_SPEED,
    TL_REG_POSITION,
    TL_REG_VOLTAGE,
    TL_REG_TEMPERATURE,
    TL_REG_COUNT
};

typedef struct {
    const char *name; /* "dynamixel", "feetech", "scs" */
    const char *title;
    uint8_t protocol; /* TL_BUS_DYNAMIXEL, TL_BUS_FEETECH */
    bool big_endian;
    bool sync_read;
    uint16_t turn;          /* steps of position per turn */
    uint16_t control_bytes; /* size of the control table */
    uint8_t position_mode;  /* value of TL_REG_MODE in which the goal is a position */
    tl_register registers[TL_REG_COUNT];
} tl_servo_family;

/* "dynamixel": X series, protocol 2.0. "feetech": STS and SMS. "scs": SCS. NULL for another name. */
const tl_servo_family *tl_servo_family_find(const char *name);
const tl_servo_family *tl_servo_family_at(size_t index); /* NULL beyond the last */

#ifdef __cplusplus
}
#endif
