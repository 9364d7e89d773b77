/* seccomp filters by libseccomp. The program's is a list of what is allowed; anything else fails
 * with ENOSYS, so that a library that tries a newer call falls back, and a call that does not exist
 * yet is refused today. The box's is a list of what is denied: the server inside needs mount and
 * unshare. */
#include "verify/code/filter.h"
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* clang-format off */
static const char *const allowed[] = {
    /* files */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "open", "openat", "openat2", "creat", "close", "close_range", "lseek", "stat",
    "fstat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "dup", "dup2",
    "dup3", "fcntl", "flock", "fsync", "fdatasync", "truncate", "ftruncate", "getdents",
    "getdents64", "getcwd", "chdir", "fchdir", "rename", "renameat", "renameat2", "mkdir",
    "mkdirat", "rmdir", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat", "readlink",
    "readlinkat", "chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat", "futimesat",
    "umask", "statfs", "fstatfs", "sendfile", "splice", "tee", "copy_file_range", "fallocate",
    "fadvise64", "readahead", "sync_file_range", "memfd_create", "pipe", "pipe2", "ioctl",
    "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "mknod", "mknodat",
    /* waiting */
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "alarm", "getitimer",
    "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun",
    "timer_delete", "pause",
    /* memory */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore", "mlock",
    "munlock", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect",
    /* processes and threads of its own; clone is limited below */
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
    "getppid", "gettid", "getpgid", "getpgrp", "getsid", "setpgid", "setsid", "kill", "tkill",
    "tgkill", "futex", "futex_waitv", "set_tid_address", "set_robust_list", "get_robust_list",
    "rseq", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getpriority",
    "arch_prctl", "getcpu", "pidfd_open", "pidfd_send_signal",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigsuspend", "sigaltstack", "restart_syscall",
    /* who and where */
    "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "capget",
    "uname", "sysinfo", "getrusage", "getrlimit", "setrlimit", "prlimit64", "getrandom",
    /* between its own processes: socket and socketpair are limited below */
    "socketpair", "bind", "listen", "accept", "accept4", "connect", "sendto", "recvfrom", "sendmsg",
    "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "getsockname", "getpeername", "setsockopt",
    "getsockopt",
};
static const char *const denied[] = {
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "reboot", "swapon", "swapoff", "acct", "quotactl",
    "quotactl_fd", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "syslog",
    "nfsservctl", "open_by_handle_at", "name_to_handle_at", "lookup_dcookie", "iopl", "ioperm",
    "vhangup", "personality", "modify_ldt", "uselib", "_sysctl", "vmsplice", "move_pages",
    "migrate_pages", "mbind", "set_mempolicy", "get_mempolicy", "fanotify_init", "chroot",
    "semget", "semop", "semctl", "semtimedop", "shmget", "shmat", "shmctl", "shmdt", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
    "mq_notify", "mq_getsetattr",
};
/* No file is opened, no process is made, nothing is sent but over what is open already. */
static const char *const query_allowed[] = {
    "read", "write", "pread64", "lseek", "fstat", "newfstatat", "statx", "sendto", "recvfrom",
    "close", "brk", "munmap", "mremap", "madvise", "futex", "rt_sigreturn", "rt_sigprocmask",
    "exit", "exit_group", "clock_gettime", "gettimeofday", "time", "getpid", "gettid", "getrandom",
    "sched_yield", "restart_syscall", "membarrier", "rseq",
};
/* clang-format on */
enum { N_ALLOWED = sizeof allowed / sizeof *allowed, N_DENIED = sizeof denied / sizeof *denied };

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define TIOCSTI_   0x5412u /* pushes typed text into a terminal */
#define TIOCLINUX_ 0x541Cu

/* The calls that this libseccomp or this machine does not know are none that could be made. */
static int rule_all(scmp_filter_ctx f, uint32_t action, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number == __NR_SCMP_ERROR || number < 0) continue;
        int rc = seccomp_rule_add(f, action, number, 0);
        if (rc != 0 && rc != -EACCES) return rc; /* EACCES: the default does the same */
    }
    return 0;
}

/* libseccomp's SCMP_A0() leaves a field out, which clang warns of. */
static struct scmp_arg_cmp arg_is(unsigned int arg, uint64_t value) {
    return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

static int program_rules(scmp_filter_ctx f) {
    const uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
    int rc = rule_all(f, SCMP_ACT_ALLOW, allowed, N_ALLOWED);
    if (rc == 0) rc = rule_all(f, eperm, denied, N_DENIED);
    /* clone without namespaces; clone3 hides its flags in memory: ENOSYS makes libc use clone */
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
    if (rc == 0) rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, arg_is(0, AF_UNIX));
    static const unsigned int prctl_ok[] = {PR_SET_NAME,     PR_GET_NAME,         PR_SET_VMA,
                                            PR_GET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_READ};
    for (size_t i = 0; rc == 0 && i < sizeof prctl_ok / sizeof *prctl_ok; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, arg_is(0, prctl_ok[i]));
    /* the one call of the wall-building that comes after the filter */
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2, arg_is(0, PR_SET_DUMPABLE),
                              arg_is(1, 1));
    return rc;
}

static int box_rules(scmp_filter_ctx f) {
    const uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
    int rc = rule_all(f, eperm, denied, N_DENIED);
    if (rc == 0)
        rc = seccomp_rule_add(f, eperm, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFFu, TIOCSTI_));
    if (rc == 0)
        rc = seccomp_rule_add(f, eperm, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFFu, TIOCLINUX_));
    return rc;
}

/* Memory may be had, but none that is run as code. */
static int query_rules(scmp_filter_ctx f) {
    int rc =
        rule_all(f, SCMP_ACT_ALLOW, query_allowed, sizeof query_allowed / sizeof *query_allowed);
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

rung_status filter_make(int *fd, filter_kind kind, rung_error *err) {
    int rc = -ENOMEM;
    *fd = -1;
    scmp_filter_ctx f = seccomp_init(kind == FILTER_BOX ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
    if (!f) goto out;
    rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0) rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    if (rc == 0)
        rc = kind == FILTER_BOX     ? box_rules(f)
             : kind == FILTER_QUERY ? query_rules(f)
                                    : program_rules(f);
    if (rc != 0) goto out;
    *fd = memfd_create("filter", MFD_CLOEXEC);
    if (*fd < 0) {
        rc = -errno;
        goto out;
    }
    rc = seccomp_export_bpf(f, *fd);
    if (rc == 0 && lseek(*fd, 0, SEEK_SET) != 0) rc = -errno;
out:
    if (f) seccomp_release(f);
    if (rc == 0) return RUNG_OK;
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return rung_fail(err, RUNG_E_SANDBOX, "could not make the seccomp filter: %s", strerror(-rc));
}
