#include "firmware_bridge/boards/bus_server/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_FD = 0xFFFFFF };

static const char usage[] =
    "usage: tl_bus_server --fd N|--emulated --family NAME [--goal KIND]\n"
    "           --joint NAME,ID,ZERO,SIGN,MIN,MAX,SLEW,SAFE,VALUE[,LOW,HIGH] [--wave ...] [options]\n"
    "Owns a servo bus and serves it with TickLink behind a pty, whose path it prints on one line.\n"
    "  --fd N               descriptor of the open port\n"
    "  --emulated           in place of --fd: emulated servos in this process; a host may run them in lockstep\n"
    "  --gravity X          of emulated servos: torque that holds the load horizontally, as a share of the largest\n"
    "  --family NAME        dynamixel, feetech or scs\n"
    "  --goal KIND          position, speed, current or torque (default position); before the joints\n"
    "  --joint ...          one joint; ZERO in rad, SIGN 1 or -1; MIN, MAX, SLEW per period and VALUE of the goal;\n"
    "                       SAFE hold, ramp or off; LOW, HIGH: range in rad, unless the goal is a position\n"
    "  --wave A,T,PHASE     adds a wave to the target of the joint before it: rad, s, rad; at most 4\n"
    "  --baud N             bits per second (default 1000000)\n"
    "  --period-us N        control period, 1000 to 1000000 (default 10000)\n"
    "  --latency-us N       of adapter and host, per transaction (default 2000)\n"
    "  --return-delay-us N  longest return delay of any servo (default 500)\n"
    "  --ttl-max-ms N       maximum time to live of a command, 1 to 60000 (default 200)\n"
    "  --silence-ms N       link timeout that stops a session, 1 to 60000 (default 1000)\n"
    "  --stale N            periods without an answer that are tolerated (default 3)\n"
    "  --ignore-alarms N    alarm bits that do not end a session (default 0)\n"
    "  --watchdog-ms N      of Bus Watchdog; 0: none (default: the maximum time to live)\n"
    "  --speed, --load      observe them too\n"
    "  --fast               fast sync read\n"
    "  --echo               the adapter returns what is sent\n"
    "  --simulated          the servos are emulated: nothing real moves\n"
    "  --pty-link PATH      create PATH as a symbolic link to the pty; removed on exit\n"
    "  --until-eof          exit when standard input ends\n";

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *value) {
    char *end;
    *value = strtoul(text, &end, 0);
    return *text >= '0' && *text <= '9' && *end == '\0' && *value >= min && *value <= max;
}

static bool safe_of(const char *name, uint8_t *safe) {
    if (strcmp(name, "hold") == 0)
        *safe = TL_SAFE_HOLD;
    else if (strcmp(name, "ramp") == 0)
        *safe = TL_SAFE_RAMP;
    else if (strcmp(name, "off") == 0)
        *safe = TL_SAFE_OFF;
    else
        return false;
    return true;
}

static bool joint(tl_bus_server_options *options, const char *text) {
    char safe[8], rest;
    unsigned id;
    if (options->count == TL_JOINTS_MAX) return false;
    tl_joint *one = &options->joints[options->count];
    const int n =
        sscanf(text, "%14[a-zA-Z0-9_],%u,%f,%f,%f,%f,%f,%7[a-z],%f,%f,%f%c", one->name, &id, &one->zero_rad, &one->sign,
               &one->min, &one->max, &one->slew, safe, &one->safe_value, &one->low_rad, &one->high_rad, &rest);
    if (n != (options->goal == TL_GOAL_POSITION ? 9 : 11) || id > TL_BUS_ID_MAX || !safe_of(safe, &one->safe))
        return false;
    /* Only a position may stay in force without a command. */
    if (options->goal != TL_GOAL_POSITION && (one->safe == TL_SAFE_HOLD || one->safe_value != 0.0f)) return false;
    /* Finite, and what the bridge does not check itself. */
    if (!(one->zero_rad > -1e6f && one->zero_rad < 1e6f) || !(one->sign == 1.0f || one->sign == -1.0f)) return false;
    one->id = (uint8_t)id;
    for (uint8_t i = 0; i < options->count; i++)
        if (options->joints[i].id == one->id) return false;
    options->count++;
    return true;
}

/* Of the last joint. */
static bool wave(tl_bus_server_options *options, const char *text) {
    char rest;
    tl_wave one;
    if (options->count == 0 || options->joints[options->count - 1].n_waves == TL_WAVES_MAX) return false;
    tl_joint *last = &options->joints[options->count - 1];
    if (sscanf(text, "%f,%f,%f%c", &one.amplitude_rad, &one.period_s, &one.phase_rad, &rest) != 3) return false;
    if (!(one.amplitude_rad > -100.0f && one.amplitude_rad < 100.0f) ||
        !(one.phase_rad > -100.0f && one.phase_rad < 100.0f))
        return false;
    if (!(one.period_s >= 1e-3f && one.period_s <= 1e6f)) return false;
    last->waves[last->n_waves++] = one;
    return true;
}

static bool gravity(tl_bus_server_command *command, const char *text) {
    char rest;
    return sscanf(text, "%f%c", &command->gravity, &rest) == 1 && command->gravity >= 0.0f && command->gravity <= 1.0f;
}

static bool take_number(tl_bus_server_command *command, const char *name, const char *value) {
    unsigned long small = 0;
    const struct {
        const char *name;
        unsigned long min, max, *to;
    } numbers[] = {
        {"--fd", 0, 1u << 20, &command->fd},
        {"--baud", 1200, 12000000, &command->baud},
        {"--latency-us", 0, 1000000, &command->latency_us},
        {"--return-delay-us", 0, 100000, &command->return_delay_us},
        {"--ttl-max-ms", 1, 60000, &command->ttl_max_ms},
        {"--silence-ms", 1, 60000, &command->silence_ms},
        {"--period-us", 1000, 1000000, &small},
        {"--stale", 0, 100, &small},
        {"--ignore-alarms", 0, 255, &small},
        {"--watchdog-ms", 0, 2540, &small},
    };
    size_t i = 0;
    while (i < sizeof numbers / sizeof numbers[0] && strcmp(name, numbers[i].name) != 0) i++;
    if (i == sizeof numbers / sizeof numbers[0] || !number(value, numbers[i].min, numbers[i].max, numbers[i].to))
        return false;
    if (i == 6) command->server.period_us = (uint32_t)small;
    if (i == 7) command->server.stale_cycles = (uint8_t)small;
    if (i == 8) command->server.ignored = (uint8_t)small;
    if (i == 9) command->server.watchdog_ms = (uint16_t)small;
    return true;
}

static bool take_flag(tl_bus_server_command *command, const char *name) {
    if (strcmp(name, "--speed") == 0)
        command->server.with_speed = true;
    else if (strcmp(name, "--load") == 0)
        command->server.with_load = true;
    else if (strcmp(name, "--fast") == 0)
        command->server.fast = true;
    else if (strcmp(name, "--emulated") == 0)
        command->emulated = command->server.simulated = true;
    else if (strcmp(name, "--simulated") == 0)
        command->server.simulated = true;
    else if (strcmp(name, "--echo") == 0)
        command->echo = true;
    else if (strcmp(name, "--until-eof") == 0)
        command->until_eof = true;
    else
        return false;
    return true;
}

static bool take(tl_bus_server_command *command, const char *name, const char *value) {
    if (strcmp(name, "--joint") == 0) return joint(&command->server, value);
    if (strcmp(name, "--wave") == 0) return wave(&command->server, value);
    if (strcmp(name, "--gravity") == 0) return gravity(command, value);
    if (strcmp(name, "--family") == 0) return (command->family = tl_servo_family_find(value)) != NULL;
    if (strcmp(name, "--goal") == 0) {
        static const char *const kinds[] = {"position", "speed", "current", "torque"};
        for (int i = 0; i < 4; i++) {
            if (strcmp(value, kinds[i]) != 0) continue;
            command->server.goal = (tl_goal_kind)i;
            return command->server.count == 0;
        }
        return false;
    }
    if (strcmp(name, "--pty-link") == 0) {
        command->link = value;
        return *value != '\0';
    }
    return take_number(command, name, value);
}

bool tl_bus_server_parse(tl_bus_server_command *command, int argc, char **argv, int *exit_code) {
    *command = (tl_bus_server_command){.fd = NO_FD,
                                       .baud = 1000000,
                                       .latency_us = 2000,
                                       .return_delay_us = 500,
                                       .ttl_max_ms = TL_TTL_MAX_MS_DEFAULT,
                                       .silence_ms = TL_SILENCE_US_DEFAULT / 1000,
                                       .server = {.period_us = 10000, .stale_cycles = 3, .watchdog_ms = UINT16_MAX}};
    *exit_code = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return false;
        }
        if (take_flag(command, argv[i])) continue;
        if (i + 1 < argc && take(command, argv[i], argv[i + 1])) {
            i++;
            continue;
        }
        fprintf(stderr, "tl_bus_server: %s %s: unknown option, or a value that is out of range\n", argv[i],
                i + 1 < argc ? argv[i + 1] : "");
        *exit_code = 2;
        return false;
    }
    if (command->server.watchdog_ms == UINT16_MAX)
        command->server.watchdog_ms = command->ttl_max_ms < 2540 ? (uint16_t)command->ttl_max_ms : 2540;
    if ((command->fd != NO_FD) != command->emulated && command->family != NULL && command->server.count != 0)
        return true;
    fputs("tl_bus_server: --fd or --emulated, --family and at least one --joint are required\n", stderr);
    *exit_code = 2;
    return false;
}
