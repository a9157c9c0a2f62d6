/* A servo bus on an open descriptor: a tty, a pty or a socket. CLOCK_MONOTONIC. */
#pragma once

#include "firmware_bridge/bus/bus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Makes fd non-blocking. The wire refers to *fd, which must outlive it; replace it to use a port that was opened
 * again. */
tl_bus_wire tl_bus_port(int *fd);

#ifdef __cplusplus
}
#endif
