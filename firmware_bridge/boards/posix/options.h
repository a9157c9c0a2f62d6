/* Command line of tl_firmware. */
#pragma once

#include "firmware_bridge/boards/simulated/simulated.h"

typedef struct {
    const char *plant;
    const char *link;        /* symbolic link to create to the pty; NULL: none */
    const char *driver_file; /* file for the actuator commands; NULL: none */
    int fd;                  /* descriptor opened by the parent; -1: open a pty */
    bool until_eof;          /* exit when standard input ends */
    bool boot_id_given;
    tl_simulated_options device;
} tl_options;

/* Returns true when the device is to run. Otherwise *exit_code is what main() returns: 0 after --help or --list have
 * printed, 2 after an error message on stderr. */
bool tl_options_parse(tl_options *options, int argc, char **argv, int *exit_code);
