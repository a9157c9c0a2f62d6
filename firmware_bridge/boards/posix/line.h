/* The serial line of the process: a pty of its own, or a descriptor that the parent opened. */
#pragma once

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
    uint8_t rest[TL_WIRE_MAX];
} tl_line;

/* Opens a pty in raw mode and makes the link, if one is given, in place of what was there.
 * Returns false, errno set and everything closed, when the system refuses. link must outlive the line. */
bool tl_line_open_pty(tl_line *line, const char *link);

/* Takes over fd. Returns false, errno set, when it is not open. */
bool tl_line_open_fd(tl_line *line, int fd);

/* Removes the link, if it still is ours, and closes. */
void tl_line_close(tl_line *line);

/* A send function; context is the tl_line. Like a UART it never waits: when the line is full the frame is dropped
 * whole, and a frame that went out in part is finished before another one begins. */
void tl_line_send(void *line, const uint8_t *bytes, size_t n);

/* Writes what is kept of the last frame, as far as the line takes it. */
void tl_line_flush(tl_line *line);
