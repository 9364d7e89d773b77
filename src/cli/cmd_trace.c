/* rung trace sample | plant | show (import is in cmd_problem.c: the same importers) */
#include "cli/session.h"
#include "rung/trace.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_opt sample_opts[] = {
    OPT_INT("n", "1", "SAMPLES", 1, 100000, CLI_KEY, "traces per problem"),
    OPT_STR("split-steps", "", "HOW", CLI_KEY,
            "line, blank, step, given or delimiter:TEXT; empty = line for worlds, else blank"),
    OPT_NAME,
};
const cli_group cli_trace_sample_group = CLI_GROUP_OF("traces", sample_opts);

static const cli_opt show_opts[] = {
    OPT_STR("source", "truth", "NAME", CLI_FREE, "labels of this source: truth, mc, human, ..."),
    OPT_STR("score", "", "MODEL", CLI_FREE, "scores of this model: its file, name or number"),
    OPT_INT("trace", "0", "ID", 0, 9e15, CLI_FREE, "only this trace"),
    OPT_INT("n", "0", "TRACES", 0, CLI_INT_MAX, CLI_FREE, "at most this many traces, 0 = all"),
};
const cli_group cli_trace_show_group = CLI_GROUP_OF("show", show_opts);

typedef struct tally {
    int64_t n, correct, wrong, unknown, tokens, steps;
} tally;

rung_status cli_trace_tally(int64_t out[6], rung_store *s, const rung_filter *f, rung_error *err) {
    rung_iter *it = NULL;
    const rung_trace *t;
    rung_status st;
    memset(out, 0, 6 * sizeof *out);
    RUNG_TRY(rung_trace_iter(&it, s, f, err));
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        out[0]++;
        out[1] += t->verdict == RUNG_VERDICT_CORRECT;
        out[2] += t->verdict == RUNG_VERDICT_WRONG;
        out[3] += t->verdict == RUNG_VERDICT_UNKNOWN;
        out[4] += t->n_tok;
        out[5] += t->n_steps;
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status summarise(cli_call *c, rung_store *s, const rung_run *run, const cli_engine *e,
                             double t0, rung_error *err) {
    rung_filter f = {.run = run->id};
    tally t;
    int64_t x[6];
    RUNG_TRY(cli_trace_tally(x, s, &f, err));
    t = (tally){x[0], x[1], x[2], x[3], x[4], x[5]};
    c->tokens = t.tokens;
    double known = (double)(t.correct + t.wrong);
    rung_buf_printf(&c->summary,
                    "%lld traces by %s: %.1f%% correct, %lld of unknown verdict; %.1f steps and "
                    "%.0f tokens each",
                    (long long)t.n, e->name, known > 0 ? 100.0 * (double)t.correct / known : 0.0,
                    (long long)t.unknown, t.n ? (double)t.steps / (double)t.n : 0.0,
                    t.n ? (double)t.tokens / (double)t.n : 0.0);
    cli_result_open(c, run);
    cli_result_str(c, "policy", e->name);
    if (e->weights[0]) cli_result_str(c, "weights", e->weights);
    cli_result_int(c, "n_traces", t.n);
    cli_result_int(c, "n_correct", t.correct);
    cli_result_int(c, "n_wrong", t.wrong);
    cli_result_int(c, "n_unknown", t.unknown);
    cli_result_int(c, "tokens", t.tokens);
    cli_ledger_result(c, e);
    cli_result_close(c, t0);
    return RUNG_OK;
}

rung_status cli_trace_sample(cli_call *c, rung_error *err) {
    rung_sample_opts o = RUNG_SAMPLE_OPTS_INIT;
    rung_store *s;
    cli_engine e = {0};
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&o.problems, c, s, err));
    RUNG_TRY(cli_sampling(&o.sampling, c, err));
    RUNG_TRY(cli_engine_open(&e, c, err));
    o.n = (int32_t)cli_int(c, "n");
    o.max_tok = (int32_t)cli_int(c, "max-tokens");
    o.seed = (uint64_t)cli_int(c, "seed");
    o.split_how = cli_str(c, "split-steps");
    o.system = cli_str(c, "system");
    o.suffix = cli_str(c, "suffix");
    o.stop = cli_str(c, "stop");
    o.generator = e.name;
    rung_status st = cli_run_begin(&run, c, e.hash, err);
    if (st == RUNG_OK) st = rung_trace_sample(s, e.engine, run.id, &o, &c->app->log, err);
    cli_engine_stats(c, &e);
    st = cli_ledger_keep(c, &e, &run, st, err);
    if (st == RUNG_OK) st = rung_run_finish(s, run.id, err);
    if (st == RUNG_OK) st = summarise(c, s, &run, &e, t0, err);
    cli_engine_close(&e);
    return st;
}

/* ---- plant */

static const cli_opt plant_opts[] = {
    OPT_INT("n", "1", "TRACES", 1, 100000, CLI_KEY, "traces per problem"),
    OPT_REAL("slip", "0.3", "CHANCE", 0, 1, CLI_KEY, "chance of an error in a step"),
    OPT_NAME,
};
const cli_group cli_trace_plant_group = CLI_GROUP_OF("planted traces", plant_opts);

rung_status cli_trace_plant(cli_call *c, rung_error *err) {
    rung_plant_opts o = RUNG_PLANT_OPTS_INIT;
    rung_plant_counts n;
    rung_store *s;
    rung_run run = {0};
    double t0 = rung_now();
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_CREATE, err));
    RUNG_TRY(cli_filter(&o.problems, c, s, err));
    o.n = (int32_t)cli_int(c, "n");
    o.slip = cli_real(c, "slip");
    RUNG_TRY(cli_run_begin(&run, c, NULL, err));
    RUNG_TRY(rung_trace_plant(&n, s, run.id, &o, &c->app->log, err));
    RUNG_TRY(rung_run_finish(s, run.id, err));
    if (n.n_traces + n.n_had == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no problem of a world that can plant errors matches");
        return rung_error_hint(err, "rung problem generate logic");
    }
    cli_result_open(c, &run);
    cli_result_int(c, "n_traces", n.n_traces);
    cli_result_int(c, "n_steps", n.n_steps);
    cli_result_int(c, "n_planted", n.n_planted);
    cli_result_int(c, "n_wrong", n.n_wrong);
    cli_result_int(c, "n_left_out", n.n_left_out);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary, "%lld traces, %lld steps, %lld planted errors, %lld wrong in all",
                    (long long)n.n_traces, (long long)n.n_steps, (long long)n.n_planted,
                    (long long)n.n_wrong);
    return RUNG_OK;
}

/* ---- show */

typedef struct viewer {
    cli_call *c;
    rung_store *store;
    const char *source;
    int64_t model;
    rung_buf b;
} viewer;

typedef struct mark {
    bool has_label, has_score;
    rung_label label;
    double score;
} mark;

static rung_status marks(mark *m, viewer *v, int64_t node, rung_error *err) {
    memset(m, 0, sizeof *m);
    RUNG_TRY(rung_label_get(&m->label, &m->has_label, v->store, 0, node, v->source, err));
    if (v->model == 0) return RUNG_OK;
    return rung_score_get(&m->score, &m->has_score, v->store, node, v->model, err);
}

static void step_text(viewer *v, const rung_trace *t, int32_t k, const mark *m) {
    const rung_step *s = &t->step[k];
    int32_t n = s->byte_end - s->byte_begin;
    while (n > 0 && (t->text[s->byte_begin + n - 1] == '\n')) n--;
    char label[32] = "", score[32] = "";
    if (m->has_label && m->label.n > 0) {
        snprintf(label, sizeof label, "%d/%d", m->label.c, m->label.n);
    } else if (m->has_label && m->label.hard >= 0) {
        snprintf(label, sizeof label, "%d", m->label.hard);
    }
    if (m->has_score) snprintf(score, sizeof score, "%.3f", m->score);
    rung_buf_printf(&v->b, "  %c %2d  %6s %6s  ", k == t->first_error ? 'x' : ' ', k, label, score);
    const char *p = t->text + s->byte_begin;
    for (int32_t line = 0; n > 0; line++) { /* further lines of a step under its first */
        const char *end = memchr(p, '\n', (size_t)n);
        int32_t len = end ? (int32_t)(end - p) + 1 : n;
        rung_buf_printf(&v->b, "%*s", line ? 23 : 0, "");
        cli_clean(&v->b, p, (size_t)len);
        p += len;
        n -= len;
    }
    rung_buf_str(&v->b, "\n");
}

static void step_json(viewer *v, const rung_trace *t, int32_t k, const mark *m) {
    const rung_step *s = &t->step[k];
    rung_buf_printf(&v->b, "%s{\"text\":", k ? "," : "");
    rung_buf_json_str(&v->b, t->text + s->byte_begin, (size_t)(s->byte_end - s->byte_begin));
    rung_buf_printf(&v->b, ",\"node\":%lld", (long long)s->node);
    if (m->has_label) {
        rung_buf_printf(&v->b, ",\"hard\":%d,\"n\":%d,\"c\":%d,\"n_unknown\":%d", m->label.hard,
                        m->label.n, m->label.c, m->label.n_unknown);
        if (isfinite(m->label.soft)) rung_buf_printf(&v->b, ",\"soft\":%.6g", m->label.soft);
    }
    if (m->has_score) rung_buf_printf(&v->b, ",\"score\":%.6g", m->score);
    rung_buf_str(&v->b, "}");
}

static void head_json(viewer *v, const rung_trace *t) {
    rung_buf_printf(&v->b, "{\"v\":1,\"trace\":%lld,\"run\":%lld,\"problem\":%lld,\"i\":%d,",
                    (long long)t->id, (long long)t->run, (long long)t->problem, t->i);
    rung_buf_printf(&v->b, "\"verdict\":\"%s\",\"answer\":", rung_verdict_name(t->verdict));
    rung_buf_json_str(&v->b, t->answer ? t->answer : "", t->answer ? strlen(t->answer) : 0);
    rung_buf_printf(&v->b, ",\"stop\":\"%s\",\"tokens\":%d", t->stop ? t->stop : "", t->n_tok);
    if (t->first_error != RUNG_FIRST_ERROR_UNKNOWN) {
        rung_buf_printf(&v->b, ",\"first_error\":%d", t->first_error);
    }
    rung_buf_str(&v->b, ",\"steps\":[");
}

static rung_status show_trace(viewer *v, const rung_trace *t, rung_error *err) {
    bool json = v->c->app->json;
    rung_buf_reset(&v->b);
    if (json) {
        head_json(v, t);
    } else {
        rung_buf_printf(&v->b, "trace %lld  problem %lld  sample %d  %s  ", (long long)t->id,
                        (long long)t->problem, t->i, rung_verdict_name(t->verdict));
        cli_clean(&v->b, t->answer ? t->answer : "", t->answer ? strlen(t->answer) : 0);
        rung_buf_printf(&v->b, "  (%d tokens, %s)\n        %6s %6s\n", t->n_tok,
                        t->stop ? t->stop : "", v->source, v->model ? "score" : "");
    }
    for (int32_t k = 0; k < t->n_steps; k++) {
        mark m;
        RUNG_TRY(marks(&m, v, t->step[k].node, err));
        if (json)
            step_json(v, t, k, &m);
        else
            step_text(v, t, k, &m);
    }
    rung_buf_str(&v->b, json ? "]}\n" : "\n");
    RUNG_TRY(rung_buf_check(&v->b, err));
    return cli_out(v->c->app, v->b.data, v->b.n, err);
}

rung_status cli_trace_show(cli_call *c, rung_error *err) {
    rung_store *s;
    rung_filter f;
    rung_iter *it = NULL;
    const rung_trace *t;
    int64_t n = 0, most = cli_int(c, "n");
    viewer v = {.c = c, .source = cli_str(c, "source")};
    if (!v.source) v.source = "truth";
    RUNG_TRY(cli_store(&s, c, RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, s, err));
    f.trace = cli_int(c, "trace");
    const char *model = cli_str(c, "score");
    if (model) RUNG_TRY(cli_model_lookup(&v.model, c, s, model, NULL, err));
    v.store = s;
    RUNG_TRY(rung_trace_iter(&it, s, &f, err));
    rung_buf_init(&v.b, 256u << 20);
    rung_status st;
    while ((st = rung_trace_next(&t, it, err)) == RUNG_OK) {
        st = show_trace(&v, t, err);
        if (st != RUNG_OK) break;
        if (++n == most) {
            st = RUNG_DONE;
            break;
        }
    }
    rung_buf_clear(&v.b);
    rung_iter_free(it);
    if (st == RUNG_DONE) st = RUNG_OK;
    if (st == RUNG_OK && n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no trace matches");
        st = rung_error_hint(err, "look at --run, --set and --split");
    }
    return st;
}
