/* A model is first run in a child process. libllama and ggml end the process on what they did not
 * expect; model_check.c meets what is known of that, a child meets the rest. It loads the file,
 * makes a context and computes two calls. A file that went well is remembered by its hash and
 * libllama's version, so each is tried once on a machine. */
#include "model/model_check.h"
#include "model/model_impl.h"
#include "model/weights.h"

#include <errno.h>
#include <ggml.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRY_ROWS = 4, TRY_CELLS = 256, TOLD_MAX = 400 };

/* In the child ----------------------------------------------------------------------------------
 */

static void tell(const char *text) {
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t w = write(STDERR_FILENO, text, n);
        if (w <= 0) return;
        text += w;
        n -= (size_t)w;
    }
}

static void on_abort(const char *text) {
    tell(text);
}

static bool decode(struct llama_context *ctx, int32_t n_vocab, int32_t n, int32_t pos) {
    struct llama_batch b = llama_batch_init(n, 0, 1);
    for (int32_t i = 0; i < n; i++) {
        b.token[i] = (i + 1) % n_vocab;
        b.pos[i] = pos + i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = i == n - 1;
    }
    b.n_tokens = n;
    bool ok = llama_decode(ctx, b) == 0 && llama_get_logits_ith(ctx, n - 1);
    llama_batch_free(b);
    return ok;
}

/* What a call may refuse politely is left for the caller to meet: only death counts. */
static void run_once(const char *path) {
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    mp.load_mode = LLAMA_LOAD_MODE_MMAP;
    struct llama_model *m = llama_model_load_from_file(path, mp);
    if (!m) return;
    int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    cp.n_ctx = TRY_CELLS;
    cp.n_batch = cp.n_ubatch = TRY_ROWS;
    cp.n_seq_max = 1;
    cp.n_threads = cp.n_threads_batch = 1; /* a forked child has no OpenMP workers */
    cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    struct llama_context *ctx = n_vocab > 0 ? llama_init_from_model(m, cp) : NULL;
    int32_t tok[16];
    if (ctx && !llama_model_has_encoder(m) && decode(ctx, n_vocab, TRY_ROWS, 0))
        (void)decode(ctx, n_vocab, 1, TRY_ROWS);
    if (ctx) (void)llama_tokenize(llama_model_get_vocab(m), "a 1\n", 4, tok, 16, true, true);
}

static void child(const char *path, int to) {
    struct rlimit none = {0, 0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)dup2(to, STDERR_FILENO); /* what a C++ library says before it ends */
    signal(SIGABRT, SIG_DFL);
    ggml_set_abort_callback(on_abort);
    rung_llama_log(NULL);
    run_once(path);
    _exit(0); /* nothing of the parent's is flushed, freed or closed in order */
}

/* In the parent ---------------------------------------------------------------------------------
 */

/* All that the child says, its first line kept, until it closes the pipe. */
static void listen_to(char *told, size_t n_told, int from) {
    char b[512];
    size_t n = 0;
    bool line = true;
    for (;;) {
        ssize_t r = read(from, b, sizeof b);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) break;
        for (ssize_t i = 0; i < r && line; i++) {
            line = b[i] != '\n' || n == 0;
            if (b[i] != '\n' && n + 1 < n_told) told[n++] = b[i];
        }
    }
    told[n] = 0;
}

static rung_status died(int sig, const char *path, const char *told, rung_error *err) {
    if (sig == SIGKILL || sig == SIGXCPU) {
        rung_fail(err, RUNG_E_LIMIT, "model \"%s\" was killed while it was tried", path);
        return rung_error_hint(err, "there was not enough memory, or somebody stopped it");
    }
    rung_fail(err, RUNG_E_MODEL, "libllama ends the process on model \"%s\" (%s)", path,
              sig == SIGABRT ? "it gave up" : strsignal(sig));
    rung_error_detail(err, "%s", told);
    return rung_error_hint(err, "the file is damaged, or a kind that llama.cpp %s cannot run",
                           llama_version());
}

static rung_status run_child(const char *path, rung_error *err) {
    int pipes[2], state = 0;
    char told[TOLD_MAX];
    if (pipe(pipes) != 0) return rung_fail_errno(err, "could not start a worker");
    rung_llama_backend();
    pid_t pid = fork();
    if (pid < 0) {
        rung_fail_errno(err, "could not start a worker");
        close(pipes[0]);
        close(pipes[1]);
        return err ? err->code : RUNG_E_IO;
    }
    if (pid == 0) child(path, pipes[1]);
    close(pipes[1]);
    listen_to(told, sizeof told, pipes[0]);
    close(pipes[0]);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) continue;
    return WIFSIGNALED(state) ? died(WTERMSIG(state), path, told, err) : RUNG_OK;
}

/* The note of a file that went well: $XDG_CACHE_HOME/rung/tried/HASH-VERSION, empty. false: there
 * is no place for notes. */
static bool note_path(rung_buf *b, const char *hash) {
    rung_error quiet = RUNG_ERROR_INIT;
    if (rung_cache_folder(b, "tried", &quiet) != RUNG_OK) return false;
    rung_buf_printf(b, "%s-%s", hash, llama_version());
    return !b->failed;
}

rung_status rung_model_try(const char *path, const rung_log *log, rung_error *err) {
    rung_model_info info = {0};
    rung_error quiet = RUNG_ERROR_INIT;
    char hash[33];
    rung_buf note;
    RUNG_TRY(rung_check_model_file(&info, path, err));
    RUNG_TRY(rung_hash_file(hash, path, err));
    rung_buf_init(&note, 8192);
    bool noted = note_path(&note, hash);
    rung_status st = RUNG_OK;
    if (!noted || access(note.data, F_OK) != 0) {
        rung_event(log, RUNG_DEBUG, "model.try", RUNG_S("path", path));
        st = run_child(path, err);
        if (st == RUNG_OK && noted) (void)rung_file_write(note.data, "", 0, &quiet);
    }
    rung_buf_clear(&note);
    return st;
}
