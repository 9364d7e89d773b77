/* One box: bubblewrap with the server inside. Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_BOX_H
#define RUNG_SRC_VERIFY_CODE_BOX_H
#include "base/json.h"
#include "rung/code.h"
#include "verify/code/cgroup.h"
#include <sys/types.h>

typedef struct box {
    pid_t pid;   /* bubblewrap (or the server, without it); 0: not running */
    int pidfd;   /* readable when it has ended */
    int control; /* jobs out by descriptor, "done" in */
    int log;     /* its standard error, a memfd */
    bool busy;   /* "done" is still to come */
    char *work;  /* without bubblewrap: its folder, removed at the end */
    cgroup group;
    char python[32];
    int landlock; /* ABI version; 0: none */
} box;

/* opts: all fields set. E_SANDBOX with the reason and a hint. */
rung_status box_start(box *b, const rung_sandbox_opts *opts, rung_error *err);
void box_stop(box *b); /* kills all that is in it */
/* What its group allows from now on, where it has one: more than l, for what is ours in it. */
void box_limit(box *b, const rung_code_limits *l);
/* *job: our end of a new job's channel. */
rung_status box_submit(int *job, box *b, rung_error *err);
/* Consumes a waiting "done": busy ends. false: the box is broken. */
bool box_settle(box *b);
/* Last line that the box wrote to its standard error, "" none. */
void box_last_words(char out[200], const box *b);

/* The server's program text (src/verify/code/py, joined and embedded at build time). */
extern const unsigned char rung_box_py[];
extern const size_t rung_box_py_n;
#endif
