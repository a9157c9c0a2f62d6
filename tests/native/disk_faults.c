/* Simulates the disks of small computers; loaded with LD_PRELOAD.
 *   DISK_SYNC_MS     duration of each fsync and fdatasync
 *   DISK_FOLDER      below this folder only (default: everywhere)
 *   DISK_FOLDER_SYNC errno of fsync on a folder
 *   DISK_LOCK        errno of flock on a folder; DISK_FILE_LOCK: on a file
 *   DISK_WRITE       errno of write, pwrite, ftruncate and of creating a file, from the moment the file DISK_WHEN is
 * there */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int number(const char* name) { return getenv(name) == NULL ? 0 : atoi(getenv(name)); }

static int below(const char* path) {
  const char* folder = getenv("DISK_FOLDER");
  return folder == NULL || strncmp(path, folder, strlen(folder)) == 0;
}

static int concerns(int handle) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  const ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return below(path);
}

static int is_folder(int handle) {
  struct stat status;
  return fstat(handle, &status) == 0 && S_ISDIR(status.st_mode);
}

static int refused(int error) {
  if (error != 0) errno = error;
  return error != 0;
}

static int full(void) {
  const char* when = getenv("DISK_WHEN");
  return number("DISK_WRITE") != 0 && (when == NULL || syscall(SYS_faccessat, AT_FDCWD, when, F_OK) == 0);
}

static int slow(int call, int handle) {
  if (concerns(handle)) {
    const long ms = number("DISK_SYNC_MS");
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000L};
    while (ms > 0 && nanosleep(&rest, &rest) != 0) continue;
    if (is_folder(handle) && refused(number("DISK_FOLDER_SYNC"))) return -1;
  }
  return (int)syscall(call, handle);
}

int fsync(int handle) { return slow(SYS_fsync, handle); }
int fdatasync(int handle) { return slow(SYS_fdatasync, handle); }

int flock(int handle, int operation) {
  if (concerns(handle) && refused(number(is_folder(handle) ? "DISK_LOCK" : "DISK_FILE_LOCK"))) return -1;
  return (int)syscall(SYS_flock, handle, operation);
}

ssize_t write(int handle, const void* bytes, size_t n) {
  if (full() && concerns(handle) && refused(number("DISK_WRITE"))) return -1;
  return syscall(SYS_write, handle, bytes, n);
}

ssize_t pwrite64(int handle, const void* bytes, size_t n, off64_t offset) {
  if (full() && concerns(handle) && refused(number("DISK_WRITE"))) return -1;
  return syscall(SYS_pwrite64, handle, bytes, n, offset);
}
ssize_t pwrite(int handle, const void* bytes, size_t n, off_t offset) { return pwrite64(handle, bytes, n, offset); }

#define OPEN(function)                                                                          \
  int function(const char* path, int flags, ...) {                                              \
    va_list values;                                                                             \
    va_start(values, flags);                                                                    \
    const int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(values, int) : 0;                 \
    va_end(values);                                                                             \
    if ((flags & O_CREAT) && full() && below(path) && refused(number("DISK_WRITE"))) return -1; \
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                               \
  }
OPEN(open)
OPEN(open64)
