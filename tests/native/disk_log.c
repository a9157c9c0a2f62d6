/* Logs a process's file operations in one folder; loaded with LD_PRELOAD. Writes a line per call to the file that
 * DISK_LOG names.
 *   create NAME | write NAME BYTES | sync NAME | link NAME NAME | rename NAME NAME | unlink NAME | sync_folder
 * Only paths in the folder that DISK_LOG_FOLDER names count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kHandles = 1024, kName = 128 };
static char names[kHandles][kName]; /* of what a descriptor is open on: "" foreign, "/" the folder itself */

static const char* inside(const char* path) {
  const char* folder = getenv("DISK_LOG_FOLDER");
  const size_t n = folder == NULL ? 0 : strlen(folder);
  if (n == 0 || strncmp(path, folder, n) != 0) return NULL;
  if (path[n] == 0) return "/";
  return path[n] == '/' ? path + n + 1 : NULL;
}

static void say(const char* format, ...) {
  static int log = -2;
  if (log == -2) log = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0644);
  char line[3 * kName];
  va_list values;
  va_start(values, format);
  const int n = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (syscall(SYS_write, log, line, (size_t)n) != n) abort();
}

static int opened(int handle, const char* path, int flags) {
  const char* name = handle >= 0 && handle < kHandles ? inside(path) : NULL;
  if (handle >= 0 && handle < kHandles) snprintf(names[handle], kName, "%s", name == NULL ? "" : name);
  if (name != NULL && (flags & O_CREAT)) say("create %s\n", name);
  return handle;
}

#define OPEN(function)                                                                 \
  int function(const char* path, int flags, ...) {                                     \
    va_list values;                                                                    \
    va_start(values, flags);                                                           \
    const int mode = (flags & O_CREAT) ? va_arg(values, int) : 0;                      \
    va_end(values);                                                                    \
    return opened((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode), path, flags); \
  }
OPEN(open)
OPEN(open64)

static const char* open_on(int handle) { return handle >= 0 && handle < kHandles ? names[handle] : ""; }

ssize_t write(int handle, const void* bytes, size_t n) {
  const ssize_t done = syscall(SYS_write, handle, bytes, n);
  if (done > 0 && open_on(handle)[0] != 0) say("write %s %zd\n", open_on(handle), done);
  return done;
}

int fsync(int handle) {
  const int result = (int)syscall(SYS_fsync, handle);
  const char* name = open_on(handle);
  if (result == 0 && strcmp(name, "/") == 0) say("sync_folder\n");
  if (result == 0 && name[0] != 0 && name[0] != '/') say("sync %s\n", name);
  return result;
}

int close(int handle) {
  if (handle >= 0 && handle < kHandles) names[handle][0] = 0;
  return (int)syscall(SYS_close, handle);
}

int link(const char* path, const char* other) {
  const int result = (int)syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, other, 0);
  if (result == 0 && inside(path) != NULL) say("link %s %s\n", inside(path), inside(other));
  return result;
}

/* Python calls this one from 3.14 on, with absolute paths. */
int linkat(int from, const char* path, int to, const char* other, int flags) {
  const int result = (int)syscall(SYS_linkat, from, path, to, other, flags);
  if (result == 0 && inside(path) != NULL) say("link %s %s\n", inside(path), inside(other));
  return result;
}

int rename(const char* path, const char* other) {
  const int result = (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 0);
  if (result == 0 && inside(path) != NULL) say("rename %s %s\n", inside(path), inside(other));
  return result;
}

int unlink(const char* path) {
  const int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (result == 0 && inside(path) != NULL) say("unlink %s\n", inside(path));
  return result;
}
