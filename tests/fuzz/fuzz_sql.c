/* libFuzzer targets of SQL: -DFUZZ_SQL runs any bytes as a query behind the guard, -DFUZZ_SQLTEXT
 * reads them as text only. A finding is a crash, a hang, a sanitizer report, or a broken promise.
 */
#include "verify/sql/frame.h"
#include "verify/sql/guard.h"
#include "verify/sql/sql_order.h"
#include "verify/sql/sql_parts.h"
#include "verify/sql/sql_verifier.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void promise(bool kept) {
    if (!kept) abort();
}

#if defined(FUZZ_SQL)
static const char SCRIPT[] =
    "CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT, people INT);"
    "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city_id INT REFERENCES city(id));"
    "CREATE VIEW v AS SELECT name FROM city;"
    "INSERT INTO city VALUES(1,'Oslo',700),(2,'Vik',29);"
    "INSERT INTO person VALUES(1,'Ann',1),(2,'Ben',2);";
static const char STATE[] = "SELECT (SELECT group_concat(id||name||people) FROM city), (SELECT "
                            "group_concat(id||name||city_id) FROM person), (SELECT "
                            "group_concat(name||sql) FROM sqlite_master), random()";

static uint64_t state_of(sql_guard *g) {
    rung_buf b;
    rung_buf_init(&b, 1 << 20);
    guard_query(&b, g, STATE, sizeof STATE - 1, NULL);
    frame_head h;
    memcpy(&h, b.data, sizeof h);
    promise(h.outcome == RUNG_SQL_OK && h.n_rows == 1);
    uint64_t hash = rung_hash64(b.data, b.n, 0);
    rung_buf_clear(&b);
    return hash;
}

/* Whatever is asked: a frame that can be read, within the caps, and the database as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static sql_guard *g;
    static uint64_t before;
    const rung_sql_limits l = {.work = 100000, .bytes = 1 << 16, .rows = 100};
    char why[200];
    rung_buf b;
    rung_sql_result r;
    if (!g) {
        g = guard_open(NULL, SCRIPT, &l, why);
        promise(g != NULL);
        before = state_of(g);
    }
    rung_buf_init(&b, 64 << 20);
    guard_query(&b, g, (const char *)data, n, &l);
    rung_arena *a = rung_arena_new(0);
    promise(!b.failed && a && frame_read(&r, a, b.data, b.n));
    promise(r.n_rows <= 100 && (r.outcome == RUNG_SQL_OK || r.n_rows == 0));
    promise(r.work <= l.work + 2000);
    rung_arena_free(a);
    rung_buf_clear(&b);
    promise(state_of(g) == before);
    return 0;
}
#else
/* Any bytes are tokens; the normal form is its own normal form; parsers end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char *tables[] = {"city", "person"};
    static parts_column columns[] = {
        {"*", -1, 0}, {"id", 0, 1}, {"name", 0, 2}, {"id", 1, 3}, {"city_id", 1, 1}};
    static const parts_schema schema = {tables, columns, 2, 5};
    static const char *const names[] = {"name", "count(*)"};
    const rung_sql_result gold = {.n_cols = 2, .col = names, .error = ""};
    rung_buf one, two;
    rung_answer answer;
    sql_order order;
    parts_query *q;
    char why[160];
    char *text = malloc(n + 1);
    promise(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    rung_arena *a = rung_arena_new(0);
    rung_buf_init(&one, 64 << 20);
    rung_buf_init(&two, 64 << 20);
    rung_sql_normal(&one, text);
    rung_sql_normal(&two, one.data);
    promise(!one.failed && !two.failed && strcmp(one.data, two.data) == 0);
    promise(sql_order_read(&order, a, text, &gold, NULL) == RUNG_OK || order.ordered);
    for (int32_t k = 0; k < order.n_terms; k++) promise(order.at[k] >= 0);
    promise(parts_parse(&q, a, &schema, text, why) || why[0]);
    extract_sql(&answer, text, n);
    promise(strlen(answer.text) < sizeof answer.text && (!answer.text[0] || answer.rule[0]));
    rung_buf_clear(&one);
    rung_buf_clear(&two);
    rung_arena_free(a);
    free(text);
    return 0;
}
#endif
