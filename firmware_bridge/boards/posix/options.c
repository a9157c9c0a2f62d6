#include "firmware_bridge/boards/posix/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tl_firmware [options]\n"
    "A simulated plant behind a serial line with TickLink. Opens a pty and prints its path on one line.\n"
    "  --plant NAME       plant to simulate (default cartpole; see --list)\n"
    "  --pty-link PATH    create PATH as a symbolic link to the pty; removed on exit\n"
    "  --fd N             use this open descriptor instead of a pty\n"
    "  --until-eof        exit when standard input ends, for example when the parent ends\n"
    "  --seed N           random seed of episode 0 (default 0)\n"
    "  --boot-id N        boot id (default: a new one at each start)\n"
    "  --ttl-max-ms N     maximum time to live of a command, 1 to 60000 (default 200)\n"
    "  --silence-ms N     link timeout that stops a session, 1 to 60000 (default 1000)\n"
    "  --max-steps N      maximum steps per episode (default: that of the plant)\n"
    "  --slew X           slew limit of every actuator per period (default: no limit)\n"
    "  --period-us N      control period in real time, 100 to 10000000 (default: that of the plant)\n"
    "  --reset-ticks N    additional periods per reset in real time, 0 to 65535 (default 0)\n"
    "  --driver-file PATH write each actuator command to this file, 8 values, binary32\n"
    "  --list             list the plants and exit\n";

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *value) {
    char *end;
    errno = 0;
    *value = strtoul(text, &end, 0);
    return errno == 0 && *text != '\0' && *text != '-' && *end == '\0' && *value >= min && *value <= max;
}

/* Parses one option and its value; false for an invalid value or an unknown option. */
static bool take(tl_options *options, const char *name, const char *value) {
    unsigned long n = 0;
    if (strcmp(name, "--plant") == 0) {
        options->plant = value;
        return tl_plant_find(value) != NULL;
    }
    if (strcmp(name, "--pty-link") == 0) {
        options->link = value;
        return *value != '\0';
    }
    if (strcmp(name, "--driver-file") == 0) {
        options->driver_file = value;
        return *value != '\0';
    }
    if (strcmp(name, "--slew") == 0) {
        char *end;
        options->device.slew = strtof(value, &end);
        return *value != '\0' && *end == '\0' && options->device.slew > 0.0f;
    }
    const struct {
        const char *name;
        unsigned long min, max;
    } numbers[] = {
        {"--fd", 0, 1u << 20},          {"--seed", 0, UINT32_MAX},        {"--boot-id", 0, UINT32_MAX},
        {"--ttl-max-ms", 1, 60000},     {"--silence-ms", 1, 60000},       {"--max-steps", 1, UINT32_MAX},
        {"--period-us", 100, 10000000}, {"--reset-ticks", 0, UINT16_MAX},
    };
    size_t i = 0;
    while (i < sizeof numbers / sizeof numbers[0] && strcmp(name, numbers[i].name) != 0) i++;
    if (i == sizeof numbers / sizeof numbers[0] || !number(value, numbers[i].min, numbers[i].max, &n)) return false;
    switch (i) {
        case 0:
            options->fd = (int)n;
            break;
        case 1:
            options->device.seed = (uint32_t)n;
            break;
        case 2:
            options->device.boot_id = (uint32_t)n;
            options->boot_id_given = true;
            break;
        case 3:
            options->device.ttl_max_ms = (uint16_t)n;
            break;
        case 4:
            options->device.silence_us = (uint32_t)n * 1000u;
            break;
        case 5:
            options->device.max_steps = (uint32_t)n;
            break;
        case 6:
            options->device.period_us = (uint32_t)n;
            break;
        default:
            options->device.reset_ticks = (uint16_t)n;
            break;
    }
    return true;
}

static void list_plants(void) {
    for (size_t i = 0; i < tl_plant_count(); i++) puts(tl_plant_at(i)->sheet->name);
}

bool tl_options_parse(tl_options *options, int argc, char **argv, int *exit_code) {
    *options = (tl_options){.plant = "cartpole", .fd = -1};
    *exit_code = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return false;
        }
        if (strcmp(argv[i], "--list") == 0) {
            list_plants();
            return false;
        }
        if (strcmp(argv[i], "--until-eof") == 0) {
            options->until_eof = true;
            continue;
        }
        if (i + 1 == argc || !take(options, argv[i], argv[i + 1])) {
            fprintf(stderr, "tl_firmware: cannot use %s %s (see --help)\n", argv[i], i + 1 < argc ? argv[i + 1] : "");
            *exit_code = 2;
            return false;
        }
        i++;
    }
    return true;
}
