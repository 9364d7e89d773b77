/* rung verify retrieve: documents searched, answers judged by exact match and F1, recall. */
#include "cli/verify_rows.h"
#include "rung/embed.h"
#include "rung/retrieve.h"
#include "rung/verify.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *pooling_names(size_t i) {
    return rung_pooling_name((rung_pooling)i);
}

static const cli_opt retrieve_opts[] = {
    OPT_PATH("in", "", CLI_KEY,
             "JSON lines with \"gold\" and \"answer\" or \"text\", or \"query\" and \"support\"; - "
             "is standard input"),
    OPT_STR("gold", "", "TEXT", CLI_KEY, "the right answer of one pair; one of several a line"),
    OPT_STR("answer", "", "TEXT", CLI_KEY, "the answer to judge"),
    OPT_STR("text", "", "TEXT", CLI_KEY, "a whole solution, from which the answer is taken"),
    OPT_PATH("docs", "", CLI_KEY, "documents: JSON lines with \"id\", \"title\" and \"text\""),
    OPT_STR("query", "", "TEXT", CLI_KEY, "search the documents and print what is found"),
    OPT_INT("k", "5", "N", 1, 100, CLI_KEY, "passages per query"),
    OPT_INT("words", "100", "WORDS", 1, 100000, CLI_KEY, "words of a passage"),
    OPT_INT("overlap", "0", "WORDS", 0, 100000, CLI_KEY, "words that the next one repeats"),
    OPT_CHOICE("rank", "bm25", "bm25|dense|fused", CLI_KEY,
               "by words, by vectors of --embed, or both by reciprocal rank"),
    OPT_PATH("embed", "", CLI_NOTE, "GGUF file that gives the vectors"),
    OPT_NAMES("pooling", "auto", pooling_names, CLI_KEY, "how hidden states become one vector"),
    OPT_STR("query-prefix", "", "TEXT", CLI_KEY, "put before queries, as the model asks"),
    OPT_STR("passage-prefix", "", "TEXT", CLI_KEY, "put before passages"),
    OPT_BOOL("stored", "false", CLI_KEY,
             "judge the traces of the store that the filters name; without traces: recall of the "
             "problems' questions over all their documents"),
    OPT_CLI_WRITE,
    OPT_BOOL("explain", "false", CLI_KEY, "one pair: the words compared, and which are shared"),
};
const cli_group cli_verify_retrieve_group = CLI_GROUP_OF("verify retrieve", retrieve_opts);

enum { GOLD_MAX = 64 };
typedef struct seeker {
    cli_call *c;
    const rung_verifier *v;
    rung_index *x; /* NULL: no documents */
    rung_model *m;
    rung_embedder *e;
    rung_embed_fn fn;
    rung_rank by;
    int32_t k;
    rung_arena *a;
    bool explain;
    int64_t n_qa, n_em, n_recall;
    double f1, recall;
} seeker;

/* ---- answers ---- */

typedef struct gold_list {
    const char *at[GOLD_MAX];
    int32_t n;
} gold_list;

/* A string (one reference a line) or an array of strings. */
static rung_status read_gold(gold_list *g, rung_buf *joined, rung_arena *a, yyjson_val *v,
                             const char *text, rung_error *err) {
    size_t i, max;
    yyjson_val *one;
    g->n = 0;
    yyjson_arr_foreach(v, i, max, one) {
        if (!yyjson_is_str(one) || g->n == GOLD_MAX)
            return rung_fail(err, RUNG_E_FORMAT, "\"gold\" must be up to %d strings", GOLD_MAX);
        g->at[g->n++] = yyjson_get_str(one);
    }
    for (const char *p = text ? text : ""; *p && g->n < GOLD_MAX;) {
        size_t n = strcspn(p, "\n");
        char *copy = n ? rung_arena_strndup(a, p, n) : NULL;
        if (copy) g->at[g->n++] = copy;
        p += n;
        p += strspn(p, "\n");
    }
    for (int32_t k = 0; k < g->n; k++) {
        if (k) rung_buf_str(joined, "\n");
        rung_buf_str(joined, g->at[k]);
    }
    if (g->n == 0) return rung_fail(err, RUNG_E_FORMAT, "no reference answer");
    return rung_buf_check(joined, err);
}

/* Both sides as they are compared, and the words that they share. */
static void explain_answer(rung_buf *out, const gold_list *g, const char *answer) {
    rung_buf w;
    rung_buf_init(&w, 1 << 20);
    rung_qa_normal(&w, answer);
    rung_buf_printf(out, "answer: %s\n", w.data ? w.data : "");
    for (int32_t i = 0; i < g->n; i++) {
        rung_buf one;
        rung_qa qa;
        rung_buf_init(&one, 1 << 20);
        rung_qa_normal(&one, g->at[i]);
        if (rung_qa_score(&qa, &g->at[i], 1, answer))
            rung_buf_printf(out,
                            "gold: %s\n  %s; words of the answer in it %.4f, of it found %.4f\n",
                            one.data ? one.data : "", qa.em ? "the same" : "not the same",
                            qa.precision, qa.recall);
        rung_buf_clear(&one);
    }
    rung_buf_clear(&w);
}

static rung_status judge_answer(rung_buf *members, rung_check *check, seeker *s, yyjson_val *list,
                                const char *gold, const char *answer, const char *text,
                                const cli_case *k, rung_error *err) {
    rung_answer found = {{0}, "given", false};
    rung_buf joined;
    gold_list g;
    rung_qa qa;
    char key[128];
    double t0 = rung_now();
    if (!answer) {
        s->v->extract(&found, text, strlen(text));
        answer = found.text;
    }
    rung_buf_init(&joined, 1 << 20);
    rung_arena_reset(s->a);
    rung_status st = read_gold(&g, &joined, s->a, list, gold, err);
    if (st == RUNG_OK && !rung_qa_score(&qa, g.at, g.n, answer))
        st = rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (st == RUNG_OK) {
        s->v->check(check, joined.data, answer);
        s->v->key(key, answer);
        double us = (rung_now() - t0) * 1e6;
        s->n_qa++;
        s->n_em += qa.em;
        s->f1 += qa.f1;
        cli_case_str(members, "gold", joined.data);
        cli_case_str(members, "answer", answer);
        cli_case_str(members, "extracted_by", found.rule);
        cli_case_str(members, "rule", check->rule);
        cli_case_str(members, "reason", check->reason);
        rung_buf_printf(members, ",\"em\":%s,\"f1\":%.4f,\"precision\":%.4f,\"recall\":%.4f",
                        qa.em ? "true" : "false", qa.f1, qa.precision, qa.recall);
        cli_case_str(members, "key", key);
        rung_buf_printf(members, ",\"flexible\":%s,\"us\":%.1f", found.flexible ? "true" : "false",
                        us);
        cli_case_str(members, "verifier", s->v->name);
        cli_case_str(members, "version", s->v->version);
        if (s->explain) {
            rung_buf why;
            rung_buf_init(&why, 4u << 20);
            explain_answer(&why, &g, answer);
            cli_case_str(members, "explain", why.data);
            rung_buf_clear(&why);
        }
        if (k) st = cli_case_keep(k, &found, key, check, s->v->version, us, err);
    }
    rung_buf_clear(&joined);
    return st;
}

/* ---- searches ---- */

static void hits_json(rung_buf *b, const rung_hit *hit, int32_t n) {
    rung_buf_str(b, ",\"hits\":[");
    for (int32_t i = 0; i < n; i++) {
        rung_buf_str(b, i ? ",{\"id\":" : "{\"id\":");
        rung_buf_json_str(b, hit[i].id, strlen(hit[i].id));
        cli_case_str(b, "title", hit[i].title);
        rung_buf_printf(b, ",\"passage\":%d,\"score\":%.6g,\"rank_bm25\":%d,\"rank_dense\":%d",
                        hit[i].passage, hit[i].score, hit[i].rank_bm25, hit[i].rank_dense);
        cli_case_str(b, "snippet", hit[i].snippet);
        rung_buf_str(b, "}");
    }
    rung_buf_str(b, "]");
}

/* Recall@k of the documents in `support` for a query. */
/* Two searches that found the same documents in the same order are one class; "" nothing found. */
static rung_status hits_key(char key[40], const rung_hit *hit, int32_t n, rung_error *err) {
    rung_buf ids;
    rung_buf_init(&ids, 16u << 20);
    for (int32_t i = 0; i < n; i++) rung_buf_printf(&ids, "%s\n", hit[i].id);
    rung_status st = rung_buf_check(&ids, err);
    key[0] = '\0';
    if (st == RUNG_OK && n > 0) {
        memcpy(key, "d#", 2);
        rung_hash_hex(key + 2, ids.data, ids.n);
    }
    rung_buf_clear(&ids);
    return st;
}

static rung_status judge_search(rung_buf *members, rung_verdict *verdict, seeker *s,
                                const char *query, yyjson_val *support, rung_error *err) {
    const char *want[GOLD_MAX];
    int32_t n_want = 0, n = 0;
    rung_hit *hit;
    size_t i, max;
    yyjson_val *one;
    yyjson_arr_foreach(support, i, max, one) {
        if (!yyjson_is_str(one) || n_want == GOLD_MAX)
            return rung_fail(err, RUNG_E_FORMAT, "\"support\" must be up to %d document ids",
                             GOLD_MAX);
        want[n_want++] = yyjson_get_str(one);
    }
    char key[40];
    rung_arena_reset(s->a);
    double t0 = rung_now();
    RUNG_TRY(rung_index_search(&hit, &n, s->a, s->x, query, s->k, s->by, err));
    double us = (rung_now() - t0) * 1e6;
    RUNG_TRY(hits_key(key, hit, n, err));
    double r = rung_recall(hit, n, want, n_want);
    if (n_want > 0) {
        s->n_recall++;
        s->recall += r;
        bool all = r >= 1;
        *verdict = all ? RUNG_VERDICT_CORRECT : RUNG_VERDICT_WRONG;
        rung_buf_printf(members, ",\"recall\":%.4f", r);
    }
    cli_case_str(members, "rule", n_want > 0 ? "recall" : "");
    cli_case_str(members, "reason", n_want > 0 ? "" : "no supporting documents are named");
    cli_case_str(members, "key", key);
    rung_buf_printf(members, ",\"us\":%.1f", us);
    cli_case_str(members, "query", query);
    hits_json(members, hit, n);
    return RUNG_OK;
}

static rung_status judge_case(rung_buf *members, rung_verdict *verdict, const cli_case *k, void *ud,
                              rung_error *err) {
    seeker *s = ud;
    rung_check check;
    if (!k->row) {
        RUNG_TRY(judge_answer(members, &check, s, NULL, k->p->answer, NULL, k->t->text, k, err));
        *verdict = check.verdict;
        return RUNG_OK;
    }
    yyjson_val *gold = yyjson_obj_get(k->row, "gold");
    const char *answer = rung_json_str(k->row, "answer", NULL);
    const char *text = rung_json_str(k->row, "text", NULL);
    const char *query = rung_json_str(k->row, "query", NULL);
    if (gold && (answer || text)) {
        RUNG_TRY(
            judge_answer(members, &check, s, gold, yyjson_get_str(gold), answer, text, k, err));
        *verdict = check.verdict;
        return RUNG_OK;
    }
    if (!query)
        return rung_fail(err, RUNG_E_FORMAT,
                         "needs \"gold\" and \"answer\" or \"text\", or a \"query\"");
    if (!s->x) return rung_fail(err, RUNG_E_FORMAT, "a query, but no documents: name --docs");
    return judge_search(members, verdict, s, query, yyjson_obj_get(k->row, "support"), err);
}

static void sums(cli_call *c, void *ud) {
    const seeker *s = ud;
    if (s->n_qa > 0) {
        cli_result_int(c, "n_em", s->n_em);
        cli_result_real(c, "em", (double)s->n_em / (double)s->n_qa);
        cli_result_real(c, "f1", s->f1 / (double)s->n_qa);
    }
    if (s->n_recall > 0) {
        cli_result_int(c, "k", s->k);
        cli_result_real(c, "recall", s->recall / (double)s->n_recall);
    }
}

/* ---- one query, one pair ---- */

static rung_status show_hits(cli_call *c, seeker *s, const char *query, rung_error *err) {
    rung_hit *hit;
    int32_t n;
    rung_buf b;
    RUNG_TRY(rung_index_search(&hit, &n, s->a, s->x, query, s->k, s->by, err));
    rung_buf_str(&c->result, "{\"v\":1");
    cli_case_str(&c->result, "query", query);
    hits_json(&c->result, hit, n);
    rung_buf_str(&c->result, "}");
    if (c->app->json) return RUNG_OK;
    rung_buf_init(&b, 64u << 20);
    for (int32_t i = 0; i < n; i++) {
        rung_buf_printf(&b, "%8.4f  ", hit[i].score);
        cli_clean(&b, hit[i].id, strlen(hit[i].id));
        rung_buf_str(&b, "  ");
        cli_clean(&b, hit[i].snippet, strlen(hit[i].snippet));
        rung_buf_str(&b, "\n");
    }
    rung_status st = rung_buf_check(&b, err);
    if (st == RUNG_OK && n > 0) st = cli_out(c->app, b.data, b.n, err);
    rung_buf_clear(&b);
    if (st == RUNG_OK && n == 0) st = rung_fail(err, RUNG_E_ANSWER_NO, "nothing found");
    return st;
}

/* The "explain" member of a pair's object, as text. */
static rung_status say_explained(cli_call *c, const char *members, rung_error *err) {
    rung_buf whole, shown;
    rung_buf_init(&whole, 64u << 20);
    rung_buf_init(&shown, 64u << 20);
    rung_buf_printf(&whole, "{%s}", members + 1);
    yyjson_doc *doc = whole.failed ? NULL : yyjson_read(whole.data, whole.n, 0);
    const char *why = rung_json_str(yyjson_doc_get_root(doc), "explain", "");
    cli_clean(&shown, why, strlen(why));
    rung_status st = rung_buf_check(&shown, err);
    if (st == RUNG_OK && shown.n > 0) st = cli_out(c->app, shown.data, shown.n, err);
    yyjson_doc_free(doc);
    rung_buf_clear(&whole);
    rung_buf_clear(&shown);
    return st;
}

static rung_status one_pair(cli_call *c, seeker *s, rung_error *err) {
    const char *gold = cli_str(c, "gold"), *answer = cli_str(c, "answer");
    const char *text = cli_str(c, "text"), *query = cli_str(c, "query");
    rung_check check;
    rung_buf b;
    if (query) {
        if (!s->x) return rung_fail(err, RUNG_E_INVAL, "a query needs --docs FILE");
        return show_hits(c, s, query, err);
    }
    if (!gold || (!answer && !text)) {
        rung_fail(err, RUNG_E_INVAL, "a pair needs --gold and --answer or --text");
        return rung_error_hint(err, "or --docs FILE and --query TEXT, --in FILE, --stored");
    }
    rung_buf_init(&b, 64u << 20);
    rung_status st = judge_answer(&b, &check, s, NULL, gold, answer, text, NULL, err);
    if (st == RUNG_OK) st = rung_buf_check(&b, err);
    if (st == RUNG_OK && s->explain && !c->app->json) st = say_explained(c, b.data, err);
    if (st == RUNG_OK) {
        rung_buf_printf(&c->result, "{\"v\":1,\"verdict\":\"%s\"%s}",
                        rung_verdict_name(check.verdict), b.data);
        st = cli_verify_end(c, check.verdict, check.rule, check.reason, err);
    }
    rung_buf_clear(&b);
    return st;
}

/* ---- documents of stored problems ---- */

/* meta {"docs": [{"id","title","text"}], "support": [ids]}: ids are the problem's own, so each is
 * known as KEY/ID here. */
static rung_status add_docs(seeker *s, const rung_problem *p, yyjson_val *meta, rung_error *err) {
    size_t i, max;
    yyjson_val *d;
    yyjson_arr_foreach(yyjson_obj_get(meta, "docs"), i, max, d) {
        char id[300];
        snprintf(id, sizeof id, "%.200s/%.90s", p->key, rung_json_str(d, "id", ""));
        RUNG_TRY(rung_index_add(s->x, id, rung_json_str(d, "title", ""),
                                rung_json_str(d, "text", ""), err));
    }
    return RUNG_OK;
}

static rung_status ask_problem(seeker *s, const rung_problem *p, yyjson_val *meta,
                               rung_error *err) {
    rung_buf ids, line;
    rung_verdict v = RUNG_VERDICT_UNKNOWN;
    size_t i, max;
    yyjson_val *one;
    rung_buf_init(&ids, 1 << 20);
    rung_buf_init(&line, 64u << 20);
    rung_buf_str(&ids, "[");
    yyjson_arr_foreach(yyjson_obj_get(meta, "support"), i, max, one) {
        char id[300];
        int n = snprintf(id, sizeof id, "%.200s/%.90s", p->key,
                         yyjson_is_str(one) ? yyjson_get_str(one) : "");
        if (i) rung_buf_str(&ids, ",");
        rung_buf_json_str(&ids, id, (size_t)n);
    }
    rung_buf_str(&ids, "]");
    yyjson_doc *doc = ids.failed ? NULL : yyjson_read(ids.data, ids.n, 0);
    rung_buf members;
    rung_buf_init(&members, 64u << 20);
    rung_status st = doc ? judge_search(&members, &v, s, p->question, yyjson_doc_get_root(doc), err)
                         : rung_fail(err, RUNG_E_NOMEM, "out of memory");
    yyjson_doc_free(doc);
    if (st == RUNG_OK) st = rung_buf_check(&members, err);
    if (st == RUNG_OK) {
        rung_buf_printf(&line, "{\"v\":1,\"verdict\":\"%s\",\"problem\":%lld%s}\n",
                        rung_verdict_name(v), (long long)p->id, members.data);
        st = cli_out(s->c->app, line.data, line.n, err);
    }
    rung_buf_clear(&members), rung_buf_clear(&ids), rung_buf_clear(&line);
    return st;
}

/* Twice over the problems: first their documents, then their questions. */
static rung_status walk(seeker *s, rung_store *store, const rung_filter *f, bool ask, int64_t *n,
                        rung_error *err) {
    rung_iter *it = NULL;
    const rung_problem *p;
    rung_status st = rung_problem_iter(&it, store, f, err);
    while (st == RUNG_OK && (st = rung_problem_next(&p, it, err)) == RUNG_OK) {
        yyjson_doc *doc = yyjson_read(p->meta, strlen(p->meta), 0);
        yyjson_val *meta = yyjson_doc_get_root(doc);
        if (yyjson_is_arr(yyjson_obj_get(meta, "docs"))) {
            st = ask ? ask_problem(s, p, meta, err) : add_docs(s, p, meta, err);
            ++*n;
        }
        yyjson_doc_free(doc);
    }
    rung_iter_free(it);
    return st == RUNG_DONE ? RUNG_OK : st;
}

static rung_status stored_recall(cli_call *c, seeker *s, rung_store *store, const rung_filter *f,
                                 double t0, rung_error *err) {
    int64_t n = 0, asked = 0;
    RUNG_TRY(walk(s, store, f, false, &n, err));
    if (n == 0) {
        rung_fail(err, RUNG_E_NOT_FOUND, "no problem with documents matches");
        return rung_error_hint(err, "look at --set and --split");
    }
    RUNG_TRY(walk(s, store, f, true, &asked, err));
    cli_result_open(c, NULL);
    cli_result_int(c, "n", asked);
    cli_result_int(c, "n_passages", rung_index_count(s->x));
    sums(c, s);
    cli_result_close(c, t0);
    rung_buf_printf(&c->summary, "%lld questions over %lld passages: recall@%d %.3f",
                    (long long)asked, (long long)rung_index_count(s->x), s->k,
                    s->n_recall ? s->recall / (double)s->n_recall : (double)NAN);
    return RUNG_OK;
}

static rung_status stored(cli_call *c, seeker *s, rung_error *err) {
    rung_store *store;
    rung_filter f;
    rung_iter *it = NULL;
    const rung_trace *t;
    double t0 = rung_now();
    RUNG_TRY(cli_store(&store, c, cli_flag(c, "write") ? 0 : RUNG_STORE_READ_ONLY, err));
    RUNG_TRY(cli_filter(&f, c, store, err));
    RUNG_TRY(rung_trace_iter(&it, store, &f, err));
    rung_status st = rung_trace_next(&t, it, err);
    rung_iter_free(it);
    if (st == RUNG_OK) return cli_verify_stored(c, "qa", judge_case, sums, s, err);
    if (st != RUNG_DONE) return st;
    return stored_recall(c, s, store, &f, t0, err);
}

static rung_status open_embedder(seeker *s, cli_call *c, rung_error *err) {
    rung_model_opts mo = RUNG_MODEL_OPTS_INIT;
    rung_embedder_opts eo = RUNG_EMBEDDER_OPTS_INIT;
    const char *path = cli_str(c, "embed");
    if (!path)
        return rung_fail(err, RUNG_E_INVAL, "--rank %s needs --embed FILE", cli_str(c, "rank"));
    RUNG_TRY(rung_model_load(&s->m, path, &mo, err));
    for (int p = 0; p < RUNG_POOLING_COUNT; p++)
        if (strcmp(rung_pooling_name((rung_pooling)p), cli_str(c, "pooling")) == 0)
            eo.pooling = (rung_pooling)p;
    eo.n_threads = c->app->threads;
    eo.query_prefix = cli_str(c, "query-prefix");
    eo.passage_prefix = cli_str(c, "passage-prefix");
    RUNG_TRY(rung_embedder_new(&s->e, s->m, &eo, err));
    s->fn = (rung_embed_fn){rung_embedder_run, s->e, rung_embedder_dim(s->e)};
    return RUNG_OK;
}

static rung_status open_index(seeker *s, cli_call *c, rung_error *err) {
    rung_index_opts o = RUNG_INDEX_OPTS_INIT;
    const char *docs = cli_str(c, "docs"), *rank = cli_str(c, "rank");
    int64_t n = 0;
    s->v = rung_verifier_find("qa");
    s->explain = cli_flag(c, "explain");
    s->k = (int32_t)cli_int(c, "k");
    s->by = strcmp(rank, "dense") == 0   ? RUNG_RANK_DENSE
            : strcmp(rank, "fused") == 0 ? RUNG_RANK_FUSED
                                         : RUNG_RANK_BM25;
    s->a = rung_arena_new(0);
    if (!s->a) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
    if (!docs && !cli_flag(c, "stored")) return RUNG_OK;
    if (s->by != RUNG_RANK_BM25) RUNG_TRY(open_embedder(s, c, err));
    o.words = (int32_t)cli_int(c, "words");
    o.overlap = (int32_t)cli_int(c, "overlap");
    o.embed = s->e ? &s->fn : NULL;
    RUNG_TRY(rung_index_new(&s->x, NULL, &o, err));
    if (!docs) return RUNG_OK;
    RUNG_TRY(rung_index_add_file(&n, s->x, docs, err));
    cli_say(c->app, "%lld documents, %lld passages", (long long)n,
            (long long)rung_index_count(s->x));
    return RUNG_OK;
}

rung_status cli_verify_retrieve(cli_call *c, rung_error *err) {
    seeker s = {.c = c};
    const char *path = cli_str(c, "in");
    rung_status st = open_index(&s, c, err);
    if (st == RUNG_OK) {
        if (path)
            st = cli_verify_file(c, path, judge_case, sums, &s, err);
        else if (cli_flag(c, "stored"))
            st = stored(c, &s, err);
        else
            st = one_pair(c, &s, err);
    }
    rung_index_free(s.x);
    rung_embedder_free(s.e);
    rung_model_free(s.m);
    rung_arena_free(s.a);
    return st;
}
