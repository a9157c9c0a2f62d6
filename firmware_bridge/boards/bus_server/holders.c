#include "firmware_bridge/boards/bus_server/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PROCESS_NAME = 64 };

/* A pseudo-terminal also by its file system, since each devpts counts from 0. */
static bool same(const struct stat *a, const struct stat *b, bool pty) {
    return S_ISCHR(a->st_mode) && a->st_rdev == b->st_rdev && (!pty || a->st_dev == b->st_dev);
}

/* Whether one of the open files in this folder, /proc/PID/fd, is the device. */
static bool holds(DIR *files, const struct stat *device, bool pty) {
    static const char dev[] = "/dev/";
    char target[sizeof dev - 1];
    struct stat found;
    for (const struct dirent *entry; (entry = readdir(files)) != NULL;) {
        /* Only devices are examined: stat() of a file on a lost server never returns. */
        const ssize_t n = readlinkat(dirfd(files), entry->d_name, target, sizeof target);
        if (n != (ssize_t)sizeof target || memcmp(target, dev, sizeof target) != 0) continue;
        if (fstatat(dirfd(files), entry->d_name, &found, 0) == 0 && same(&found, device, pty)) return true;
    }
    return false;
}

/* Whether a descriptor of a process is the far end of the pseudo-terminal with this number: it is the device then. */
static bool is_far_end(long pid, const char *fd, unsigned number) {
    char path[PROCESS_NAME], line[PROCESS_NAME];
    unsigned found;
    bool is = false;
    (void)snprintf(path, sizeof path, "/proc/%ld/fdinfo/%.12s", pid, fd);
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    while (!is && fgets(line, sizeof line, file) != NULL)
        is = sscanf(line, "tty-index: %u", &found) == 1 && found == number;
    (void)fclose(file);
    return is;
}

static bool is_device(long pid, DIR *files, unsigned number) {
    bool found = false;
    rewinddir(files);
    for (const struct dirent *entry; !found && (entry = readdir(files)) != NULL;)
        found = is_far_end(pid, entry->d_name, number);
    return found;
}

static void name(long pid, char *out, size_t size) {
    char path[PROCESS_NAME];
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    if (file == NULL) return;
    if (fgets(out, (int)size, file) != NULL) out[strcspn(out, "\n")] = '\0';
    (void)fclose(file);
}

bool tl_port_held(const int *fd, char *who, size_t size) {
    struct stat device;
    char target[PROCESS_NAME] = "", path[PROCESS_NAME];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
    DIR *processes = opendir("/proc");
    if (processes == NULL || fstat(*fd, &device) != 0) {
        if (processes != NULL) (void)closedir(processes);
        return false;
    }
    if (readlink(path, target, sizeof target - 1) < 0) target[0] = '\0';
    const bool pty = strncmp(target, "/dev/pts/", 9) == 0;
    bool found = false;
    for (const struct dirent *entry; !found && (entry = readdir(processes)) != NULL;) {
        const long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == (long)getpid()) continue;
        (void)snprintf(path, sizeof path, "/proc/%ld/fd", pid);
        DIR *files = opendir(path);
        if (files == NULL) continue;
        found = holds(files, &device, pty) && !(pty && is_device(pid, files, minor(device.st_rdev)));
        (void)closedir(files);
        if (!found) continue;
        name(pid, path, sizeof path);
        (void)snprintf(who, size, "process %ld (%.40s)", pid, path);
    }
    (void)closedir(processes);
    return found;
}
