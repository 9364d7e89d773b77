/* PRM800K, both phases: a path with the other candidates of each place beside it (peers.md 2.1).
 * Ratings 1, 0, -1 are right, neutral, wrong; null is not judged. */
#include "format/row.h"
#include <string.h>

typedef struct level {
    yyjson_val *completions, *human, *chosen;
} level;

static rung_status rating_of(rung_mark *out, yyjson_val *v, size_t place, rung_error *err) {
    *out = RUNG_MARK_NONE;
    if (!v || yyjson_is_null(v)) return RUNG_OK;
    int64_t x = yyjson_is_int(v) ? yyjson_get_sint(v) : 2;
    if (x < -1 || x > 1)
        return rung_fail(err, RUNG_E_FORMAT, "a rating at step %zu is not -1, 0, 1 or null", place);
    *out = x > 0 ? RUNG_MARK_RIGHT : x < 0 ? RUNG_MARK_WRONG : RUNG_MARK_NEUTRAL;
    return RUNG_OK;
}

static rung_status add(rung_rated *out, yyjson_val *completion, int32_t parent, size_t place,
                       rung_error *err) {
    if (out->n_steps == FORMAT_STEPS_MAX)
        return rung_fail(err, RUNG_E_FORMAT, "more than %d completions", FORMAT_STEPS_MAX);
    rung_rated_step *s = &out->step[out->n_steps++];
    s->text = yyjson_get_str(yyjson_obj_get(completion, "text"));
    if (!s->text || !*s->text)
        return rung_fail(err, RUNG_E_FORMAT, "a completion of step %zu has no text", place);
    s->parent = parent;
    return rating_of(&s->mark, yyjson_obj_get(completion, "rating"), place, err);
}

/* One place: its completions, then the human one; *on: what the path goes on from. */
static rung_status take_level(rung_rated *out, const level *l, size_t place, int32_t *on,
                              rung_error *err) {
    int32_t first = out->n_steps, parent = *on;
    size_t k, n = yyjson_arr_size(l->completions);
    yyjson_val *v;
    yyjson_arr_foreach(l->completions, k, n, v) RUNG_TRY(add(out, v, parent, place, err));
    bool human = yyjson_is_obj(l->human);
    if (human) RUNG_TRY(add(out, l->human, parent, place, err));
    if (out->n_steps == first)
        return rung_fail(err, RUNG_E_FORMAT, "step %zu has no completion", place);
    if (yyjson_is_int(l->chosen)) {
        int64_t c = yyjson_get_sint(l->chosen);
        if (c < 0 || (size_t)c >= n)
            return rung_fail(err, RUNG_E_FORMAT, "step %zu chooses %lld of %zu completions", place,
                             (long long)c, n);
        *on = first + (int32_t)c;
    } else {
        *on = human ? out->n_steps - 1 : first;
    }
    return RUNG_OK;
}

/* What the record does not hold, place by place: [chosen_completion, human_completion or null,
 * [each completion]] without text and rating. */
static void put_place(rung_buf *b, const level *l) {
    static const char *const known[] = {"text", "rating"};
    size_t k, n;
    yyjson_val *v;
    if (yyjson_is_int(l->chosen))
        rung_buf_printf(b, "[%lld,", (long long)yyjson_get_sint(l->chosen));
    else
        rung_buf_str(b, "[null,");
    rung_rated side = RUNG_RATED_INIT;
    rung_arena *a = rung_arena_new(0);
    if (!a) b->failed = true;
    if (a && yyjson_is_obj(l->human) &&
        keep_rest(&side, "prm800k", l->human, known, 2, a, NULL) == RUNG_OK)
        rung_buf_str(b, side.extra ? side.extra : "{}");
    else
        rung_buf_str(b, "null");
    rung_buf_str(b, ",[");
    yyjson_arr_foreach(l->completions, k, n, v) {
        side = (rung_rated)RUNG_RATED_INIT;
        if (a && keep_rest(&side, "prm800k", v, known, 2, a, NULL) != RUNG_OK) b->failed = true;
        rung_buf_printf(b, "%s%s", k ? "," : "", side.extra ? side.extra : "{}");
    }
    rung_buf_str(b, "]]");
    rung_arena_free(a);
}

static rung_status take_steps(rung_rated *out, rung_buf *places, yyjson_val *steps, rung_arena *a,
                              rung_error *err) {
    size_t k, n;
    yyjson_val *v;
    int32_t on = -1;
    out->step = steps_new(FORMAT_STEPS_MAX, a, err);
    if (!out->step) return err->code;
    yyjson_arr_foreach(steps, k, n, v) {
        level l = {yyjson_obj_get(v, "completions"), yyjson_obj_get(v, "human_completion"),
                   yyjson_obj_get(v, "chosen_completion")};
        RUNG_TRY(take_level(out, &l, k, &on, err));
        rung_buf_str(places, k ? "," : "");
        put_place(places, &l);
    }
    out->last = on;
    return out->n_steps ? RUNG_OK : rung_fail(err, RUNG_E_FORMAT, "there are no steps");
}

static bool screening(yyjson_val *root) {
    return yyjson_get_bool(yyjson_obj_get(root, "is_quality_control_question")) ||
           yyjson_get_bool(yyjson_obj_get(root, "is_initial_screening_question"));
}

static rung_status keep(rung_rated *out, yyjson_val *root, const rung_buf *places, rung_arena *a,
                        rung_error *err) {
    rung_buf b;
    RUNG_TRY(KEEP_REST(out, "prm800k", root, a, err, "labeler", "question.problem",
                       "question.ground_truth_solution", "question.ground_truth_answer",
                       "label.steps"));
    rung_buf_init(&b, 4 * (size_t)FORMAT_LINE_MAX);
    obj_writer w = obj_open(&b);
    obj_extra(&w, out, "prm800k", NULL);
    obj_key(&w, "_places");
    rung_buf_printf(&b, "[%s]", places->data ? places->data : "");
    obj_close(&w);
    rung_status st = places->failed ? rung_buf_check(places, err) : rung_buf_check(&b, err);
    if (st == RUNG_OK) st = arena_text(&out->extra, a, b.data, b.n, err);
    out->extra_format = "prm800k";
    rung_buf_clear(&b);
    return st;
}

rung_status prm800k_read(rung_rated *out, yyjson_val *root, const char *key, rung_arena *a,
                         const rung_format_opts *o, rung_error *err) {
    (void)key;
    yyjson_val *question = yyjson_obj_get(root, "question"), *label = yyjson_obj_get(root, "label");
    yyjson_val *steps;
    rung_buf places;
    if (o->drop_screening && screening(root)) return RUNG_DONE;
    if (!yyjson_is_obj(question))
        return rung_fail(err, RUNG_E_FORMAT, "key \"question\" must be an object");
    if (!yyjson_is_obj(label))
        return rung_fail(err, RUNG_E_FORMAT, "key \"label\" must be an object");
    RUNG_TRY(field_text(&out->question, question, "problem", err));
    RUNG_TRY(field_text_opt(&out->solution, question, "ground_truth_solution", err));
    RUNG_TRY(field_text_opt(&out->answer, question, "ground_truth_answer", err));
    RUNG_TRY(field_text_opt(&out->labeler, root, "labeler", err));
    RUNG_TRY(field_array(&steps, label, "steps", err));
    rung_buf_init(&places, 4 * (size_t)FORMAT_LINE_MAX);
    rung_status st = take_steps(out, &places, steps, a, err);
    if (st == RUNG_OK) st = keep(out, root, &places, a, err);
    rung_buf_clear(&places);
    if (st == RUNG_OK) set_first_error(out);
    return st;
}

/* ---- writing */

static void put_completion(rung_buf *b, const rung_rated_step *s, yyjson_val *rest) {
    static const char *const rating[] = {"null", "1", "-1", "0"};
    obj_writer w = obj_open(b);
    obj_str(&w, "text", s->text);
    obj_key(&w, "rating");
    rung_buf_str(b, rating[s->mark]);
    obj_members_but(&w, rest, NULL, 0);
    if (!rest) obj_bool(&w, "flagged", false);
    obj_close(&w);
}

/* The place after `on`: all its continuations; returns where the path goes on, -1 at the end. */
static int32_t put_level(rung_buf *b, const rung_rated *r, int32_t on, const bool *on_path,
                         yyjson_val *place) {
    yyjson_val *human = yyjson_arr_get(place, 1), *rest = yyjson_arr_get(place, 2);
    size_t n_all = 0, k = 0;
    int32_t goes_on = -1, chosen = -1;
    for (int32_t j = on + 1; j < r->n_steps; j++) n_all += r->step[j].parent == on;
    bool has_human = yyjson_is_obj(human);
    size_t n = n_all - has_human;
    if (yyjson_arr_size(rest) != n) rest = NULL;
    rung_buf_str(b, "{\"completions\":[");
    for (int32_t j = on + 1; j < r->n_steps; j++) {
        if (r->step[j].parent != on) continue;
        if (on_path[j]) {
            goes_on = j;
            if (k < n) chosen = (int32_t)k;
        }
        if (k == n) rung_buf_str(b, "],\"human_completion\":");
        if (k && k < n) rung_buf_str(b, ",");
        put_completion(b, &r->step[j], k == n ? human : yyjson_arr_get(rest, k));
        k++;
    }
    if (!has_human) rung_buf_str(b, "],\"human_completion\":null");
    yyjson_val *said = yyjson_arr_get(place, 0);
    if (place ? yyjson_is_null(said)
              : goes_on == r->last && r->step[goes_on].mark == RUNG_MARK_WRONG)
        rung_buf_str(b, ",\"chosen_completion\":null}");
    else
        rung_buf_printf(b, ",\"chosen_completion\":%d}", chosen);
    return goes_on;
}

static rung_status put_steps(rung_buf *b, const rung_rated *r, yyjson_val *places,
                             rung_error *err) {
    bool *on_path = rung_calloc((size_t)r->n_steps + 1, sizeof *on_path);
    if (!on_path) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    for (int32_t at = r->last; at >= 0; at = r->step[at].parent) on_path[at] = true;
    rung_status st = RUNG_OK;
    for (int32_t k = 0; k < r->n_steps && st == RUNG_OK; k++) {
        int32_t up = r->step[k].parent;
        if (up >= 0 && (!on_path[up] || up == r->last))
            st = rung_fail(err, RUNG_E_FORMAT,
                           "step %d goes on off the row's own path, which prm800k cannot hold", k);
    }
    int32_t on = -1;
    for (size_t k = 0; st == RUNG_OK && on != r->last; k++) {
        if (k) rung_buf_str(b, ",");
        on = put_level(b, r, on, on_path, yyjson_arr_get(places, k));
    }
    rung_free(on_path);
    return st;
}

rung_status prm800k_write(rung_buf *b, const rung_rated *r, const rung_format_opts *o,
                          rung_error *err) {
    (void)o;
    if (r->last < 0) return rung_fail(err, RUNG_E_FORMAT, "there are no steps");
    yyjson_doc *own = extra_of(r, "prm800k");
    yyjson_val *root = yyjson_doc_get_root(own);
    obj_writer w = obj_open(b);
    obj_str_opt(&w, "labeler", r->labeler);
    obj_key(&w, "question");
    obj_writer q = obj_open(b);
    obj_str(&q, "problem", r->question);
    obj_str_opt(&q, "ground_truth_solution", r->solution);
    obj_str_opt(&q, "ground_truth_answer", r->answer);
    obj_extra(&q, r, "prm800k", "question");
    obj_close(&q);
    obj_key(&w, "label");
    obj_writer l = obj_open(b);
    obj_key(&l, "steps");
    rung_buf_str(b, "[");
    rung_status st = put_steps(b, r, yyjson_obj_get(root, "_places"), err);
    rung_buf_str(b, "]");
    obj_extra(&l, r, "prm800k", "label");
    if (!root) obj_str(&l, "finish_reason", r->first_error >= 0 ? "found_error" : "solution");
    obj_close(&l);
    static const char *const done[] = {"question", "label", "_places"};
    obj_members_but(&w, root, done, 3);
    obj_close(&w);
    yyjson_doc_free(own);
    return st;
}
