/* Command line of tl_firmware. */
#pragma once

#include "firmware_bridge/boards/simulated/simulated.h"

typedef struct {
    const char *plant;
    const char *link;        /* symbolic link to make to the pty; NULL: none */
    const char *driver_file; /* what the actuators are told is written here too; NULL: nowhere */
    int fd;                  /* line that the parent opened; -1: open a pty */
    bool until_eof;          /* leave when standard input ends */
    bool boot_id_given;
    tl_simulated_options device;
} tl_options;

/* Returns true when the device is to run. Otherwise *exit_code is what main() returns: 0 after --help or --list, which
 * have printed, 2 after a complaint on stderr. */
bool tl_options_parse(tl_options *options, int argc, char **argv, int *exit_code);
