/* The server's command line. */
#pragma once

#include "firmware_bridge/boards/bus_server/plant.h"

typedef struct {
    const tl_servo_family *family;
    const char *link;
    unsigned long fd, baud, latency_us, return_delay_us, ttl_max_ms, silence_ms;
    bool echo, until_eof, emulated;
    float gravity; /* of emulated servos */
    tl_bus_server_options server;
} tl_bus_server_command;

/* False: the program ends with *exit_code. */
bool tl_bus_server_parse(tl_bus_server_command *command, int argc, char **argv, int *exit_code);
