/* The firmware as a process: a pty for the serial line, CLOCK_MONOTONIC for the timer, ppoll for the interrupts. */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "firmware_bridge/boards/posix/line.h"
#include "firmware_bridge/boards/posix/options.h"
#include "firmware_bridge/protocol/schema.h"

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

static uint64_t clock_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* A microcontroller keeps a counter across restarts; a process uses the time and its process id. */
static uint32_t another_boot_id(void) { return (uint32_t)clock_us(CLOCK_REALTIME) * 2654435761u ^ (uint32_t)getpid(); }

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

/* A shared mapping of a page of the file; NULL, errno set, on a system error. It stays mapped until the process
 * ends. */
static float *map_driver(const char *path) {
    const size_t n = TL_PLANT_ACT_MAX * sizeof(float);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *page = MAP_FAILED;
    if (fd != -1 && ftruncate(fd, (off_t)n) == 0) page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const int why = errno;
    if (fd != -1) close(fd);
    errno = why;
    return page != MAP_FAILED ? (float *)page : NULL;
}

/* Prints the rows that do not fit the protocol. */
static void complain(const tl_simulated *device, const char *plant) {
    const tl_bridge_config *config = &device->bridge.config;
    tl_row row;
    fprintf(stderr, "tl_firmware: the data sheet of %s does not fit the protocol", plant);
    for (uint8_t i = 0; config->plant != NULL && tl_bridge_row(config, i, &row); i++) {
        if (tl_row_valid(&row)) continue;
        fprintf(stderr, ": row %u, %s: min %g, max %g, slew %g, safe %s, safe value %g", i,
                config->plant->sheet->rows[i].name, (double)row.min, (double)row.max, (double)row.slew,
                tl_safe_name(row.safe) != NULL ? tl_safe_name(row.safe) : "unknown", (double)row.safe_value);
        break;
    }
    fputs(" (firmware_bridge/protocol/schema.h has the rules)\n", stderr);
}

/* True when standard input has ended; its contents are discarded. */
static bool input_ended(void) {
    char scrap[256];
    const ssize_t n = read(STDIN_FILENO, scrap, sizeof scrap);
    return n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN);
}

/* Time until the next tick. */
static struct timespec until_due(const tl_bridge *bridge) {
    const uint64_t now_us = clock_us(CLOCK_MONOTONIC), due_us = tl_bridge_due(bridge);
    const uint64_t wait_us = due_us > now_us ? due_us - now_us : 0;
    return (struct timespec){(time_t)(wait_us / 1000000u), (long)(wait_us % 1000000u) * 1000};
}

/* Brings the outputs to their safe behaviour before the process ends. A further signal ends it at once, even during a
 * ramp. */
static void leave(tl_bridge *bridge, const sigset_t *mask) {
    tl_bridge_leave(bridge);
    stop_asked = 0;
    while (!stop_asked && !tl_bridge_at_rest(bridge)) {
        const struct timespec wait = until_due(bridge);
        (void)ppoll(NULL, 0, &wait, mask);
        tl_bridge_tick(bridge, clock_us(CLOCK_MONOTONIC));
    }
}

/* Runs until a signal, the end of standard input (if asked) or the end of the line. */
static void serve(tl_bridge *bridge, tl_line *line, bool until_eof, const sigset_t *mask) {
    uint8_t bytes[4096];
    struct pollfd fds[2] = {{.fd = line->fd}, {.fd = until_eof ? STDIN_FILENO : -1, .events = POLLIN}};
    while (!stop_asked) {
        const struct timespec wait = until_due(bridge);
        fds[0].events = (short)(line->kept != 0 ? POLLIN | POLLOUT : POLLIN);
        const int ready = ppoll(fds, 2, &wait, mask);
        if (ready > 0 && fds[0].revents & POLLOUT) tl_line_flush(line);
        if (ready > 0 && fds[0].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) {
            const ssize_t n = read(line->fd, bytes, sizeof bytes);
            if (n > 0) tl_bridge_receive(bridge, bytes, (size_t)n, clock_us(CLOCK_MONOTONIC));
            if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) return;
        }
        if (ready > 0 && fds[1].revents != 0 && input_ended()) return;
        tl_bridge_tick(bridge, clock_us(CLOCK_MONOTONIC));
    }
}

int main(int argc, char **argv) {
    static tl_simulated device;
    tl_line line;
    tl_options options;
    int exit_code;
    if (!tl_options_parse(&options, argc, argv, &exit_code)) return exit_code;
    if (!options.boot_id_given) options.device.boot_id = another_boot_id();

    if (options.driver_file != NULL && (options.device.driver = map_driver(options.driver_file)) == NULL) {
        fprintf(stderr, "tl_firmware: %s: cannot be mapped: %s\n", options.driver_file, strerror(errno));
        return 2;
    }

    const sigset_t mask = catch_signals();
    if (!(options.fd >= 0 ? tl_line_open_fd(&line, options.fd) : tl_line_open_pty(&line, options.link))) {
        fprintf(stderr, "tl_firmware: cannot open the line: %s\n", strerror(errno));
        return 3;
    }
    if (!tl_simulated_init(&device, options.plant, &options.device, tl_line_send, &line, clock_us(CLOCK_MONOTONIC))) {
        complain(&device, options.plant);
        tl_line_close(&line);
        return 2;
    }
    tl_bridge_tick(&device.bridge,
                   clock_us(CLOCK_MONOTONIC)); /* the device has booted by the time a host knows the port */
    if (line.path[0] != '\0') {
        puts(line.path);
        fflush(stdout);
    }
    serve(&device.bridge, &line, options.until_eof, &mask);
    leave(&device.bridge, &mask);
    tl_line_close(&line);
    return 0;
}
