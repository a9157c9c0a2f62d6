/* The owner of a servo bus: the bridge with the servos as its plant. A host speaks TickLink with it, as with a board;
 * when the host is late, stops or dies, the joints go to their safe behaviour. It is a process of its own, without
 * Python. */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "firmware_bridge/boards/bus_server/holders.h"
#include "firmware_bridge/boards/bus_server/options.h"
#include "firmware_bridge/boards/bus_server/port.h"
#include "firmware_bridge/boards/posix/line.h"
#include "firmware_bridge/boards/servos/virtual.h"

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Terminating signals are delivered only while waiting. Returns the mask to wait with. */
static sigset_t catch_signals(void) {
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    const struct sigaction stop = {.sa_handler = ask_stop}, ignore = {.sa_handler = SIG_IGN};
    sigset_t stops, before;
    sigemptyset(&stops);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) sigaddset(&stops, ends[i]);
    sigprocmask(SIG_BLOCK, &stops, &before);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        sigaction(ends[i], &stop, NULL);
        sigdelset(&before, ends[i]);
    }
    sigaction(SIGPIPE, &ignore, NULL);
    return before;
}

static struct timespec until_due(const tl_bridge *bridge) {
    const uint64_t now = now_us(), due = tl_bridge_due(bridge), wait = due > now ? due - now : 0;
    return (struct timespec){(time_t)(wait / 1000000u), (long)(wait % 1000000u) * 1000};
}

static bool input_ended(void) {
    char scrap[256];
    const ssize_t n = read(STDIN_FILENO, scrap, sizeof scrap);
    return n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN);
}

/* Runs until a signal, the end of standard input (if asked), the end of the line or of the bus. */
static void serve(tl_bridge *bridge, tl_bus_server *server, tl_line *line, bool until_eof, const sigset_t *mask) {
    uint8_t bytes[4096];
    struct pollfd fds[2] = {{.fd = line->fd}, {.fd = until_eof ? STDIN_FILENO : -1, .events = POLLIN}};
    while (!stop_asked && !server->gone) {
        const struct timespec wait = until_due(bridge);
        fds[0].events = (short)(line->kept != 0 ? POLLIN | POLLOUT : POLLIN);
        const int ready = ppoll(fds, 2, &wait, mask);
        if (ready > 0 && fds[0].revents & POLLOUT) tl_line_flush(line);
        if (ready > 0 && fds[0].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) {
            const ssize_t n = read(line->fd, bytes, sizeof bytes);
            if (n > 0) tl_bridge_receive(bridge, bytes, (size_t)n, now_us());
            if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) return;
        }
        if (ready > 0 && fds[1].revents != 0 && input_ended()) return;
        tl_bridge_tick(bridge, now_us());
    }
}

/* Whether a joint still has to be released. */
static bool releasing(const tl_bus_server *server) {
    for (uint8_t i = 0; i < server->options.count; i++)
        if (server->releasing[i] && server->servos[i].misses == 0) return true;
    return false;
}

/* Brings the joints to their safe behaviour. A further signal ends it at once. */
static void leave(tl_bridge *bridge, tl_bus_server *server, const sigset_t *mask) {
    tl_bridge_leave(bridge);
    stop_asked = 0;
    while (!stop_asked && !server->gone && (!tl_bridge_at_rest(bridge) || releasing(server))) {
        const struct timespec wait = until_due(bridge);
        (void)ppoll(NULL, 0, &wait, mask);
        tl_bridge_tick(bridge, now_us());
    }
}

/* Emulated servos with the ids that the joints need, in the mode that their goals need. */
static bool emulate(tl_virtual_bus *bus, const tl_bus_server_command *command) {
    uint32_t count = 0;
    for (uint8_t i = 0; i < command->server.count; i++)
        if (command->server.joints[i].id > count) count = command->server.joints[i].id;
    return tl_virtual_init(bus, command->family->name, count, (uint32_t)command->baud, command->gravity,
                           tl_bus_server_mode(command->family, command->server.goal));
}

/* Emulated servos have no port that another program could hold. */
static void set_up(tl_bus_server *server, tl_virtual_bus *emulated, const tl_bus_server_command *command,
                   const int *fd) {
    if (!command->emulated) {
        server->held = tl_port_held;
        server->fd = fd;
        return;
    }
    server->servos_self = emulated;
    server->begin_period = tl_virtual_begin_period;
    server->restart = tl_virtual_restart;
}

static uint16_t caps(const tl_bus_server_command *command) {
    const int lockstep = command->emulated ? TL_CAP_LOCKSTEP | TL_CAP_RESET : 0;
    return (uint16_t)(TL_CAP_SIMULATED | lockstep | (tl_bus_server_has_target(&command->server) ? TL_CAP_REWARD : 0));
}

int main(int argc, char **argv) {
    static tl_bus_server server;
    static tl_bus bus;
    static tl_virtual_bus emulated;
    static tl_bridge bridge;
    tl_bus_server_command command;
    tl_line line;
    int exit_code;
    if (!tl_bus_server_parse(&command, argc, argv, &exit_code)) return exit_code;
    int fd = (int)command.fd;
    const sigset_t mask = catch_signals();
    if (command.emulated && !emulate(&emulated, &command)) {
        fputs("tl_bus_server: emulated servos have the ids 1 to 16 and at least 1200 bits per second\n", stderr);
        return 2;
    }
    const tl_bus_wire wire = command.emulated ? tl_virtual_wire(&emulated) : tl_bus_port(&fd);
    tl_bus_init(&bus, wire, command.family, (uint32_t)command.baud);
    bus.latency_us = (uint32_t)command.latency_us;
    bus.return_delay_us = (uint32_t)command.return_delay_us;
    bus.echo = command.echo;
    if (!tl_bus_server_init(&server, &command.server, &bus)) {
        fprintf(stderr, "tl_bus_server: %s\n", server.reason);
        return 3;
    }
    set_up(&server, &emulated, &command, &fd);
    if (!tl_line_open_pty(&line, command.link)) {
        fprintf(stderr, "tl_bus_server: cannot open the line: %s\n", strerror(errno));
        return 3;
    }
    const tl_bridge_config config = {
        .plant = &server.plant,
        .plant_state = &server,
        .limp = tl_bus_server_limp,
        .slew = server.slew,
        .boot_id = (uint32_t)now_us() * 2654435761u ^ (uint32_t)getpid(),
        .silence_us = (uint32_t)command.silence_ms * 1000u,
        .ttl_max_ms = (uint16_t)command.ttl_max_ms,
        .caps = caps(&command),
        .fw_minor = 1,
        .send = tl_line_send,
        .send_context = &line,
    };
    if (!tl_bridge_init(&bridge, &config, now_us())) {
        fputs(
            "tl_bus_server: a joint does not fit the protocol: min < max, slew > 0, the safe value within the range\n",
            stderr);
        tl_line_close(&line);
        return 2;
    }
    server.bridge = &bridge;
    tl_bridge_tick(&bridge, now_us());
    puts(line.path);
    fflush(stdout);
    serve(&bridge, &server, &line, command.until_eof, &mask);
    leave(&bridge, &server, &mask);
    if (server.gone) fputs("tl_bus_server: the port of the servo bus is closed or unplugged\n", stderr);
    tl_line_close(&line);
    return server.gone ? 3 : 0;
}
