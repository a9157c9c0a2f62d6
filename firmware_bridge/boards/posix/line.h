/* The serial line of the process: its own pty, or a descriptor that the parent opened. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware_bridge/protocol/frame.h"

typedef struct {
    int fd;           /* the pty's master end, or the given descriptor; never blocks */
    int far_fd;       /* the pty's other end, held open so that neither side ever sees a hang-up; -1: none */
    const char *link; /* symbolic link made for the pty; NULL: none */
    char path[64];    /* of the pty; empty: none */
    uint32_t dropped; /* frames dropped because the line was full */
    size_t kept;      /* the rest of a partly sent frame */
    uint8_t rest[TL_WIRE_MAX];
} tl_line;

/* Opens a pty in raw mode and creates or replaces the link, if one is given. Returns false, with errno set and
 * everything closed, on a system error. link must outlive the line. */
bool tl_line_open_pty(tl_line *line, const char *link);

/* Takes ownership of fd. Returns false, errno set, when it is not open. */
bool tl_line_open_fd(tl_line *line, int fd);

/* Removes the link, if it still points to this pty, and closes. */
void tl_line_close(tl_line *line);

/* A send function; context is the tl_line. Like a UART it never waits: when the line is full the whole frame is
 * dropped, and a partly sent frame is completed before the next one. */
void tl_line_send(void *line, const uint8_t *bytes, size_t n);

/* Writes the rest of the last frame, as far as the line accepts it. */
void tl_line_flush(tl_line *line);
