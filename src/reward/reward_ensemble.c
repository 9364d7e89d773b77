/* The file of an ensemble: which models, by path and hash, and how their scores become one. */
#include "reward/reward_ensemble.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define X(id, name, help) name,
    RUNG_COMBINES(X)
#undef X
};

const char *rung_combine_name(rung_combine_id id) {
    return (unsigned)id < RUNG_COMBINE_COUNT ? names[id] : "?";
}

bool rung_combine_find(rung_combine_id *out, const char *name) {
    for (int i = 0; i < RUNG_COMBINE_COUNT; i++)
        if (!strcmp(names[i], name)) {
            *out = (rung_combine_id)i;
            return true;
        }
    return false;
}

double rung_combine(rung_combine_id id, const double *score, size_t n) {
    double sum = 0.0, square = 0.0, least = (double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        sum += score[i];
        least = fmin(least, score[i]);
    }
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) square += (score[i] - mean) * (score[i] - mean);
    double sd = sqrt(square / (double)n);
    switch (id) {
    case RUNG_COMBINE_MIN: return least;
    case RUNG_COMBINE_LOWER: return fmax(0.0, mean - sd);
    case RUNG_COMBINE_DISAGREEMENT: return 1.0 - 2.0 * sd; /* sd of shares is at most 1/2 */
    default: return mean;
    }
}

double reward_ensemble_score(const rung_reward *r, const double *score, int32_t step) {
    double v = rung_combine(r->combine, score, (size_t)r->n_members);
    return rung_reward_calibrated(r, v, step);
}

/* Opening ---------------------------------------------------------------------------------------
 */

enum { PATH_MAX_BYTES = 1024 };

/* A member's path counts from the ensemble's folder. */
static void path_of(char out[PATH_MAX_BYTES], const char *ensemble, const char *member) {
    const char *slash = strrchr(ensemble, '/');
    bool alone = member[0] == '/' || !slash || !strcmp(member, "confidence");
    int n = alone ? 0 : (int)(slash - ensemble) + 1;
    snprintf(out, PATH_MAX_BYTES, "%.*s%s", n, ensemble, member);
}

typedef struct member_list {
    yyjson_doc *doc;
    yyjson_val *list;
    size_t n;
} member_list;

static rung_status read_list(member_list *out, const rung_gguf *g, const char *path,
                             rung_error *err) {
    const char *json = rung_gguf_str(g, "rung.reward.members", "");
    out->doc = yyjson_read(json, strlen(json), 0);
    out->list = yyjson_doc_get_root(out->doc);
    out->n = yyjson_is_arr(out->list) ? yyjson_arr_size(out->list) : 0;
    bool ok = out->n >= 1 && out->n <= RUNG_ENSEMBLE_MAX;
    for (size_t i = 0; i < out->n && ok; i++)
        ok = rung_json_str(yyjson_arr_get(out->list, i), "path", NULL) != NULL;
    if (ok) return RUNG_OK;
    yyjson_doc_free(out->doc);
    return rung_fail(err, RUNG_E_FORMAT, "\"%s\" names no members, or more than %d", path,
                     RUNG_ENSEMBLE_MAX);
}

static rung_status same_member(const rung_reward *r, const rung_reward *m, const char *want,
                               rung_error *err) {
    if (!strcmp(rung_reward_hash(m), want)) return RUNG_OK;
    rung_fail(err, RUNG_E_MISMATCH, "\"%s\": its member \"%s\" is %s now, it was %s", r->path,
              m->path, rung_reward_hash(m), want);
    return rung_error_hint(err, "make the ensemble again: rung reward ensemble");
}

/* Scores on one scale, of one kind. */
static rung_status fits(const rung_reward *r, const rung_reward *m, rung_error *err) {
    if (m->n_members > 1) /* of one: a model without a file that was calibrated */
        return rung_fail(err, RUNG_E_INVAL, "\"%s\" is an ensemble itself", m->path);
    if (m->format.plain && !m->calibration.json) {
        rung_fail(err, RUNG_E_INVAL, "\"%s\" gives log-ratios, not shares: they cannot be combined",
                  m->path);
        return rung_error_hint(err, "calibrate it first: rung reward calibrate");
    }
    if (r->n_members && reward_of_outcome(m) != reward_of_outcome(r->member[0]))
        return rung_fail(err, RUNG_E_INVAL, "\"%s\" scores %s, \"%s\" %s", m->path,
                         reward_of_outcome(m) ? "answers" : "steps", r->member[0]->path,
                         reward_of_outcome(m) ? "steps" : "answers");
    return RUNG_OK;
}

static rung_status open_member(rung_reward *r, yyjson_val *v, const rung_reward_open_opts *o,
                               rung_error *err) {
    rung_reward_open_opts mo = *o;
    char path[PATH_MAX_BYTES], reference[PATH_MAX_BYTES];
    const char *ref = rung_json_str(v, "reference", NULL);
    path_of(path, r->path, rung_json_str(v, "path", ""));
    if (ref) path_of(reference, r->path, ref);
    mo.format = rung_json_str(v, "format", NULL);
    mo.reference = ref ? reference : NULL;
    mo.raw = false; /* its own scores are calibrated where it says so */
    rung_reward *m = NULL;
    RUNG_TRY(rung_reward_open_as(&m, path, &mo, err));
    rung_status st = same_member(r, m, rung_json_str(v, "hash", ""), err);
    if (st == RUNG_OK) st = fits(r, m, err);
    if (st != RUNG_OK) {
        rung_reward_free(m);
        return st;
    }
    r->member[r->n_members++] = m;
    if (!r->engine) r->engine = m->engine; /* borrowed */
    return RUNG_OK;
}

/* What it is made of decides its hash, not where its files lie. */
static rung_status hash_members(rung_reward *r, rung_error *err) {
    rung_buf b;
    const char *calibration = rung_gguf_str(r->file, "rung.reward.calibration", "");
    rung_buf_init(&b, (size_t)1 << 28);
    rung_buf_printf(&b, "ensemble %s\n", rung_combine_name(r->combine));
    for (int32_t i = 0; i < r->n_members; i++) rung_buf_printf(&b, "%s\n", r->member[i]->hash);
    rung_buf_str(&b, calibration);
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK) rung_hash_hex(r->hash, b.data, b.n);
    rung_buf_clear(&b);
    return st;
}

rung_status reward_ensemble_open(rung_reward *r, const rung_reward_open_opts *o, rung_error *err) {
    member_list list;
    const char *combine = rung_gguf_str(r->file, "rung.reward.combine", "");
    if (!rung_combine_find(&r->combine, combine))
        return rung_fail(err, RUNG_E_FORMAT, "\"%s\": unknown way to combine \"%s\"", r->path,
                         combine);
    RUNG_TRY(read_list(&list, r->file, r->path, err));
    r->member = rung_calloc(list.n, sizeof *r->member);
    rung_status st = r->member ? RUNG_OK : rung_fail(err, RUNG_E_NOMEM, "no memory for members");
    for (size_t i = 0; i < list.n && st == RUNG_OK; i++)
        st = open_member(r, yyjson_arr_get(list.list, i), o, err);
    yyjson_doc_free(list.doc);
    return st == RUNG_OK ? hash_members(r, err) : st;
}

rung_status reward_ensemble_needs_base(bool *yes, const rung_gguf *g, const char *path,
                                       rung_error *err) {
    member_list list;
    *yes = false;
    RUNG_TRY(read_list(&list, g, path, err));
    rung_status st = RUNG_OK;
    for (size_t i = 0; i < list.n && st == RUNG_OK && !*yes; i++) {
        char member[PATH_MAX_BYTES];
        yyjson_val *v = yyjson_arr_get(list.list, i);
        path_of(member, path, rung_json_str(v, "path", ""));
        if (!strcmp(member, path))
            st = rung_fail(err, RUNG_E_FORMAT, "\"%s\" is its own member", path);
        else if (!rung_json_str(v, "format", NULL))
            st = rung_reward_needs_base(yes, member, err);
    }
    yyjson_doc_free(list.doc);
    return st;
}

/* Making one -------------------------------------------------------------------------------------
 */

static void put_member(rung_buf *b, const rung_reward_ensemble_opts *o, size_t i,
                       const rung_reward *m) {
    rung_buf_str(b, i ? ",{\"path\":" : "{\"path\":");
    rung_buf_json_str(b, o->member[i], strlen(o->member[i]));
    rung_buf_printf(b, ",\"hash\":\"%s\"", rung_reward_hash(m));
    bool ours = m->file && rung_gguf_has(m->file, "rung.reward.format");
    if (o->format && m->kind == RUNG_REWARD_PRM_FORMAT && !ours) {
        rung_buf_str(b, ",\"format\":");
        rung_buf_json_str(b, o->format, strlen(o->format));
    }
    if (o->reference && m->format.score == REWARD_READOUT_LOG_RATIO) {
        rung_buf_str(b, ",\"reference\":");
        rung_buf_json_str(b, o->reference, strlen(o->reference));
    }
    rung_buf_str(b, "}");
}

/* E_MISMATCH and the like now, not when it is first used. */
static rung_status look_at_members(rung_buf *json, rung_reward *all,
                                   const rung_reward_ensemble_opts *o, rung_error *err) {
    rung_buf_str(json, "[");
    for (size_t i = 0; i < o->n_members; i++) {
        rung_reward_open_opts mo = RUNG_REWARD_OPEN_OPTS_INIT;
        char path[PATH_MAX_BYTES], reference[PATH_MAX_BYTES];
        path_of(path, o->out_path, o->member[i]);
        if (o->reference) path_of(reference, o->out_path, o->reference);
        mo.keys_only = true;
        mo.reference = o->reference ? reference : NULL;
        mo.log = o->log;
        rung_reward *m = NULL;
        rung_status st = rung_reward_open_as(&m, path, &mo, err);
        if (st == RUNG_E_FORMAT && o->format) { /* a whole model that does not say how it is read */
            mo.format = o->format;
            st = rung_reward_open_as(&m, path, &mo, err);
        }
        RUNG_TRY(st);
        st = fits(all, m, err);
        if (st != RUNG_OK) {
            rung_reward_free(m);
            return st;
        }
        put_member(json, o, i, m);
        all->member[all->n_members++] = m;
    }
    rung_buf_str(json, "]");
    return rung_buf_check(json, err);
}

static rung_status write_ensemble(const char *json, const rung_reward_ensemble_opts *o,
                                  rung_error *err) {
    rung_gguf_writer *w = rung_gguf_writer_new();
    if (!w) return rung_fail(err, RUNG_E_NOMEM, "no memory to write \"%s\"", o->out_path);
    rung_gguf_put_str(w, "general.architecture", "rung-reward");
    rung_gguf_put_str(w, "rung.reward.kind", rung_reward_kind_name(RUNG_REWARD_PRM_ENSEMBLE));
    rung_gguf_put_str(w, "rung.reward.version", "1");
    rung_gguf_put_str(w, "rung.reward.combine", rung_combine_name(o->combine));
    rung_gguf_put_str(w, "rung.reward.members", json);
    rung_gguf_put_str(w, "rung.reward.aggregate", rung_aggregate_name(o->aggregate));
    rung_status st = rung_gguf_write(w, o->out_path, err);
    rung_gguf_writer_free(w);
    return st;
}

rung_status rung_reward_ensemble(const rung_reward_ensemble_opts *o, rung_error *err) {
    if (!o || o->struct_size != sizeof *o)
        return rung_fail(err, RUNG_E_INVAL, "rung_reward_ensemble_opts of another size");
    if (!o->out_path || o->n_members < 1 || o->n_members > RUNG_ENSEMBLE_MAX ||
        (unsigned)o->combine >= RUNG_COMBINE_COUNT)
        return rung_fail(err, RUNG_E_INVAL, "an ensemble of %zu members: 1 to %d, and a path",
                         o->n_members, RUNG_ENSEMBLE_MAX);
    rung_buf json;
    rung_reward *member[RUNG_ENSEMBLE_MAX] = {NULL};
    rung_reward all = {.path = NULL, .member = member};
    rung_buf_init(&json, 1u << 20);
    rung_status st = look_at_members(&json, &all, o, err);
    if (st == RUNG_OK) st = write_ensemble(json.data, o, err);
    for (int32_t i = 0; i < all.n_members; i++) rung_reward_free(member[i]);
    rung_buf_clear(&json);
    return st;
}
