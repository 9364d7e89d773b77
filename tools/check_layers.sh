#!/usr/bin/env bash
# Fails on any #include against the direction of the house.  The truth is CMakeLists.txt: a folder may include itself
# and what its rung_module line reaches through DEPS.  The order below keeps those lines honest (no loops, no lower
# folder that depends on a higher one).  Also: foreign headers only in the folder made for them.
#   tools/check_layers.sh [ROOT]     exit 0 clean, 1 a bad include (each named by file:line), 2 usage
set -euo pipefail
root=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
[ -f "$root/CMakeLists.txt" ] || { echo "check_layers: $root has no CMakeLists.txt" >&2; exit 2; }
cd "$root"

find include src -name '*.[ch]' 2>/dev/null | LC_ALL=C sort |
    xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null |
    awk -v cmake=CMakeLists.txt '
function bad(where, what) { printf "%s: %s\n", where, what; n_bad++ }
# folder of a public header: include/rung/NAME.h is owned by src/NAME, apart from these
function owner(h) {
    sub(/^rung\//, "", h); sub(/\.h$/, "", h)
    if (h in pub) return pub[h]
    return h
}
function reach(from, to,   i, k, part) {      # is `to` among the transitive DEPS of `from`?
    if (from == to) return 1
    k = split(deps[from], part, " ")
    for (i = 1; i <= k; i++) if (reach(part[i], to)) return 1
    return 0
}
BEGIN {
    n = split("base stat store verify model dist train format problem trace label reward search rl bench serve" \
              " cli", o, " ")
    for (i = 1; i <= n; i++) rank[o[i]] = i
    pub["event"] = pub["rng"] = "base"
    pub["weights"] = pub["sampling"] = pub["text"] = pub["embed"] = pub["endpoint"] = "model"
    pub["loss"] = "train"; pub["advantage"] = "rl"; pub["curve"] = pub["verdict"] = "store"; pub["planted"] = "problem"
    pub["bench_file"] = pub["claim"] = "bench"
    pub["calibrate"] = pub["ensemble"] = "reward"
    pub["code"] = pub["tool"] = pub["step"] = pub["sql"] = pub["retrieve"] = "verify"
    n = split("llama.h llama-cpp.h ggml.h ggml- gguf.h curl/=model dnnl oneapi/dnnl=train sqlite3=store|verify" \
              " libpq=store libfyaml=base mpi.h=dist flint/ acb.h arb.h seccomp.h z3.h=verify" \
              " microhttpd.h=serve", f, " ")
    held = ""
    for (i = n; i >= 1; i--) {                 # "a b=folder": b and what stands before it without its own "="
        if (split(f[i], kv, "=") == 2) held = kv[2]
        only[kv[1]] = held
    }
    while ((getline line < cmake) > 0) {
        if (line !~ /^rung_module\(/) continue
        gsub(/rung_module\(|\)/, "", line)
        k = split(line, w, /[ \t]+/); name = w[1]; in_deps = 0; deps[name] = ""
        if (!(name in rank)) bad(cmake, "folder src/" name " has no place in the order of tools/check_layers.sh")
        for (i = 2; i <= k; i++) {
            if (w[i] == "DEPS") { in_deps = 1; continue }
            if (w[i] == "LINK") in_deps = 0
            if (!in_deps) continue
            deps[name] = deps[name] " " w[i]
            if (rank[w[i]] >= rank[name]) bad(cmake, "src/" name " may not depend on src/" w[i])
        }
    }
    deps["serve"] = deps["cli"] = " bench"     # the two ends see everything
    for (i in rank) if (i != "cli" && i != "serve" && (i in deps)) deps["cli"] = deps["cli"] " " i
    deps["serve"] = deps["cli"]
    deps["cli"] = deps["cli"] " serve"
}
{
    k = index($0, ":"); file = substr($0, 1, k - 1); rest = substr($0, k + 1)
    k = index(rest, ":"); where = file ":" substr(rest, 1, k - 1); inc = substr(rest, k + 1)
    quoted = inc ~ /include[ \t]*"/
    sub(/^[^"<]*["<]/, "", inc); sub(/[">].*$/, "", inc)
    if (file == "include/rung/rung.h") next    # the one that includes them all
    if (file ~ /^include\//) { from = file; sub(/^include\//, "", from); from = owner(from) }
    else { split(file, p, "/"); from = p[2] }
    n_seen++
    for (h in only) if (index(inc, h) == 1 && index("|" only[h] "|", "|" from "|") == 0) {
        bad(where, "<" inc "> may only be included in src/" only[h]); next
    }
    if (!quoted) {
        if (inc ~ /^rung\//) bad(where, "write \"" inc "\" with quotes")
        next
    }
    for (h in only) if (index(inc, h) == 1) next
    if (inc ~ /\.\.\// || inc !~ /\//) { bad(where, "\"" inc "\": write the folder, as in \"base/json.h\""); next }
    split(inc, p, "/")
    to = p[1] == "rung" ? owner(inc) : p[1]
    if (inc == "rung/rung.h") { if (from != "cli") bad(where, "\"rung/rung.h\" is for users of the library"); next }
    if (file ~ /^include\// && p[1] != "rung") { bad(where, "a public header may not include \"" inc "\""); next }
    if (!(to in rank)) next                    # a header made at build time
    if (!reach(from, to)) bad(where, "src/" from " may not include \"" inc "\" (src/" to ")")
}
END {
    if (n_bad) { printf "check_layers: %d bad of %d includes\n", n_bad, n_seen; exit 1 }
    printf "check_layers: %d includes, all in the right direction\n", n_seen
}'
