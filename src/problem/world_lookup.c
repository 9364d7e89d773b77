/* World `lookup`: questions over a small set of documents; the answer stands at the end of a chain
 * of facts, each in the document of the thing before it.
 *
 * People, companies and towns have a document each: the facts of their relations and one more that
 * leads nowhere. A question names a person and walks 2 to 4 relations. The solution quotes the
 * sentences of the chain with their documents; the checker knows the documents. */
#include "base/json.h"
#include "problem/world_docs.h"
#include "rung/retrieve.h"
#include <string.h>

enum { N_PEOPLE = 6, N_COMPANIES = 4, N_TOWNS = 5, N_REGIONS = 4, NAME_SIZE = 40, HOPS_MAX = 4 };
enum { LOOKUP_COLUMN = 101 }; /* of the draws: worlds that are no chains begin at 100 */

typedef struct graph {
    char person[N_PEOPLE][NAME_SIZE], company[N_COMPANIES][NAME_SIZE];
    char town[N_TOWNS][NAME_SIZE], region[N_REGIONS][NAME_SIZE];
    int employer[N_PEOPLE], birth[N_PEOPLE], seat[N_COMPANIES], founder[N_COMPANIES];
    int lies[N_TOWNS], mayor[N_TOWNS];
    int year[N_COMPANIES], bridges[N_TOWNS], age[N_PEOPLE];
} graph;

typedef enum { AT_PERSON, AT_COMPANY, AT_TOWN, AT_REGION } place;
typedef enum { BY_EMPLOYER, BY_BIRTH, BY_SEAT, BY_FOUNDER, BY_REGION, BY_MAYOR } relation;
typedef struct route {
    int n;
    relation by[HOPS_MAX];
    const char *ask; /* %s: the person */
} route;
static const route routes[] = {
    {2, {BY_EMPLOYER, BY_SEAT}, "In which town does the company that employs %s have its seat?"},
    {2, {BY_EMPLOYER, BY_FOUNDER}, "Who founded the company that employs %s?"},
    {2, {BY_BIRTH, BY_REGION}, "In which region lies the town where %s was born?"},
    {2, {BY_BIRTH, BY_MAYOR}, "Who is the mayor of the town where %s was born?"},
    {3,
     {BY_EMPLOYER, BY_SEAT, BY_REGION},
     "In which region does the company that employs %s have its seat?"},
    {3,
     {BY_EMPLOYER, BY_FOUNDER, BY_BIRTH},
     "In which town was the founder of the company that employs %s born?"},
    {3,
     {BY_BIRTH, BY_MAYOR, BY_EMPLOYER},
     "Which company employs the mayor of the town where %s was born?"},
    {4,
     {BY_EMPLOYER, BY_FOUNDER, BY_BIRTH, BY_REGION},
     "In which region lies the town where the founder of the company that employs %s was born?"},
    {4,
     {BY_EMPLOYER, BY_SEAT, BY_MAYOR, BY_BIRTH},
     "In which town was the mayor of the town born where the company that employs %s has its "
     "seat?"},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

/* ---- drawing ---- */

static const char *const heads[] = {"Bar", "Cal", "Dor", "Eld", "Fen", "Gal", "Hol", "Ive",
                                    "Jor", "Kel", "Lun", "Mar", "Nor", "Ost", "Pel", "Quin",
                                    "Ros", "Sal", "Tor", "Ul",  "Ver", "Wil", "Yar", "Zel"};
static const char *const middles[] = {"a",  "an", "ar", "e",  "el", "en", "i",  "il",
                                      "in", "o",  "ol", "or", "u",  "ul", "um", "y"};
static const char *const town_ends[] = {"by", "ford", "ham", "mouth", "stad", "vik", "wick", "dal"};
static const char *const company_ends[] = {"tec", "trans", "ware", "works", "lux", "mar", "dyne"};
static const char *const region_ends[] = {"land", "mark", "shire", "ia"};
static const char *const last_ends[] = {"sen", "berg", "man", "well", "ley", "ridge", "sson"};
static const char *const first_ends[] = {"a", "o", "us", "ine", "ette", "is", "ard"};

#define PICK(r, list) (list)[rung_rng_below((r), sizeof(list) / sizeof *(list))]

static void word(rung_buf *b, rung_rng *r, const char *end) {
    rung_buf_printf(b, "%s%s%s", PICK(r, heads), PICK(r, middles), end);
}

/* A name that no other thing of the graph has a word of. */
static void name(char out[NAME_SIZE], rung_rng *r, place at, const rung_buf *taken) {
    rung_buf b;
    for (;;) {
        rung_buf_init(&b, NAME_SIZE);
        if (at == AT_PERSON) {
            word(&b, r, PICK(r, first_ends));
            rung_buf_str(&b, " ");
        }
        word(&b, r,
             at == AT_PERSON    ? PICK(r, last_ends)
             : at == AT_COMPANY ? PICK(r, company_ends)
             : at == AT_TOWN    ? PICK(r, town_ends)
                                : PICK(r, region_ends));
        bool fits = !b.failed && b.n + 1 < NAME_SIZE;
        if (fits) memcpy(out, b.data, b.n + 1);
        rung_buf_clear(&b);
        if (!fits) continue;
        const char *gap = strchr(out, ' ');
        char first[NAME_SIZE] = "";
        if (gap) memcpy(first, out, (size_t)(gap - out));
        bool seen = taken->n > 0 && (strstr(taken->data, gap ? gap + 1 : out) ||
                                     (gap && strstr(taken->data, first)));
        if (!seen) return;
    }
}

static void draw_names(char (*out)[NAME_SIZE], int n, rung_rng *r, place at, rung_buf *taken) {
    for (int i = 0; i < n; i++) {
        name(out[i], r, at, taken);
        rung_buf_printf(taken, "%s\n", out[i]);
    }
}

static int below(rung_rng *r, int n) {
    return (int)rung_rng_below(r, (uint64_t)n);
}

static int other(rung_rng *r, int n, int than) {
    int k = below(r, n - 1);
    return k + (k >= than);
}

static bool draw_graph(graph *g, rung_rng *r) {
    rung_buf taken;
    rung_buf_init(&taken, 1 << 16);
    rung_buf_append(&taken, "", 0);
    draw_names(g->person, N_PEOPLE, r, AT_PERSON, &taken);
    draw_names(g->company, N_COMPANIES, r, AT_COMPANY, &taken);
    draw_names(g->town, N_TOWNS, r, AT_TOWN, &taken);
    draw_names(g->region, N_REGIONS, r, AT_REGION, &taken);
    bool ok = !taken.failed;
    rung_buf_clear(&taken);
    for (int i = 0; i < N_PEOPLE; i++) {
        g->employer[i] = below(r, N_COMPANIES);
        g->birth[i] = below(r, N_TOWNS);
        g->age[i] = 25 + below(r, 50);
    }
    for (int i = 0; i < N_COMPANIES; i++) {
        g->seat[i] = below(r, N_TOWNS);
        g->founder[i] = below(r, N_PEOPLE);
        g->year[i] = 1900 + below(r, 120);
    }
    for (int i = 0; i < N_TOWNS; i++) {
        g->lies[i] = below(r, N_REGIONS);
        g->mayor[i] = below(r, N_PEOPLE);
        g->bridges[i] = 2 + below(r, 9);
    }
    /* nobody works for a company of their own, or for the mayor: chains do not turn back */
    for (int i = 0; i < N_PEOPLE; i++)
        if (g->founder[g->employer[i]] == i) g->employer[i] = other(r, N_COMPANIES, g->employer[i]);
    return ok;
}

/* ---- facts ---- */

static place place_after(relation by) {
    return by == BY_EMPLOYER                 ? AT_COMPANY
           : by == BY_BIRTH || by == BY_SEAT ? AT_TOWN
           : by == BY_REGION                 ? AT_REGION
                                             : AT_PERSON;
}

static int follow(const graph *g, relation by, int from) {
    const int *const table[] = {g->employer, g->birth, g->seat, g->founder, g->lies, g->mayor};
    return table[by][from];
}

static const char *name_at(const graph *g, place at, int i) {
    return at == AT_PERSON    ? g->person[i]
           : at == AT_COMPANY ? g->company[i]
           : at == AT_TOWN    ? g->town[i]
                              : g->region[i];
}

static void fact(rung_buf *b, const graph *g, relation by, int from) {
    static const char *const says[] = {"%s works for %s.",       "%s was born in %s.",
                                       "%s has its seat in %s.", "%s was founded by %s.",
                                       "%s lies in %s.",         "The mayor of %s is %s."};
    static const place of[] = {AT_PERSON, AT_PERSON, AT_COMPANY, AT_COMPANY, AT_TOWN, AT_TOWN};
    const char *a = name_at(g, of[by], from), *c = name_at(g, place_after(by), follow(g, by, from));
    const char *p = says[by];
    for (int k = 0; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            rung_buf_str(b, k++ ? c : a);
            p++;
        } else {
            rung_buf_append(b, p, 1);
        }
    }
}

/* "p2", "c0", "t4": the document of a thing. */
static void doc_id(char out[8], place at, int i) {
    out[0] = at == AT_PERSON ? 'p' : at == AT_COMPANY ? 'c' : 't';
    out[1] = (char)('0' + i);
    out[2] = '\0';
}

static void doc_text(rung_buf *b, const graph *g, place at, int i) {
    rung_buf_reset(b);
    if (at == AT_PERSON) {
        fact(b, g, BY_BIRTH, i);
        rung_buf_printf(b, " %s is %d years old. ", g->person[i], g->age[i]);
        fact(b, g, BY_EMPLOYER, i);
    } else if (at == AT_COMPANY) {
        rung_buf_printf(b, "%s began in %d. ", g->company[i], g->year[i]);
        fact(b, g, BY_FOUNDER, i);
        rung_buf_str(b, " ");
        fact(b, g, BY_SEAT, i);
    } else {
        fact(b, g, BY_REGION, i);
        rung_buf_printf(b, " %s has %d bridges. ", g->town[i], g->bridges[i]);
        fact(b, g, BY_MAYOR, i);
    }
}

static void docs_json(rung_buf *out, const graph *g) {
    static const struct {
        place at;
        int n;
    } kinds[] = {{AT_PERSON, N_PEOPLE}, {AT_COMPANY, N_COMPANIES}, {AT_TOWN, N_TOWNS}};
    rung_buf text;
    bool first = true;
    rung_buf_init(&text, 1 << 16);
    for (size_t k = 0; k < 3; k++) {
        for (int i = 0; i < kinds[k].n; i++) {
            char id[8];
            const char *title = name_at(g, kinds[k].at, i);
            doc_id(id, kinds[k].at, i);
            doc_text(&text, g, kinds[k].at, i);
            rung_buf_printf(out, "%s{\"id\":\"%s\",\"title\":", first ? "" : ",", id);
            rung_buf_json_str(out, title, strlen(title));
            rung_buf_str(out, ",\"text\":");
            rung_buf_json_str(out, text.data, text.n);
            rung_buf_str(out, "}");
            first = false;
        }
    }
    if (text.failed) out->failed = true;
    rung_buf_clear(&text);
}

/* ---- problems ---- */

static void ask(rung_buf *q, const char *text, const char *who) {
    const char *at = strstr(text, "%s");
    rung_buf_append(q, text, (size_t)(at - text));
    rung_buf_str(q, who);
    rung_buf_str(q, at + 2);
    rung_buf_str(q, "\n");
}

static const route *draw_route(rung_rng *r, int32_t lo, int32_t hi) {
    for (;;) {
        const route *t = &PICK(r, routes);
        if (t->n >= lo && t->n <= hi) return t;
    }
}

/* A chain that meets no thing twice, so that no fact of it can be left out. */
static bool straight(const graph *g, const route *t, int person) {
    bool seen[4][N_PEOPLE + N_TOWNS] = {{false}};
    place at = AT_PERSON;
    int i = person;
    seen[at][i] = true;
    for (int k = 0; k < t->n; k++) {
        i = follow(g, t->by[k], i);
        at = place_after(t->by[k]);
        if (seen[at][i]) return false;
        seen[at][i] = true;
    }
    return true;
}

static rung_status hops_of(int32_t *lo, int32_t *hi, const rung_world_opts *o, rung_error *err) {
    *lo = o && o->steps_min > 0 ? o->steps_min : 2;
    *hi = o && o->steps_max > 0 ? o->steps_max : 3;
    if (o && o->steps_max <= 0 && *hi < *lo) *hi = *lo;
    if (o && o->steps_min <= 0 && *lo > *hi) *lo = *hi;
    if (*lo < 2 || *hi > HOPS_MAX || *lo > *hi)
        return rung_fail(err, RUNG_E_INVAL, "lookup takes %d..%d hops: need 2 <= min <= max <= %d",
                         *lo, *hi, HOPS_MAX);
    return RUNG_OK;
}

rung_status lookup_make(rung_buf *question, rung_buf *answer, rung_buf *solution, rung_buf *meta,
                        const rung_world_opts *o, uint64_t i, rung_error *err) {
    int32_t lo, hi;
    graph g;
    RUNG_TRY(hops_of(&lo, &hi, o, err));
    uint64_t seed = o ? o->seed : 0;
    rung_rng r = rung_rng_at(seed, RUNG_STREAM_WORLD, i, LOOKUP_COLUMN);
    const route *t;
    int person;
    do {
        if (!draw_graph(&g, &r)) return rung_fail(err, RUNG_E_NOMEM, "out of memory");
        t = draw_route(&r, lo, hi);
        person = below(&r, N_PEOPLE);
    } while (!straight(&g, t, person));
    ask(question, t->ask, g.person[person]);
    rung_buf_printf(meta,
                    "{\"v\":1,\"world\":\"lookup\",\"seed\":%llu,\"i\":%llu,\"hops\":%d,"
                    "\"support\":[",
                    (unsigned long long)seed, (unsigned long long)i, t->n);
    place at = AT_PERSON;
    for (int k = 0, thing = person; k < t->n; k++) {
        char id[8];
        doc_id(id, at, thing);
        fact(solution, &g, t->by[k], thing);
        rung_buf_printf(solution, " [%s]\n", id);
        rung_buf_printf(meta, "%s\"%s\"", k ? "," : "", id);
        thing = follow(&g, t->by[k], thing);
        at = place_after(t->by[k]);
        if (k + 1 == t->n) rung_buf_str(answer, name_at(&g, at, thing));
    }
    rung_buf_printf(solution, "#### %s\n", answer->data ? answer->data : "");
    rung_buf_str(meta, "],\"answer\":");
    rung_buf_json_str(meta, answer->data ? answer->data : "", answer->n);
    rung_buf_str(meta, ",\"docs\":[");
    docs_json(meta, &g);
    rung_buf_str(meta, "]}");
    RUNG_TRY(rung_buf_check(question, err));
    RUNG_TRY(rung_buf_check(answer, err));
    RUNG_TRY(rung_buf_check(solution, err));
    return rung_buf_check(meta, err);
}

/* ---- the checker ---- */

static const char *doc_of(yyjson_val *docs, const char *id, size_t n) {
    size_t k, max;
    yyjson_val *d;
    yyjson_arr_foreach(docs, k, max, d) {
        const char *name_of_doc = rung_json_str(d, "id", "");
        if (strlen(name_of_doc) == n && memcmp(name_of_doc, id, n) == 0)
            return rung_json_str(d, "text", NULL);
    }
    return NULL;
}

/* Is s[0..n) one or more whole sentences of the text? */
static bool quotes(const char *text, const char *s, size_t n) {
    if (n == 0 || s[n - 1] != '.') return false;
    for (const char *p = text; strlen(p) >= n; p++) {
        bool begins = p == text || (p - text >= 2 && p[-1] == ' ' && p[-2] == '.');
        if (begins && memcmp(p, s, n) == 0 && (p[n] == '\0' || p[n] == ' ')) return true;
    }
    return false;
}

/* "Sentence. [id]": the document says so, word for word. */
static bool fact_line(yyjson_val *docs, const char *s, size_t n) {
    if (n < 4 || s[n - 1] != ']') return false;
    size_t open = n - 1;
    while (open > 0 && s[open] != '[') open--;
    if (open == 0 || s[open - 1] != ' ') return false;
    const char *text = doc_of(docs, s + open + 1, n - open - 2);
    return text && quotes(text, s, open - 1);
}

static bool final_line(const char *want, const char *s, size_t n) {
    rung_qa qa;
    char *got = rung_strndup(s + 5, n - 5);
    bool ok = got && rung_qa_score(&qa, &want, 1, got) && qa.em;
    rung_free(got);
    return ok;
}

rung_status lookup_first_error(int32_t *out, const char *meta, const char *const *step,
                               const int32_t *n_bytes, int32_t n_steps, rung_error *err) {
    yyjson_doc *doc = meta ? yyjson_read(meta, strlen(meta), 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc), *docs = yyjson_obj_get(root, "docs");
    const char *want = rung_json_str(root, "answer", NULL);
    bool closed = false;
    *out = -1;
    if (!want || !yyjson_is_arr(docs) || strcmp(rung_json_str(root, "world", ""), "lookup") != 0) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_FORMAT, "not a problem of world lookup");
    }
    for (int32_t k = 0; k < n_steps && *out < 0; k++) {
        size_t n = (size_t)n_bytes[k];
        const char *s = world_trim(step[k], &n);
        bool is_final = n > 5 && memcmp(s, "#### ", 5) == 0;
        bool right = !closed && (is_final ? final_line(want, s, n) : fact_line(docs, s, n));
        if (!right) *out = k;
        closed = closed || is_final;
    }
    yyjson_doc_free(doc);
    return RUNG_OK;
}
