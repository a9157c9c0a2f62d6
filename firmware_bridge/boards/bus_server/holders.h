/* Other processes that hold a port, by the kernel's list of open files (/proc, Linux). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True: another process has the device of this descriptor open; who receives "process 123 (name)". Root sees all
 * processes, another user its own. It takes some microseconds for each open file of the host. */
bool tl_port_held(const int *fd, char *who, size_t size);
