/* libFuzzer target of the test-file reader: any bytes are a job whose parts can be used, or an
 * error that says why; tests/fuzz/run.sh builds and runs it. */
#include "rung/code.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void promise(bool kept) {
    if (!kept) abort();
}

static void use_test(const rung_code_test *t) {
    promise(t->kind == RUNG_TEST_STDIN || t->kind == RUNG_TEST_ASSERT || t->kind == RUNG_TEST_CALL);
    promise(t->input && t->input[t->n_input] == '\0');
    promise(t->kind == RUNG_TEST_ASSERT || (t->want && t->want[t->n_want] == '\0'));
    promise(!t->entry || strlen(t->entry) < SIZE_MAX);
    promise(t->tolerance == t->tolerance);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    rung_arena *a = rung_arena_new(0);
    rung_error err = RUNG_ERROR_INIT;
    rung_code_job job;
    if (!a) return 0;
    rung_status st = rung_code_job_parse(&job, a, (const char *)data, n, &err);
    if (st == RUNG_OK) {
        promise(job.program && strlen(job.program) == job.n_program);
        promise(job.entry && job.setup && strlen(job.setup) < SIZE_MAX);
        promise(strcmp(rung_code_lang_name(job.lang), "?") != 0);
        promise(job.n_tests == 0 || job.test);
        for (size_t i = 0; i < job.n_tests; i++) use_test(&job.test[i]);
    } else {
        promise(st == RUNG_E_FORMAT || st == RUNG_E_INVAL || st == RUNG_E_NOMEM);
        promise(err.what[0] != '\0');
    }
    rung_arena_free(a);
    return 0;
}
