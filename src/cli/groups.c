/* The shared option tables. */
#include "cli/groups.h"
#include "rung/model.h"
#include "rung/problem.h"
#include "rung/search.h"
#include "rung/verify.h"
#include "rung/weights.h"

static const cli_opt global_opts[] = {
    OPT_PATH("store", "rung.db", CLI_FREE, "the store: a SQLite file, made when it is not there"),
    OPT_BOOL("json", "false", CLI_FREE,
             "data as one JSON object per line, each with \"v\":1; the last line is the result"),
    OPT_BOOL("quiet", "false", CLI_FREE, "no progress and no talk, warnings and errors only"),
    OPT_PATH("config", "", CLI_FREE, "config file with lines like: trace.sample.n = 8   # comment"),
    OPT_BOOL("dry-run", "false", CLI_FREE, "print the resolved options and where each comes from"),
    OPT_INT("threads", "0", "N", 0, 4096, CLI_FREE, "threads, 0 = all cores"),
};
const cli_group cli_global_group = CLI_GROUP_OF("every command", global_opts);

#define PROBLEM_ROWS                                                                               \
    OPT_STR("set", "", "NAME", CLI_KEY, "only problems of this set"),                              \
        OPT_STR("split", "", "NAME", CLI_KEY,                                                      \
                "only problems of this split: train, val, test, ..."),                             \
        OPT_INT("limit", "0", "PROBLEMS", 0, CLI_INT_MAX, CLI_KEY,                                 \
                "at most this many problems, 0 = all"),                                            \
        OPT_INT("skip", "0", "PROBLEMS", 0, CLI_INT_MAX, CLI_KEY, "leave out the first problems")
static const cli_opt problem_filter_opts[] = {PROBLEM_ROWS};
const cli_group cli_problem_filter_group = CLI_GROUP_OF("which problems", problem_filter_opts);

static const cli_opt filter_opts[] = {
    OPT_STR("run", "", "NAME", CLI_KEY, "only traces of this run: its name or its number"),
    PROBLEM_ROWS,
};
const cli_group cli_filter_group = CLI_GROUP_OF("which problems and traces", filter_opts);

static const cli_opt engine_opts[] = {
    OPT_STR("policy", "", "FILE|URL", CLI_NOTE,
            "the model: a GGUF file, or the base URL of an OpenAI-compatible endpoint; several "
            "endpoints of one model: separated by commas"),
    {"endpoint", CLI_LIST, "", "URL", 0, 0, NULL, CLI_NOTE,
     "remote: one more endpoint; may be given again. URL#model=NAME&dialect=NAME&concurrency=N "
     "holds for this one only",
     NULL},
    OPT_STR("chat-template", "", "NAME", CLI_KEY,
            "chatml, llama3, ..., \"raw\" for none, or a template's text; empty = the file's own"),
    OPT_WEIGHTS,
    OPT_INT("sequences", "0", "N", 0, 4096, CLI_NOTE,
            "sequences decoded at once, 0 = chosen from the model's size"),
    OPT_INT("ctx", "0", "CELLS", 0, CLI_INT_MAX, CLI_NOTE, "KV cells in all, 0 = chosen"),
    OPT_INT("batch", "0", "TOKENS", 0, 1e6, CLI_NOTE, "tokens per decode call, 0 = 512"),
    OPT_INT("memory", "0", "MIB", 0, 1e9, CLI_FREE,
            "most memory for weights, KV cache and calls of all models together, 0 = what is free"),
    OPT_BOOL("exact", "false", CLI_KEY,
             "the same bits whatever the order, restarts, sequences and threads; somewhat slower"),
    OPT_STR("remote-model", "", "NAME", CLI_KEY,
            "remote: name of the model to ask for, empty = the one that is served"),
    OPT_CHOICE("api", "chat", "chat|completions", CLI_KEY, "remote: which interface to speak"),
    OPT_NAMES("dialect", "", rung_dialect_name, CLI_NOTE,
              "remote: which server it is, empty = found from /v1/models and /props"),
    OPT_INT("concurrency", "0", "N", 0, 4096, CLI_FREE,
            "remote: most requests at once on an endpoint, 0 = found by probing"),
    OPT_REAL("timeout", "120", "S", 0.1, 86400, CLI_FREE, "remote: seconds before a request fails"),
    OPT_INT("retries", "5", "N", 1, 100, CLI_FREE, "remote: tries after the first"),
    OPT_REAL("price-in", "0", "PRICE", 0, 1e9, CLI_FREE,
             "remote: price of a million prompt tokens, for the ledger"),
    OPT_REAL("price-cached", "0", "PRICE", 0, 1e9, CLI_FREE,
             "remote: of a million prompt tokens from the server's cache, 0 = as price-in"),
    OPT_REAL("price-out", "0", "PRICE", 0, 1e9, CLI_FREE, "remote: of a million tokens written"),
    OPT_STR("api-key-env", "RUNG_API_KEY", "VARIABLE", CLI_FREE,
            "remote: environment variable that holds the key"),
};
const cli_group cli_engine_group = CLI_GROUP_OF("the model", engine_opts);

static const cli_opt sampling_opts[] = {
    OPT_REAL("temperature", "1", "T", 0, 100, CLI_KEY, "0 = always the likeliest token"),
    OPT_INT("top-k", "0", "N", 0, CLI_INT_MAX, CLI_KEY, "keep the k likeliest tokens, 0 = off"),
    OPT_REAL("top-p", "1", "P", 0, 1, CLI_KEY,
             "keep the likeliest tokens up to this mass, 1 = off"),
    OPT_REAL("min-p", "0", "P", 0, 1, CLI_KEY,
             "drop tokens below this share of the likeliest one's, 0 = off"),
    OPT_BOOL("temperature-first", "", CLI_KEY,
             "temperature before top-k, top-p and min-p, as vLLM has it; else after, as llama.cpp"),
    OPT_REAL("repeat-penalty", "", "R", 0, 100, CLI_KEY,
             "divide the logits of tokens seen lately (multiply negative ones), 1 = off"),
    OPT_REAL("presence-penalty", "", "A", -100, 100, CLI_KEY,
             "taken off the logits of tokens seen lately, 0 = off"),
    OPT_REAL("frequency-penalty", "", "A", -100, 100, CLI_KEY,
             "taken off once for each time a token was seen lately, 0 = off"),
    OPT_INT("penalty-last-n", "", "TOKENS", -1, CLI_INT_MAX, CLI_KEY,
            "how far back \"lately\" goes, prompt included; empty = 64, -1 = all"),
    {"logit-bias", CLI_LIST, "", "ID:BIAS", 0, 0, NULL, CLI_KEY,
     "added to the logit of a token, -inf bans it; may be given again", NULL},
    OPT_PATH("grammar", "", CLI_KEY,
             "GBNF file: continuations stay in its language (the run keeps its text)"),
    OPT_INT("max-tokens", "512", "TOKENS", 1, 1e7, CLI_KEY, "longest continuation"),
    OPT_STR("stop", "", "TEXT", CLI_KEY, "a continuation also ends after this text, empty = none"),
    OPT_SEED,
};
const cli_group cli_sampling_group = CLI_GROUP_OF("sampling", sampling_opts);

static const cli_opt prompt_opts[] = {
    OPT_STR("system", "", "TEXT", CLI_KEY, "system turn, empty = none"),
    OPT_STR("suffix", "", "TEXT", CLI_KEY, "text put after the question"),
};
const cli_group cli_prompt_group = CLI_GROUP_OF("the prompt", prompt_opts);

const char *cli_names_worlds(size_t i) {
    const rung_world *w = rung_world_at(i);
    return w ? w->name : NULL;
}

const char *cli_names_formats(size_t i) {
    const rung_format *f = rung_format_at(i);
    return f ? rung_format_name(f) : NULL;
}

const char *cli_names_verifiers(size_t i) {
    const rung_verifier *v = rung_verifier_at(i);
    return v ? v->name : NULL;
}

const char *cli_names_aggregates(size_t i) {
    return i < RUNG_AGGREGATE_COUNT ? rung_aggregate_name((rung_aggregate_id)i) : NULL;
}

const char *cli_names_weights(size_t i) {
    return i < RUNG_WEIGHTS_COUNT ? rung_weights_name((rung_weights)i) : NULL;
}

const char *cli_names_methods(size_t i) {
    const rung_method *m = rung_method_at(i);
    return m ? m->name : NULL;
}

const char *cli_names_searches(size_t i) {
    rung_search_info info;
    size_t n = 0;
    while (rung_method_at(n)) n++;
    if (i < n) return rung_method_at(i)->name;
    return rung_search_at(&info, i - n) ? info.name : NULL;
}

const char *cli_names_scorers(size_t i) {
    return i < RUNG_SEARCH_SCORER_COUNT ? rung_search_scorer_name((rung_search_scorer)i) : NULL;
}
