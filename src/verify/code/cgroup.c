/* Control groups: memory of all of a box's processes together, counted by the kernel. The limits
 * by rlimit and by looking stay as they are: groups are not allowed everywhere. */
#include "verify/code/cgroup.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
enum { FOLDER_MAX = 200 };

static bool write_to(const char *folder, const char *file, const char *text) {
    char path[400];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) return false;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

static bool read_from(char *out, size_t size, const char *folder, const char *file) {
    char path[400];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* This process's group of a controller ("memory", "pids"; "" version 2), as a folder. */
static bool own_folder(char out[FOLDER_MAX], const char *controller) {
    char text[4096], *line = text;
    if (!read_from(text, sizeof text, "/proc/self", "cgroup")) return false;
    while (line && *line) { /* "4:memory:/a/b" */
        char *end = strchr(line, '\n'), *name = strchr(line, ':'), *path;
        if (end) *end++ = '\0';
        path = name ? strchr(name + 1, ':') : NULL;
        if (path && (size_t)(path - name - 1) == strlen(controller) &&
            memcmp(name + 1, controller, strlen(controller)) == 0) {
            size_t n = strlen(path + 1);
            while (n > 0 && path[n] == '/') path[n--] = '\0'; /* of the root: nothing is left */
            return snprintf(out, FOLDER_MAX, ROOT "%s%s%s", *controller ? "/" : "", controller,
                            path + 1) < FOLDER_MAX;
        }
        line = end;
    }
    return false;
}

/* Groups that a rung left behind which is no more. */
static void sweep(const char *folder) {
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, "rung-", 5) != 0 || !isdigit((unsigned char)e->d_name[5])) continue;
        long pid = strtol(e->d_name + 5, NULL, 10);
        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

/* A new group in this folder that has this file. */
static bool make_in(char out[320], const char *folder, const char *file) {
    static atomic_uint count;
    struct stat st;
    char path[400];
    sweep(folder);
    int n =
        snprintf(out, 320, "%s/rung-%ld-%u", folder, (long)getpid(), atomic_fetch_add(&count, 1u));
    if (n < 320 && mkdir(out, 0755) == 0) {
        snprintf(path, sizeof path, "%s/%s", out, file);
        if (stat(path, &st) == 0) return true;
        (void)rmdir(out);
    }
    out[0] = '\0';
    return false;
}

bool cgroup_make(cgroup *g) {
    char folder[FOLDER_MAX];
    *g = (cgroup){.v2 = false};
    if (own_folder(folder, "memory")) {
        if (!make_in(g->memory, folder, "memory.limit_in_bytes")) return false;
        if (own_folder(folder, "pids")) (void)make_in(g->pids, folder, "pids.max");
        return true;
    }
    g->v2 = true;
    if (!own_folder(folder, "")) return false;
    bool made = make_in(g->memory, folder, "memory.max");
    char *up = strrchr(folder, '/'); /* beside our own: a group with processes has no limited one
                                      * below it */
    if (!made && up && (size_t)(up - folder) >= strlen(ROOT)) {
        *up = '\0';
        made = make_in(g->memory, folder, "memory.max");
    }
    if (made) memcpy(g->pids, g->memory, sizeof g->pids);
    return made;
}

bool cgroup_enter(const cgroup *g) {
    bool ok = !*g->memory || write_to(g->memory, "cgroup.procs", "0");
    if (*g->pids && !g->v2) ok &= write_to(g->pids, "cgroup.procs", "0");
    return ok;
}

void cgroup_limit(cgroup *g, uint64_t bytes, uint32_t processes) {
    char text[32];
    if (!*g->memory || g->limit == bytes) return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    if (write_to(g->memory, g->v2 ? "memory.max" : "memory.limit_in_bytes", text)) g->limit = bytes;
    if (g->v2) (void)write_to(g->memory, "memory.swap.max", "0");
    snprintf(text, sizeof text, "%u", processes);
    if (*g->pids) (void)write_to(g->pids, "pids.max", text);
}

bool cgroup_out_of_memory(cgroup *g) {
    char text[1024];
    if (!*g->memory ||
        !read_from(text, sizeof text, g->memory, g->v2 ? "memory.events" : "memory.oom_control"))
        return false;
    const char *at = strstr(text, "oom_kill ");
    int64_t n = at ? strtoll(at + 9, NULL, 10) : 0;
    bool more = n > g->oom_kills;
    g->oom_kills = n;
    return more;
}

static void remove_one(const char *folder) {
    for (int i = 0; *folder && i < 100; i++) {
        if (rmdir(folder) == 0 || errno != EBUSY) return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

void cgroup_remove(cgroup *g) {
    remove_one(g->memory);
    if (!g->v2) remove_one(g->pids);
    *g = (cgroup){.v2 = false};
}
