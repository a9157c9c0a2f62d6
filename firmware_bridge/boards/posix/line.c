#include "firmware_bridge/boards/posix/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static bool never_block(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != -1;
}

/* Raw mode: no echo, no line editing, no signals, no translation. */
static bool make_raw(int fd) {
    struct termios t;
    if (tcgetattr(fd, &t) == -1) return false;
    cfmakeraw(&t);
    return tcsetattr(fd, TCSANOW, &t) != -1;
}

/* Whether a link may be created at this path: it is free, or a link to a pty, or a dangling link. If not, errno has the
 * reason. */
static bool is_free(const char *link) {
    static const char pty[] = "/dev/pts/";
    char target[sizeof pty - 1];
    const ssize_t n = readlink(link, target, sizeof target);
    if (n == -1 && errno != EINVAL) return errno == ENOENT;
    if (n == (ssize_t)sizeof target && memcmp(target, pty, sizeof target) == 0) return true;
    if (n >= 0 && access(link, F_OK) == -1 && errno == ENOENT) return true;
    errno = EEXIST;
    return false;
}

/* Makes line->link point to the pty atomically: a process that opens it finds the old pty or the new one. Other files
 * at this path are kept. */
static bool make_link(const tl_line *line) {
    char aside[4096];
    if (!is_free(line->link)) return false;
    const int n = snprintf(aside, sizeof aside, "%s.%ld", line->link, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof aside) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)unlink(aside);
    if (symlink(line->path, aside) == -1) return false;
    if (rename(aside, line->link) == 0) return true;
    const int why = errno;
    (void)unlink(aside);
    errno = why;
    return false;
}

bool tl_line_open_pty(tl_line *line, const char *link) {
    *line = (tl_line){.fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), .far_fd = -1};
    if (line->fd == -1) return false;
    const char *path = NULL;
    if (grantpt(line->fd) == 0 && unlockpt(line->fd) == 0) path = ptsname(line->fd);
    if (path != NULL && strlen(path) < sizeof line->path) {
        memcpy(line->path, path, strlen(path) + 1);
        line->far_fd = open(line->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    bool ok = line->far_fd != -1 && make_raw(line->far_fd) && never_block(line->fd);
    if (ok && link != NULL) {
        line->link = link;
        ok = make_link(line);
    }
    if (!ok) {
        const int why = errno;
        tl_line_close(line);
        errno = why;
    }
    return ok;
}

bool tl_line_open_fd(tl_line *line, int fd) {
    *line = (tl_line){.fd = fd, .far_fd = -1};
    return never_block(fd);
}

void tl_line_close(tl_line *line) {
    char target[sizeof line->path];
    if (line->link != NULL) {
        const ssize_t n = readlink(line->link, target, sizeof target);
        if (n >= 0 && (size_t)n == strlen(line->path) && memcmp(target, line->path, (size_t)n) == 0)
            (void)unlink(line->link);
    }
    if (line->far_fd != -1) close(line->far_fd);
    if (line->fd != -1) close(line->fd);
    *line = (tl_line){.fd = -1, .far_fd = -1};
}

/* Writes as much as the line accepts; returns the number of bytes. */
static size_t write_some(int fd, const uint8_t *bytes, size_t n) {
    ssize_t wrote;
    do wrote = write(fd, bytes, n);
    while (wrote == -1 && errno == EINTR);
    return wrote > 0 ? (size_t)wrote : 0;
}

void tl_line_flush(tl_line *line) {
    if (line->kept == 0) return;
    const size_t n = write_some(line->fd, line->rest, line->kept);
    line->kept -= n;
    memmove(line->rest, line->rest + n, line->kept);
}

void tl_line_send(void *context, const uint8_t *bytes, size_t n) {
    tl_line *line = (tl_line *)context;
    tl_line_flush(line);
    const size_t wrote = line->kept == 0 ? write_some(line->fd, bytes, n) : 0;
    if (wrote == 0) {
        line->dropped++;
        return;
    }
    line->kept = n - wrote;
    memcpy(line->rest, bytes + wrote, line->kept);
}
