#include "firmware_bridge/boards/bus_server/plant.h"

#include <stdio.h>
#include <string.h>

#include "firmware_bridge/protocol/bytes.h"

#define TURN_RAD 6.3f

enum { WATCHDOG_STEP_MS = 20, WATCHDOG_MAX = 127, LOG_ERROR = 3, READ_TRIES = 3, FIRST_POLLS = 20 };
enum { SPEED_MODE = 1, CURRENT_MODE = 0, PWM_MODE = 16, OPEN_LOOP_MODE = 2 }; /* of both; Dynamixel (2); Feetech */

static const tl_register *reg(const tl_bus_server *server, int role) { return &server->bus->family->registers[role]; }

static bool big_endian(const tl_bus_server *server) { return server->bus->family->big_endian; }

static bool is_position(const tl_bus_server *server) { return server->options.goal == TL_GOAL_POSITION; }

/* The register of a goal. */
static int goal_role(const tl_bus_server *server) {
    if (is_position(server)) return TL_REG_GOAL_POSITION;
    if (server->options.goal == TL_GOAL_TORQUE) return TL_REG_GOAL_TORQUE;
    return server->options.goal == TL_GOAL_SPEED ? TL_REG_GOAL_SPEED : TL_REG_GOAL_CURRENT;
}

uint8_t tl_bus_server_mode(const tl_servo_family *family, tl_goal_kind goal) {
    if (goal == TL_GOAL_POSITION) return family->position_mode;
    if (goal == TL_GOAL_TORQUE) return family->protocol == TL_BUS_DYNAMIXEL ? PWM_MODE : OPEN_LOOP_MODE;
    return goal == TL_GOAL_SPEED ? SPEED_MODE : CURRENT_MODE;
}

static float not_a_number(void) { return tl_f32_from_bits(0x7FC00000u); }

/* First byte and number of bytes from the first to the last of the registers that are read. */
static void span(const tl_bus_server *server, uint16_t *address, uint8_t *n) {
    const int roles[3] = {TL_REG_POSITION, TL_REG_SPEED, TL_REG_LOAD};
    const bool wanted[3] = {true, server->options.with_speed, server->options.with_load};
    uint16_t end = 0;
    *address = UINT16_MAX;
    for (int i = 0; i < 3; i++) {
        const tl_register *one = reg(server, roles[i]);
        if (!wanted[i]) continue;
        if (one->address < *address) *address = one->address;
        if (one->address + one->size > end) end = (uint16_t)(one->address + one->size);
    }
    *n = (uint8_t)(end - *address);
}

/* A register in what the last answer has brought, in SI units. */
static float measured(const tl_bus_server *server, uint8_t i, int role) {
    const tl_bus_servo *servo = &server->servos[i];
    const tl_register *one = reg(server, role);
    return (float)tl_register_get(one, big_endian(server), servo->data + (one->address - servo->address)) * one->unit;
}

static bool known(const tl_bus_server *server, uint8_t i) {
    const tl_bus_servo *servo = &server->servos[i];
    return servo->at_us != 0 && server->silent[i] <= server->options.stale_cycles;
}

static float position(const tl_bus_server *server, uint8_t i) {
    const tl_joint *joint = &server->options.joints[i];
    return joint->sign * (measured(server, i, TL_REG_POSITION) - joint->zero_rad);
}

/* Where a joint's target is now, rad. */
static float target(const tl_bus_server *server, uint8_t i) {
    return tl_joint_target(&server->options.joints[i], server->time_us);
}

static void give_reason(tl_bus_server *server, uint8_t i, const char *what, unsigned number) {
    const tl_joint *joint = &server->options.joints[i];
    (void)snprintf(server->reason, sizeof server->reason, "%s (servo %u): %s", joint->name, joint->id, what);
    if (number == 0) return;
    const size_t n = strlen(server->reason);
    (void)snprintf(server->reason + n, sizeof server->reason - n, " %#04x", number);
}

static bool alarmed(const tl_bus_server *server, uint8_t i) {
    return (server->servos[i].alarm & (uint8_t)~server->options.ignored) != 0;
}

static void poll(tl_bus_server *server) {
    uint16_t address;
    uint8_t n;
    span(server, &address, &n);
    const tl_bus_status status = tl_bus_poll(server->bus, address, n, server->options.fast, server->servos,
                                             server->options.count, server->cycle++);
    if (status == TL_BUS_GONE && !server->gone) {
        server->gone = true;
        (void)snprintf(server->reason, sizeof server->reason, "the port of the servo bus is closed or unplugged");
    }
    for (uint8_t i = 0; i < server->options.count; i++) {
        const bool was_known = known(server, i);
        if (server->servos[i].fresh)
            server->silent[i] = 0;
        else if (server->silent[i] < UINT8_MAX)
            server->silent[i]++;
        if (was_known && !known(server, i)) give_reason(server, i, "no answer", 0);
        if (server->live && server->servos[i].fresh && alarmed(server, i))
            give_reason(server, i, "alarm", server->servos[i].alarm);
    }
}

/* Writes a register of each joint for which `which` is set; values in SI units of the servo, or numbers. */
static bool write_steps(tl_bus_server *server, int role, const int64_t *steps, const bool *which) {
    const tl_register *one = reg(server, role);
    uint8_t ids[TL_JOINTS_MAX], bytes[4 * TL_JOINTS_MAX];
    size_t n = 0;
    for (uint8_t i = 0; i < server->options.count; i++) {
        if (!which[i] || !tl_register_put(one, steps[i], big_endian(server), bytes + n * one->size)) continue;
        ids[n++] = server->options.joints[i].id;
    }
    return n == 0 || tl_bus_sync_write(server->bus, one->address, one->size, ids, bytes, n) == TL_BUS_OK;
}

/* A register of a joint; asked again a few times, for one lost answer does not matter. */
static bool read_steps(tl_bus_server *server, uint8_t i, int role, int64_t *steps) {
    const tl_register *one = reg(server, role);
    const uint8_t id = server->options.joints[i].id;
    uint8_t bytes[4];
    int tries = READ_TRIES;
    while (tries > 0 && tl_bus_read(server->bus, id, one->address, one->size, bytes, NULL) != TL_BUS_OK) tries--;
    if (tries == 0) return false;
    *steps = tl_register_get(one, big_endian(server), bytes);
    return true;
}

/* Goals of the joints that have torque. */
static void write_goals(tl_bus_server *server, const float *u) {
    int64_t steps[TL_JOINTS_MAX] = {0};
    bool which[TL_JOINTS_MAX] = {false};
    for (uint8_t i = 0; i < server->options.count; i++) {
        const tl_joint *joint = &server->options.joints[i];
        const float at = (is_position(server) ? joint->zero_rad : 0.0f) + joint->sign * u[i];
        which[i] = server->torque[i] && tl_register_steps(reg(server, goal_role(server)), at, &steps[i]);
    }
    (void)write_steps(server, goal_role(server), steps, which);
}

/* Bus Watchdog of all joints: cleared, set, and read back. */
static bool watch(tl_bus_server *server) {
    int64_t steps[TL_JOINTS_MAX] = {0}, found = 0;
    bool all[TL_JOINTS_MAX];
    const int64_t watchdog_time = (server->options.watchdog_ms + WATCHDOG_STEP_MS - 1) / WATCHDOG_STEP_MS;
    if (reg(server, TL_REG_WATCHDOG)->size == 0 || watchdog_time == 0) return true;
    for (uint8_t i = 0; i < server->options.count; i++) all[i] = true;
    (void)write_steps(server, TL_REG_WATCHDOG, steps, all);
    for (uint8_t i = 0; i < server->options.count; i++)
        steps[i] = watchdog_time < WATCHDOG_MAX ? watchdog_time : WATCHDOG_MAX;
    (void)write_steps(server, TL_REG_WATCHDOG, steps, all);
    for (uint8_t i = 0; i < server->options.count; i++) {
        if (read_steps(server, i, TL_REG_WATCHDOG, &found) && found == steps[i]) continue;
        give_reason(server, i, "Bus Watchdog cannot be set", 0);
        return false;
    }
    return true;
}

/* Torque on at the position where each joint is, or with the goal 0; read back. */
static bool enable(tl_bus_server *server) {
    int64_t here[TL_JOINTS_MAX] = {0}, on[TL_JOINTS_MAX], found = 0;
    bool which[TL_JOINTS_MAX];
    for (uint8_t i = 0; i < server->options.count; i++) {
        which[i] = !server->torque[i];
        on[i] = 1;
        if (!known(server, i)) return false;
        if (!is_position(server)) continue;
        here[i] = tl_register_get(
            reg(server, TL_REG_POSITION), big_endian(server),
            server->servos[i].data + (reg(server, TL_REG_POSITION)->address - server->servos[i].address));
    }
    if (!watch(server)) return false;
    (void)write_steps(server, goal_role(server), here, which);
    (void)write_steps(server, TL_REG_TORQUE, on, which);
    for (uint8_t i = 0; i < server->options.count; i++) {
        if (which[i] && !(read_steps(server, i, TL_REG_TORQUE, &found) && found == 1)) {
            give_reason(server, i, "torque cannot be enabled", 0);
            return false;
        }
        server->torque[i] = true;
        server->releasing[i] = false;
    }
    return true;
}

/* Torque off for the joints whose safe behaviour it is; in each period again until the register confirms it. */
static void release(tl_bus_server *server) {
    int64_t off[TL_JOINTS_MAX] = {0};
    bool which[TL_JOINTS_MAX] = {false};
    bool any = false;
    for (uint8_t i = 0; i < server->options.count; i++) {
        if (server->options.joints[i].safe != TL_SAFE_OFF) continue;
        which[i] = server->torque[i] || server->releasing[i];
        any = any || which[i];
        if (server->torque[i]) server->releasing[i] = true;
        server->torque[i] = false;
    }
    if (any) (void)write_steps(server, TL_REG_TORQUE, off, which);
}

/* One question per period: has a joint that was released lost its torque? */
static void confirm(tl_bus_server *server) {
    int64_t found = 1;
    for (uint8_t k = 0; k < server->options.count; k++) {
        const uint8_t i = (uint8_t)((server->cycle + k) % server->options.count);
        if (!server->releasing[i] || server->servos[i].misses != 0) continue;
        if (read_steps(server, i, TL_REG_TORQUE, &found) && found == 0) server->releasing[i] = false;
        return;
    }
}

static void server_apply(void *state, const float *u, bool live) {
    tl_bus_server *server = (tl_bus_server *)state;
    server->failed = server->failed && live;
    server->live = live;
    server->alone = server->alone && live;
    memcpy(server->goals, u, server->options.count * sizeof *u);
    if (!live) release(server);
}

/* Sends a reason to the host. */
static void report(tl_bus_server *server) {
    if (server->reason[0] == '\0' || server->bridge == NULL) return;
    const uint64_t now_us = server->bus->wire.now_us(server->bus->wire.self);
    tl_bridge_log(server->bridge, LOG_ERROR, server->reason, strlen(server->reason), now_us);
    server->reason[0] = '\0';
}

/* Minus the sum of the squared errors; 0 without a target. A joint that is not known ends the session by itself. */
static float reward(const tl_bus_server *server) {
    float sum = 0.0f;
    for (uint8_t i = 0; i < server->options.count; i++) {
        if (server->options.joints[i].n_waves == 0 || !known(server, i)) continue;
        const float error = target(server, i) - position(server, i);
        sum += error * error;
    }
    return -sum;
}

/* At each ARM, before its first goal is written. */
static void look_for_others(tl_bus_server *server) {
    char who[64];
    server->alone = true;
    if (server->held == NULL || !server->held(server->fd, who, sizeof who)) return;
    server->failed = true;
    (void)snprintf(server->reason, sizeof server->reason, "another program holds the port too: %s; end it first", who);
}

static tl_plant_result server_step(void *state, const float *u) {
    tl_bus_server *server = (tl_bus_server *)state;
    bool ready = true;
    if (server->begin_period != NULL) server->begin_period(server->servos_self, server->options.period_us);
    server->time_us = server->live ? server->time_us + server->options.period_us : 0;
    for (uint8_t i = 0; i < server->options.count; i++) ready = ready && server->torque[i];
    if (server->live && !server->alone) look_for_others(server);
    if (server->live && !ready && !server->failed) server->failed = !enable(server);
    if (!server->failed) write_goals(server, u);
    if (!server->live) confirm(server);
    poll(server);
    report(server);
    return (tl_plant_result){reward(server), false, false};
}

static void server_observe(const void *state, float *x) {
    const tl_bus_server *server = (const tl_bus_server *)state;
    size_t at = 0;
    for (uint8_t i = 0; i < server->options.count; i++) {
        const tl_joint *joint = &server->options.joints[i];
        const bool good = known(server, i) && !server->failed && !server->gone && !(server->live && alarmed(server, i));
        x[at++] = good ? position(server, i) : not_a_number();
        if (server->options.with_speed)
            x[at++] = good ? joint->sign * measured(server, i, TL_REG_SPEED) : not_a_number();
        if (server->options.with_load) x[at++] = good ? joint->sign * measured(server, i, TL_REG_LOAD) : not_a_number();
        if (joint->n_waves == 0) continue;
        x[at++] = target(server, i);
        x[at++] = good ? target(server, i) - position(server, i) : not_a_number();
    }
}

static void server_reset(void *state, uint32_t seed) {
    tl_bus_server *server = (tl_bus_server *)state;
    (void)seed;
    if (server->restart == NULL) return;
    server->restart(server->servos_self);
    server->time_us = 0;
    memset(server->torque, 0, sizeof server->torque);
    memset(server->releasing, 0, sizeof server->releasing);
    poll(server);
}

bool tl_bus_server_limp(const void *state, uint8_t i, float *u) {
    const tl_bus_server *server = (const tl_bus_server *)state;
    if (!is_position(server) || server->torque[i] || server->servos[i].at_us == 0) return false;
    *u = position(server, i);
    return true;
}

/* A row of the data sheet: an observation within -bound to bound. */
static void add_row(tl_bus_server *server, uint8_t *n, uint8_t i, const char *kind, int role, uint8_t row_role,
                    float bound) {
    tl_plant_row *row = &server->rows[*n];
    char *name = server->names[*n];
    const size_t length = strlen(server->options.joints[i].name), more = strlen(kind);
    memcpy(name, server->options.joints[i].name, length);
    name[length] = '_';
    memcpy(name + length + 1, kind, more + 1);
    *row = (tl_plant_row){server->names[*n], reg(server, role)->unit_name, -bound, bound, TL_SAFE_NONE, 0.0f};
    server->roles[(*n)++] = row_role;
}

static void make_sheet(tl_bus_server *server) {
    const bool is_dynamixel = server->bus->family->protocol == TL_BUS_DYNAMIXEL;
    uint8_t n = 0, positions[TL_JOINTS_MAX];
    for (uint8_t i = 0; i < server->options.count; i++) {
        positions[i] = n;
        /* In position mode a servo measures less than a turn. */
        const float zero = server->options.joints[i].zero_rad;
        add_row(server, &n, i, "position", TL_REG_POSITION, TL_ROW_POSITION, TURN_RAD + (zero < 0.0f ? -zero : zero));
        if (server->options.with_speed) add_row(server, &n, i, "speed", TL_REG_SPEED, TL_ROW_VELOCITY, 60.0f);
        if (server->options.with_load)
            add_row(server, &n, i, "load", TL_REG_LOAD, is_dynamixel ? TL_ROW_CURRENT : TL_ROW_ANY, 10.0f);
        if (server->options.joints[i].n_waves == 0) continue;
        add_row(server, &n, i, "target", TL_REG_POSITION, TL_ROW_ANY, TURN_RAD);
        add_row(server, &n, i, "error", TL_REG_POSITION, TL_ROW_ANY, 2 * TURN_RAD);
    }
    for (uint8_t i = 0; i < server->options.count; i++) {
        const tl_joint *joint = &server->options.joints[i];
        const char *unit = reg(server, goal_role(server))->unit_name;
        server->rows[n + i] = (tl_plant_row){joint->name, unit, joint->min, joint->max, joint->safe, joint->safe_value};
        server->slew[i] = joint->slew;
        server->limits[i] = (tl_sheet_limit){
            .observation = positions[i],
            .limit = {TL_LIMIT_DIRECTION, i, 1, joint->low_rad, joint->high_rad, 0.0f},
        };
    }
    server->sheet = (tl_plant_sheet){.name = "servo bus",
                                     .period_us = server->options.period_us,
                                     .observation_size = n,
                                     .action_size = server->options.count,
                                     .rows = server->rows,
                                     .roles = server->roles,
                                     .limits = server->limits,
                                     .n_limits = is_position(server) ? 0 : server->options.count,
                                     .title = server->bus->family->title,
                                     .simulated = server->options.simulated};
    server->plant = (tl_plant){.sheet = &server->sheet,
                               .reset = server_reset,
                               .step = server_step,
                               .observe = server_observe,
                               .state_bytes = sizeof *server,
                               .apply = server_apply};
}

bool tl_bus_server_init(tl_bus_server *server, const tl_bus_server_options *options, tl_bus *bus) {
    memset(server, 0, sizeof *server);
    server->options = *options;
    server->bus = bus;
    if (reg(server, goal_role(server))->size == 0 || (!is_position(server) && reg(server, TL_REG_MODE)->size == 0)) {
        (void)snprintf(server->reason, sizeof server->reason, "%s servos take no such goals", bus->family->name);
        return false;
    }
    for (uint8_t i = 0; i < options->count; i++) server->servos[i].id = options->joints[i].id;
    make_sheet(server);
    for (int left = FIRST_POLLS; left > 0; left--) {
        bool all = true;
        poll(server);
        for (uint8_t i = 0; i < options->count; i++) all = all && server->servos[i].at_us != 0;
        if (all || server->gone) break;
    }
    if (server->gone) return false;
    const int64_t needed = tl_bus_server_mode(bus->family, options->goal);
    for (uint8_t i = 0; i < options->count; i++) {
        int64_t torque = 0, mode = needed;
        const bool has_mode = reg(server, TL_REG_MODE)->size != 0;
        if (server->servos[i].at_us == 0 || !read_steps(server, i, TL_REG_TORQUE, &torque) ||
            (has_mode && !read_steps(server, i, TL_REG_MODE, &mode))) {
            give_reason(server, i, "no answer", 0);
            return false;
        }
        if (mode != needed) {
            give_reason(server, i, "in another mode than these goals need:", (unsigned)mode);
            return false;
        }
        /* A joint that holds by another program's doing stays as it is until the first command. */
        server->torque[i] = torque != 0 && options->joints[i].safe == TL_SAFE_OFF;
    }
    server->reason[0] = '\0';
    return true;
}
