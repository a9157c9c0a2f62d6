/* The serial line of the process: a pty of its own, or a descriptor that the parent opened. */
#ifndef RTU_POSIX_LINE_H
#define RTU_POSIX_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/frame.h"

typedef struct {
    int fd;           /* ours: the pty's master end, or the descriptor given; never blocks */
    int far_fd;       /* the pty's other end, held open so that neither side ever sees a hang-up; -1: none */
    const char *link; /* symbolic link made for the pty; NULL: none */
    char path[64];    /* of the pty; empty: none */
    uint32_t dropped; /* frames that found the line full */
    size_t kept;      /* the rest of a frame that went out in part */
    uint8_t rest[RTU_WIRE_MAX];
} rtu_line;

/* Opens a pty in raw mode and makes the link, if one is given, in place of what was there.
 * Returns false, errno set and everything closed, when the system refuses. link must outlive the line. */
bool rtu_line_open_pty(rtu_line *line, const char *link);

/* Takes over fd. Returns false, errno set, when it is not open. */
bool rtu_line_open_fd(rtu_line *line, int fd);

/* Removes the link, if it still is ours, and closes. */
void rtu_line_close(rtu_line *line);

/* A send function; context is the rtu_line. Like a UART it never waits: when the line is full the frame is dropped whole, and a frame
 * that went out in part is finished before another one begins. */
void rtu_line_send(void *line, const uint8_t *bytes, size_t n);

/* Writes what is kept of the last frame, as far as the line takes it. */
void rtu_line_flush(rtu_line *line);

#endif
