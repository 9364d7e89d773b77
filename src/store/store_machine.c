/* What the run's row says about where it ran. */
#include "store/store_impl.h"

#include <stdio.h>
#include <string.h>

static void cpu_name(char *out, size_t cap) {
    snprintf(out, cap, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return;
    char line[512];
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        const char *colon = strchr(line, ':');
        if (!colon) continue;
        colon += strspn(colon, ": \t");
        snprintf(out, cap, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    fclose(f);
}

static const char *best_simd(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bf16")) return "avx512_bf16";
    if (__builtin_cpu_supports("avx512f")) return "avx512";
    if (__builtin_cpu_supports("avx2")) return "avx2";
    return "sse2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "none";
#endif
}

void store_machine_json(rung_buf *b) {
    char name[256];
    cpu_name(name, sizeof name);
    rung_buf_str(b, "{\"cpu\":");
    rung_buf_json_str(b, name, strlen(name));
    rung_buf_printf(b, ",\"cores\":%d,\"simd\":\"%s\"}", rung_n_cores(), best_simd());
}

void store_versions_json(rung_buf *b, const rung_store *s) {
    rung_buf_printf(b, "{\"rung\":\"%s\",\"sqlite\":\"%s\"", RUNG_VERSION, sqlite3_libversion());
    if (s->llama[0]) {
        rung_buf_str(b, ",\"llama\":");
        rung_buf_json_str(b, s->llama, strlen(s->llama));
    }
    rung_buf_str(b, "}");
}

void rung_store_set_llama(rung_store *s, const char *version) {
    snprintf(s->llama, sizeof s->llama, "%s", version ? version : "");
}
