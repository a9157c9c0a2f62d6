/* The body of an emulated servo: its motor, its controller and what it measures. */
#pragma once

#include "firmware_bridge/boards/servos/emulated.h"

/* Moves one servo by dt_us, at most 1000, and writes what it measures to its table. */
void tl_emulated_move(const tl_emulated *bus, tl_emulated_servo *servo, uint32_t dt_us);

/* Writes n bytes to the table, as a WRITE does. Returns the error of the answer, of the family's protocol. */
uint8_t tl_emulated_write(tl_emulated *bus, tl_emulated_servo *servo, uint16_t address, const uint8_t *bytes, size_t n);

/* Restarts a servo: torque off, alarm gone. */
void tl_emulated_restart(const tl_emulated *bus, tl_emulated_servo *servo);
