/* An emulated servo bus behind a pty, in real time. */
#define _GNU_SOURCE /* ppoll, prctl */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "firmware_bridge/boards/posix/line.h"
#include "firmware_bridge/boards/servos/emulated.h"

static const char usage[] =
    "usage: tl_servos [options]\n"
    "Emulated servos behind a pty. Prints its path on one line.\n"
    "  --family NAME      dynamixel, feetech or scs (default feetech)\n"
    "  --servos N         number of servos, 1 to 16, with the ids from 1 (default 2)\n"
    "  --baud N           bits per second, 1200 to 4000000 (default 1000000)\n"
    "  --gravity X        torque that holds the load horizontally, as a share of the largest (default 0)\n"
    "  --echo             the adapter returns what is sent\n"
    "  --state PATH       keep the state in this file, which others may map (emulated.h)\n"
    "  --pty-link PATH    create PATH as a symbolic link to the pty; removed on exit\n"
    "  --until-eof        exit when standard input ends\n";

typedef struct {
    const char *family, *state, *link;
    unsigned long servos, baud;
    float gravity;
    bool echo, until_eof;
} options;

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *value) {
    char *end;
    *value = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *value >= min && *value <= max;
}

static bool take(options *given, const char *name, const char *value) {
    char *end = NULL;
    if (strcmp(name, "--family") == 0)
        given->family = value;
    else if (strcmp(name, "--state") == 0)
        given->state = value;
    else if (strcmp(name, "--pty-link") == 0)
        given->link = value;
    else if (strcmp(name, "--servos") == 0)
        return number(value, 1, TL_EMULATED_SERVOS_MAX, &given->servos);
    else if (strcmp(name, "--baud") == 0)
        return number(value, 1200, 4000000, &given->baud);
    else if (strcmp(name, "--gravity") == 0) {
        given->gravity = strtof(value, &end);
        return *value != '\0' && *end == '\0' && given->gravity >= 0.0f && given->gravity <= 1.0f;
    } else
        return false;
    return true;
}

static bool parse(options *given, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--echo") == 0)
            given->echo = true;
        else if (strcmp(argv[i], "--until-eof") == 0)
            given->until_eof = true;
        else if (i + 1 < argc && take(given, argv[i], argv[i + 1]))
            i++;
        else {
            fprintf(stderr, "tl_servos: %s: unknown option, or a value that is missing or out of range\n", argv[i]);
            return false;
        }
    }
    if (tl_servo_family_find(given->family) != NULL) return true;
    fprintf(stderr, "tl_servos: --family %s: must be dynamixel, feetech or scs\n", given->family);
    return false;
}

static tl_emulated *map_state(const char *path) {
    static tl_emulated own;
    if (path == NULL) return &own;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *page = MAP_FAILED;
    if (fd != -1 && ftruncate(fd, sizeof(tl_emulated)) == 0)
        page = mmap(NULL, sizeof(tl_emulated), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd != -1) close(fd);
    return page != MAP_FAILED ? (tl_emulated *)page : NULL;
}

/* Writes what has come over the wire. Bytes that no process reads are lost, as with an adapter. */
static void deliver(tl_emulated *bus, int fd) {
    uint8_t bytes[1024];
    for (size_t n; (n = tl_emulated_take(bus, bytes, sizeof bytes, now_ns())) != 0;) {
        const ssize_t wrote = write(fd, bytes, n);
        (void)wrote;
    }
}

static bool input_ended(void) {
    char scrap[256];
    const ssize_t n = read(STDIN_FILENO, scrap, sizeof scrap);
    return n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN);
}

static void serve(tl_emulated *bus, const tl_line *line, bool until_eof, const sigset_t *mask) {
    uint8_t bytes[1024];
    struct pollfd fds[2] = {{.fd = line->fd, .events = POLLIN},
                            {.fd = until_eof ? STDIN_FILENO : -1, .events = POLLIN}};
    while (!stop_asked) {
        const uint64_t now = now_ns(), due = tl_emulated_run_end(bus);
        const uint64_t wait = due == UINT64_MAX ? 20000000u : due > now ? due - now : 0;
        const struct timespec timeout = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        const int ready = ppoll(fds, 2, &timeout, mask);
        if (ready > 0 && fds[0].revents & POLLIN) {
            const ssize_t n = read(line->fd, bytes, sizeof bytes);
            if (n > 0) tl_emulated_receive(bus, bytes, (size_t)n, now_ns());
        }
        if (ready > 0 && fds[1].revents != 0 && input_ended()) return;
        if (now_ns() >= tl_emulated_run_end(bus)) deliver(bus, line->fd);
        tl_emulated_advance(bus, now_ns() / 1000u);
    }
}

int main(int argc, char **argv) {
    options given = {.family = "feetech", .servos = 2, .baud = 1000000};
    const struct sigaction stop = {.sa_handler = ask_stop};
    sigset_t stops, before;
    tl_line line;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse(&given, argc, argv)) return 2;
    tl_emulated *bus = map_state(given.state);
    if (bus == NULL) {
        fprintf(stderr, "tl_servos: %s: cannot be mapped: %s\n", given.state, strerror(errno));
        return 2;
    }
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, &before);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    if (!tl_line_open_pty(&line, given.link)) {
        fprintf(stderr, "tl_servos: cannot open the line: %s\n", strerror(errno));
        return 3;
    }
    (void)tl_emulated_init(bus, given.family, (uint32_t)given.servos, (uint32_t)given.baud, now_ns());
    bus->echo = given.echo;
    for (uint32_t i = 0; i < bus->count; i++) bus->servos[i].gravity = given.gravity;
    (void)prctl(PR_SET_TIMERSLACK, 1ul); /* answers are due to the microsecond; the default is 50 us late */
    puts(line.path);
    fflush(stdout);
    serve(bus, &line, given.until_eof, &before);
    tl_line_close(&line);
    return 0;
}
