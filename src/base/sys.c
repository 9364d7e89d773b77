/* Clocks and cores. */
#include "rung/base.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t id) {
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double rung_now(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double rung_cpu_now(void) {
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t rung_unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whole cores that a container's quota allows (cgroup v2 cpu.max: "quota period" or "max period");
 * 0 = no quota. */
static int cgroup_cores(void) {
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) return 0;
    long quota = 0, period = 0;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0) return 0;
    return (int)((quota + period - 1) / period);
}

int rung_n_cores(void) {
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    int quota = cgroup_cores();
    if (quota > 0 && quota < n) n = quota;
    const char *wanted = getenv("OMP_NUM_THREADS"); /* one limit for the engine and the trainer */
    int limit = wanted ? atoi(wanted) : 0;
    if (limit > 0 && limit < n) n = limit;
    return n > 0 ? n : 1;
}
