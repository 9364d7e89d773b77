/* A control group around a box, where this user may make one (version 1 or 2). Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_CGROUP_H
#define RUNG_SRC_VERIFY_CODE_CGROUP_H
#include "rung/base.h"
#include <sys/types.h>

typedef struct cgroup {
    char memory[320], pids[320]; /* folders; "" none; version 2: the same one */
    bool v2;
    uint64_t limit;    /* bytes, as last set */
    int64_t oom_kills; /* as last seen */
} cgroup;

bool cgroup_make(cgroup *g);        /* false, and all "": not allowed here */
bool cgroup_enter(const cgroup *g); /* the calling process */
/* What all of its processes may hold, file pages of its /tmp too, and how many there may be. */
void cgroup_limit(cgroup *g, uint64_t bytes, uint32_t processes);
bool cgroup_out_of_memory(
    cgroup *g);                /* did the kernel end one of its processes since last asked? */
void cgroup_remove(cgroup *g); /* once they are gone; waits up to a second for that */
#endif
