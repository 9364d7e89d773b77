/* The two seccomp filters. Internal header. */
#ifndef RUNG_SRC_VERIFY_CODE_FILTER_H
#define RUNG_SRC_VERIFY_CODE_FILTER_H
#include "rung/base.h"

typedef enum filter_kind {
    FILTER_BOX,    /* for all of a box, given to bubblewrap: what nothing in there needs */
    FILTER_PROGRAM, /* for a program: only what a program may do */
    FILTER_QUERY    /* for a worker that holds a database open: reading it, answering, memory */
} filter_kind;

/* *fd: a memfd with the filter as struct sock_filter[], offset 0; the caller closes it. */
rung_status filter_make(int *fd, filter_kind kind, rung_error *err);
#endif
