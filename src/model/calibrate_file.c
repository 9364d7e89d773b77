/* The calibration as JSON in the cache folder, one file per model and machine. Whatever is wrong
 * with a file there, it is as if it were not there. */
#include "model/calibrate.h"

#include "base/json.h"

#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALIBRATION_VERSION 1 /* raise when older files mean something else */

/* One line of /proc/cpuinfo, without its key; false: no such line. */
static bool cpuinfo(char *out, size_t n_out, const char *key) {
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[8192];
    bool found = false;
    out[0] = 0;
    while (f && !found && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *v = strchr(line, ':');
        if (!v) continue;
        v += strspn(v, ": \t");
        snprintf(out, n_out, "%.*s", (int)strcspn(v, "\n"), v);
        found = true;
    }
    if (f) fclose(f);
    return found;
}

void rung_machine_id(char id[33], char cpu[96]) {
    char flags[8192], name[96];
    rung_buf b;
    if (!cpuinfo(name, sizeof name, "model name")) snprintf(name, sizeof name, "unknown");
    if (!cpuinfo(flags, sizeof flags, "flags")) cpuinfo(flags, sizeof flags, "Features");
    rung_buf_init(&b, 1u << 16);
    rung_buf_printf(&b, "%s\n%s\n%d\n%s\n%d\n", name, flags, rung_n_cores(), llama_version(),
                    WEIGHTS_VERSION);
    rung_hash_hex(id, b.data ? b.data : "", b.n);
    rung_buf_clear(&b);
    if (cpu) memcpy(cpu, name, sizeof name);
}

static rung_status file_name(rung_buf *b, const char *model, const char *machine, rung_error *err) {
    RUNG_TRY(rung_cache_folder(b, "calibration", err));
    rung_buf_printf(b, "%s-%s.json", model, machine);
    return rung_buf_check(b, err);
}

static void put_row(rung_buf *b, const rung_calibration *c, int w) {
    const rung_calibration_row *r = &c->type[w];
    rung_buf_printf(b, "  {\"type\":\"%s\",\"offered\":%s,\"read_tok_s\":%.6g,\"tok_s\":[",
                    rung_weights_name((rung_weights)w), r->offered ? "true" : "false", r->read_s);
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) {
        rung_buf_printf(b, "%s%.6g", i ? "," : "", r->tok_s[i]);
    }
    rung_buf_str(b, "]}");
}

rung_status rung_calibration_put(const rung_calibration *c, rung_error *err) {
    rung_buf b, name;
    bool first = true;
    rung_buf_init(&b, 1u << 16);
    rung_buf_init(&name, 8192);
    rung_buf_printf(&b, "{\"v\":%d,\"model\":\"%s\",\"machine\":\"%s\",\n \"cpu\":",
                    CALIBRATION_VERSION, c->model, c->machine);
    rung_buf_json_str(&b, c->cpu, strlen(c->cpu));
    rung_buf_str(&b, ",\"llama\":");
    rung_buf_json_str(&b, c->llama, strlen(c->llama));
    rung_buf_printf(&b, ",\"cores\":%d,\"busy\":%s,\"made_ms\":%lld,\"wall_s\":%.3f,\n \"n\":[",
                    c->n_cores, c->busy ? "true" : "false", (long long)c->made_ms, c->wall_s);
    for (int i = 0; i < RUNG_CALIBRATION_N; i++) rung_buf_printf(&b, "%s%d", i ? "," : "", c->n[i]);
    rung_buf_str(&b, "],\n \"types\":[\n");
    for (int w = 0; w < RUNG_WEIGHTS_AUTO; w++) {
        if (!c->type[w].measured) continue;
        if (!first) rung_buf_str(&b, ",\n");
        first = false;
        put_row(&b, c, w);
    }
    rung_buf_printf(&b,
                    "],\n \"best\":\"%s\",\"sequences\":%d,\"batch\":%d,\"threads\":%d,\"kv\":"
                    "\"streams\",\n \"read_as_is\":%.6g,\"read_best\":%.6g,\"write_as_is\":%.6g,"
                    "\"write_best\":%.6g,\n \"n_kl\":%d,\"kl_best\":%.6g,\"kl_as_is\":%.6g}\n",
                    rung_weights_name(c->best), c->n_seq, c->n_batch, c->n_threads, c->read_as_is,
                    c->read_best, c->write_as_is, c->write_best, c->n_kl, c->kl_best, c->kl_as_is);
    rung_status st = file_name(&name, c->model, c->machine, err);
    if (st == RUNG_OK) st = rung_buf_check(&b, err);
    if (st == RUNG_OK) st = rung_file_write(name.data, b.data, b.n, err);
    rung_buf_clear(&b);
    rung_buf_clear(&name);
    return st;
}

static bool positive(double x) {
    return isfinite(x) && x > 0.0;
}

static bool get_row(rung_calibration *c, yyjson_val *v) {
    rung_weights w;
    yyjson_val *rates = yyjson_obj_get(v, "tok_s");
    if (!rung_weights_find(&w, rung_json_str(v, "type", "")) || w >= RUNG_WEIGHTS_AUTO ||
        yyjson_arr_size(rates) != RUNG_CALIBRATION_N) {
        return false;
    }
    rung_calibration_row *r = &c->type[w];
    r->measured = true;
    r->offered = yyjson_is_true(yyjson_obj_get(v, "offered"));
    r->read_s = rung_json_f64(v, "read_tok_s", 0.0);
    bool ok = positive(r->read_s);
    for (size_t i = 0; i < RUNG_CALIBRATION_N; i++) {
        r->tok_s[i] = yyjson_get_num(yyjson_arr_get(rates, i));
        ok = ok && positive(r->tok_s[i]);
    }
    return ok;
}

static void copy(char *out, size_t n, const char *s) {
    snprintf(out, n, "%s", s);
}

static int32_t small(yyjson_val *v, const char *key, int32_t most) {
    int64_t x = rung_json_i64(v, key, -1);
    return x >= 0 && x <= most ? (int32_t)x : -1;
}

/* Everything that is used later is checked: a file may have been edited, cut or swapped. */
static bool get_all(rung_calibration *c, yyjson_val *v) {
    if (rung_json_i64(v, "v", 0) != CALIBRATION_VERSION) return false;
    copy(c->model, sizeof c->model, rung_json_str(v, "model", ""));
    copy(c->machine, sizeof c->machine, rung_json_str(v, "machine", ""));
    copy(c->cpu, sizeof c->cpu, rung_json_str(v, "cpu", ""));
    copy(c->llama, sizeof c->llama, rung_json_str(v, "llama", ""));
    c->n_cores = small(v, "cores", 1 << 20);
    c->busy = yyjson_is_true(yyjson_obj_get(v, "busy"));
    c->made_ms = rung_json_i64(v, "made_ms", 0);
    c->wall_s = rung_json_f64(v, "wall_s", 0.0);
    yyjson_val *n = yyjson_obj_get(v, "n"), *types = yyjson_obj_get(v, "types"), *t;
    size_t i, n_types;
    if (yyjson_arr_size(n) != RUNG_CALIBRATION_N) return false;
    for (i = 0; i < RUNG_CALIBRATION_N; i++) {
        int64_t x = yyjson_get_sint(yyjson_arr_get(n, i));
        if (x < 1 || x > 4096 || (i > 0 && x <= c->n[i - 1])) return false;
        c->n[i] = (int32_t)x;
    }
    yyjson_arr_foreach(types, i, n_types, t) {
        if (!get_row(c, t)) return false;
    }
    c->n_seq = small(v, "sequences", 4096);
    c->n_batch = small(v, "batch", 1 << 20);
    c->n_threads = small(v, "threads", 4096);
    c->read_as_is = rung_json_f64(v, "read_as_is", 0.0);
    c->read_best = rung_json_f64(v, "read_best", 0.0);
    c->write_as_is = rung_json_f64(v, "write_as_is", 0.0);
    c->write_best = rung_json_f64(v, "write_best", 0.0);
    c->n_kl = small(v, "n_kl", INT32_MAX);
    c->kl_best = rung_json_f64(v, "kl_best", 0.0);
    c->kl_as_is = rung_json_f64(v, "kl_as_is", 0.0);
    return rung_weights_find(&c->best, rung_json_str(v, "best", "")) &&
           c->best < RUNG_WEIGHTS_AUTO && c->type[c->best].offered &&
           c->type[RUNG_WEIGHTS_AS_IS].offered && c->n_seq > 0 && c->n_batch > 0 &&
           c->n_threads > 0 && c->n_kl >= 0;
}

rung_status rung_calibration_read(rung_calibration *out, bool *found, const char *hash,
                                  rung_error *err) {
    char machine[33];
    rung_buf name;
    yyjson_doc *doc = NULL;
    *found = false;
    memset(out, 0, sizeof *out);
    rung_machine_id(machine, NULL);
    rung_buf_init(&name, 8192);
    rung_status st = file_name(&name, hash, machine, err);
    if (st == RUNG_OK && access(name.data, R_OK) == 0 &&
        rung_json_load(&doc, name.data, NULL) == RUNG_OK) {
        *found = get_all(out, yyjson_doc_get_root(doc)) && strcmp(out->model, hash) == 0 &&
                 strcmp(out->machine, machine) == 0;
    }
    yyjson_doc_free(doc);
    rung_buf_clear(&name);
    return st;
}

rung_status rung_calibration_get(rung_calibration *out, bool *found, const char *path,
                                 rung_error *err) {
    char hash[33];
    *found = false;
    RUNG_TRY(rung_hash_file(hash, path, err));
    return rung_calibration_read(out, found, hash, err);
}
