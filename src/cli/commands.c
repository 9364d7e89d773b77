/* The table of commands. */
#include "cli/cmds.h"
#include "cli/format_opts.h"
#include "cli/label_common.h"
#include <stdio.h>
#include <string.h>

#define ROW(noun, verb, id, args, help, example, measuring, ...)                                   \
    {noun, verb, args, help, example, {__VA_ARGS__ & cli_global_group}, cli_##id, measuring},
#define OWN(id)  &cli_##id##_group,
#define PICK     &cli_problem_filter_group,
#define FILTER   &cli_filter_group,
#define ENGINE   &cli_engine_group, &cli_prompt_group,
#define ROLLOUTS &cli_rollout_group,
#define DRAWS    &cli_sampling_group,
#define SANDBOX  &cli_sandbox_group,

/* clang-format off */
static const cli_cmd commands[] = {
    ROW("problem", "import", problem_import, "format file",
        "import a published problem set, every rejected line named",
        "problem import gsm8k test.jsonl --set gsm8k --split test", false, OWN(problem_import))
    ROW("problem", "generate", problem_generate, "world",
        "make seeded problems of a world whose every step can be checked",
        "problem generate total --splits train=300,test=200", false, OWN(problem_generate))
    ROW("problem", "show", problem_show, "",
        "print problems",
        "problem show --set gsm8k --limit 3", false, OWN(problem_show) PICK)
    ROW("trace", "sample", trace_sample, "",
        "let the policy write traces, split into steps and verified",
        "trace sample --policy models/tiny.gguf --split test --n 16 --name pool", true,
        OWN(trace_sample) PICK DRAWS ENGINE)
    ROW("trace", "import", trace_import, "format file",
        "import traces that others wrote, with their labels",
        "trace import processbench gsm8k.json --set pb-gsm8k", false, OWN(trace_import))
    ROW("trace", "plant", trace_plant, "",
        "make traces with errors at known places, to hold a labeler of steps against",
        "trace plant --set logic --n 4 --slip 0.3 --name planted", true, OWN(trace_plant) PICK)
    ROW("trace", "show", trace_show, "",
        "print traces step by step, with label and score",
        "trace show --run pool --limit 2", false, OWN(trace_show) FILTER)
    ROW("label", "mc", label_mc, "",
        "label steps by Monte-Carlo rollouts from each prefix (Math-Shepherd)",
        "label mc --run pool --policy models/tiny.gguf --k 8 --name mc", true,
        OWN(label_mc) ROLLOUTS FILTER DRAWS ENGINE)
    ROW("label", "binary", label_binary, "",
        "label prefixes by binary search for first errors in a tree of rollouts (OmegaPRM)",
        "label binary --run pool --policy models/tiny.gguf --k 8 --name tree", true,
        OWN(label_binary) ROLLOUTS FILTER DRAWS ENGINE)
    ROW("label", "relative", label_relative, "",
        "label steps by whether the chance of success falls (GenPRM)",
        "label relative --run pool --policy models/tiny.gguf --stopping confidence", true,
        OWN(label_relative) ROLLOUTS FILTER DRAWS ENGINE)
    ROW("label", "judge", label_judge, "",
        "label steps by what a model says when it reads the whole solution",
        "label judge --run pool --policy http://127.0.0.1:8080/v1 --temperature 0 --name judge",
        true, OWN(label_judge) FILTER DRAWS ENGINE)
    ROW("label", "tool", label_tool, "",
        "label steps by a verifier of steps: arithmetic recomputed, or a solver",
        "label tool --run pool --verifier step", false, OWN(label_tool) FILTER)
    ROW("label", "human", label_human, "file",
        "label steps by marks of people, from JSON lines",
        "label human marks.jsonl --run pool", false, OWN(label_human) FILTER)
    ROW("label", "fuse", label_fuse, "",
        "one label from several labelers; how far they agree",
        "label fuse --labels mc@mc --labels judge@judge --name fused", true, OWN(label_fuse))
    ROW("label", "curate", label_curate, "",
        "filter labelled traces for training; says what was dropped and why",
        "label curate --run pool --labels mc@mc --filters truncate,balance --name clean", true,
        OWN(label_curate) FILTER)
    ROW("label", "audit", label_audit, "",
        "where a labeler puts the first error, against the truth, by self-confidence",
        "label audit --run pool --labels mc@mc", true, OWN(label_audit) FILTER)
    ROW("label", "examples", label_examples, "",
        "labelled prefixes as training examples: edges, pairs of edges, trees",
        "label examples --labels binary@tree --kind pairwise", false, OWN(label_examples))
    ROW("label", "truth", label_truth, "",
        "label steps from the first error that the world or a person gave",
        "label truth --run pool", false, OWN(label_truth) FILTER)
    ROW("label", "import", label_import, "format file",
        "import solutions and their step labels from a published format",
        "label import prm800k phase2_train.jsonl --set prm800k --name people", false,
        OWN(label_import) &cli_format_read_group,)
    ROW("label", "export", label_export, "format file?",
        "write traces and their step labels in a published format",
        "label export trl labels.jsonl --run pool --source mc", true,
        OWN(label_export) FILTER &cli_format_write_group, &cli_format_read_group,)
    ROW("label", "show", label_show, "",
        "count the labels of a source, or print them with --steps",
        "label show --source mc --run pool", false, OWN(label_show) FILTER)
    ROW("reward", "train", reward_train, "",
        "train a reward model on labelled steps",
        "reward train --kind prm_head --base models/tiny.gguf --run pool --out prm.gguf", true,
        OWN(reward_train) FILTER &cli_prompt_group,)
    ROW("reward", "score", reward_score, "file",
        "score the steps of traces with a reward model",
        "reward score prm.gguf --policy models/tiny.gguf --run pool", true,
        OWN(reward_score) FILTER &cli_engine_group,)
    ROW("reward", "calibrate", reward_calibrate, "file",
        "fit what the scores mean on problems that the model has not seen, and its threshold",
        "reward calibrate prm.gguf --method isotonic --run pool --source mc --out prm-cal.gguf",
        true, OWN(reward_calibrate) FILTER)
    ROW("reward", "eval", reward_eval, "file",
        "measure stored scores against labels: reliability, ranking, the first wrong step",
        "reward eval prm.gguf --run pool --source truth", true, OWN(reward_eval) FILTER)
    ROW("reward", "ensemble", reward_ensemble, "",
        "several reward models as one: mean, least or agreement of their scores",
        "reward ensemble --member a.gguf --member b.gguf --combine min --out both.gguf", false,
        OWN(reward_ensemble))
    ROW("reward", "import", reward_import, "source",
        "make a published head (safetensors) a sidecar of its model",
        "reward import model.safetensors --format skywork --base policy.gguf --out prm.gguf",
        false, OWN(reward_import))
    ROW("reward", "show", reward_show, "file?",
        "print what a reward model file says about itself, a format, or the list of formats",
        "reward show prm.gguf", false, OWN(reward_show))
    ROW("search", "run", search_run, "",
        "answer problems: choose from a pool of traces, or with --policy search for one",
        "search run --policy models/tiny.gguf --prm prm.gguf --method beam", true,
        OWN(search_run) FILTER DRAWS ENGINE)
    ROW("search", "show", search_show, "",
        "print the answers of a search run, or the tree of one problem",
        "search show --run beam --problem 3", false, OWN(search_show) FILTER)
    ROW("rl", "train", rl_train, "",
        "reinforce a policy: sample, verify, reward steps, credit, update, again",
        "rl train --policy models/tiny.gguf --set total --split train --out better.gguf", true,
        OWN(rl_train) PICK)
    ROW("rl", "watch", rl_watch, "file",
        "alarms on the log of a run, ours, TRL's or verl's: hacked rewards, drift, collapse",
        "rl watch log.jsonl", true, OWN(rl_watch))
    ROW("rl", "config", rl_config, "",
        "a configuration of verl's as lines of ours, and what has no place here",
        "rl config --from-verl ppo_trainer.yaml", false, OWN(rl_config))
    ROW("bench", "answer", bench_answer, "",
        "accuracy of every method at every budget of one pool, with intervals and tests",
        "bench answer --run pool --prm prm.gguf --orm orm.gguf", true, OWN(bench_answer) FILTER)
    ROW("bench", "search", bench_search, "runs",
        "search runs against each other: accuracy, cost, paired tests, compute-optimal choice",
        "bench search majority,beam,dvts --baseline majority --pilot pool", true,
        OWN(bench_search))
    ROW("bench", "processbench", bench_processbench, "",
        "ProcessBench: acc_err, acc_cor and F1 from stored step scores",
        "bench processbench --set pb-gsm8k --prm prm.gguf", true, OWN(bench_processbench) FILTER)
    ROW("bench", "steps", bench_steps, "",
        "step scores against labels: AUROC, Brier, ECE, reliability",
        "bench steps --run pool --prm prm.gguf --source truth", true, OWN(bench_steps) FILTER)
    ROW("bench", "partial", bench_partial, "run?",
        "early rejection: partial scores against those of the whole steps",
        "bench partial --run early", true, OWN(bench_partial))
    ROW("bench", "rejection", bench_rejection, "",
        "early rejection: how often the best candidate is lost to noise, and the bound",
        "bench rejection --candidates 16 --tau 8", true, OWN(bench_rejection))
    ROW("bench", "prmbench", bench_prmbench, "file",
        "PRMBench: PRMScore of every error class from stored step scores",
        "bench prmbench prmtest.jsonl --set prmbench --prm prm.gguf", true,
        OWN(bench_prmbench) PICK)
    ROW("bench", "labels", bench_labels, "",
        "what a labelling run gave: labels, their balance, their agreement with the truth",
        "bench labels --run pool --labels mc@mc", true, OWN(bench_labels) FILTER)
    ROW("bench", "pool", bench_pool, "file",
        "best-of-n from a file of scored candidates: every aggregate, every way of choosing",
        "bench pool scored.jsonl", true, OWN(bench_pool))
    ROW("bench", "bias", bench_bias, "",
        "what best-of-n hides: flawed right answers, flagged ones, last-step minima",
        "bench bias --run pool --prm prm.gguf", true, OWN(bench_bias) FILTER)
    ROW("bench", "rollouts", bench_rollouts, "",
        "speed of rollouts from every step prefix: tokens, seconds, memory; nothing is stored",
        "bench rollouts --policy models/tiny.gguf --set pb --limit 6 --k 8 --max-tokens 64", true,
        OWN(bench_rollouts) FILTER DRAWS ENGINE)
    ROW("bench", "decode", bench_decode, "",
        "speed of decoding and sampling many sequences from one prompt",
        "bench decode --policy models/tiny.gguf --sizes 1,4,16,64 --max-tokens 64", true,
        OWN(bench_decode) DRAWS &cli_engine_group,)
    ROW("bench", "score", bench_score, "",
        "speed of reading traces with a read-out at each step's end",
        "bench score --policy models/tiny.gguf --set pb", true, OWN(bench_score) FILTER ENGINE)
    ROW("convert", "", convert, "from? to? in? out?",
        "labelled solutions from one published format into another, with a report of what is lost",
        "convert processbench trl gsm8k.json steps.jsonl --after-error truncate", true,
        OWN(convert) &cli_format_write_group, &cli_format_read_group,)
    ROW("serve", "", serve, "",
        "answer over HTTP as OpenAI's interface does, with a search behind each request",
        "serve --policy models/tiny.gguf --reward prm.gguf --method beam --split-steps line", false,
        OWN(serve) DRAWS ENGINE)
    ROW("run", "", run, "recipe",
        "run a recipe: its stages in order, each resumable, then the report",
        "run recipes/demo.yaml --out out/demo", true, OWN(run))
    ROW("claims", "", claims, "",
        "what the recipes claim and what was measured, a row each; writes docs/claims.md",
        "claims --check", true, OWN(claims))
    ROW("report", "", report, "",
        "write the report: one HTML file that opens from disk",
        "report --out report.html", false, OWN(report))
    ROW("store", "check", store_check, "",
        "integrity, orphans, counts and work left of a store",
        "store check --store rung.db", true, OWN(store_check))
    ROW("store", "export", store_export, "file?",
        "write every table as JSON lines",
        "store export - > store.jsonl", false, OWN(store_export))
    ROW("store", "import", store_import, "file",
        "read an export into an empty or an equal store",
        "store import store.jsonl --store copy.db", false, OWN(store_import))
    ROW("model", "info", model_info, "file",
        "what a GGUF file holds, what it takes in memory, how it was calibrated",
        "model info models/tiny.gguf", false, OWN(model_info))
    ROW("model", "calibrate", model_calibrate, "file",
        "measure which type of weights and how many sequences are fastest here",
        "model calibrate models/tiny.gguf", true, OWN(model_calibrate))
    ROW("model", "compare", model_compare, "a b?",
        "mean KL, top-1 agreement and largest logit difference of two models on a text",
        "model compare models/tiny.gguf --weights-b bf16", true, OWN(model_compare))
    ROW("model", "chat", model_chat, "",
        "one reply per line of input",
        "model chat --policy models/tiny.gguf --prompt 'start 17; +5'", false,
        OWN(model_chat) DRAWS ENGINE)
    ROW("model", "train", model_train, "",
        "train a policy: from nothing on the worlds' text, or a file further on pairs or traces",
        "model train --out tiny.gguf --steps 2000 --seed 1", true,
        OWN(model_train) FILTER &cli_prompt_group,)
    ROW("model", "compare-logits", model_compare_logits, "file",
        "largest difference between the trainer's and the engine's logits",
        "model compare-logits models/tiny.gguf --text 'start 17'", true, OWN(model_compare_logits))
    ROW("model", "perplexity", model_perplexity, "file?",
        "logprob and perplexity of given texts",
        "model perplexity --policy models/tiny.gguf --context 'start 17' --text '17+5=22'", true,
        OWN(model_perplexity) ENGINE)
    ROW("verify", "", verify, "file?",
        "verdict of an answer: one pair, or JSON lines with gold and answer or text",
        "verify --gold 1/2 --answer 0.50", false, OWN(verify) FILTER)
    ROW("verify", "math", verify_math, "",
        "mathematics: one pair, or JSON lines; --explain shows the parsed trees and what decided",
        "verify math --gold '2\\sqrt{3}' --answer '\\sqrt{12}'", false, OWN(verify_math) FILTER)
    ROW("verify", "bench", verify_bench, "",
        "time of a verdict: pairs of a file, or of every kind of answer against every other",
        "verify bench --in pairs.jsonl --json", true, OWN(verify_bench))
    ROW("verify", "code", verify_code, "file?",
        "programs against their tests, in a sandbox: JSON lines of HumanEval, MBPP or rung's own, "
        "or stored traces",
        "verify code samples.jsonl --json", true, OWN(verify_code) FILTER SANDBOX)
    ROW("verify", "session", verify_session, "file",
        "a tool that lives over many blocks (Python, calculator, database, documents): JSON lines "
        "in, a line out for each",
        "verify session blocks.jsonl --replay", false, OWN(verify_session) SANDBOX)
    ROW("verify", "rewrite", verify_rewrite, "file",
        "rewrite one line of a right program at a time; its tests label every rewrite",
        "verify rewrite HumanEval.jsonl --per-line 2 --json", true, OWN(verify_rewrite) SANDBOX)
    ROW("verify", "step", verify_step, "",
        "what a step claims: arithmetic, algebra; one step, JSON lines, or stored traces",
        "verify step --step '12 * 3 = 36 and 36/4 is 8'", true, OWN(verify_step) FILTER)
    ROW("verify", "sql", verify_sql, "",
        "queries by what they give on their database: one pair, JSON lines, or stored traces",
        "verify sql --db geo.db --gold 'SELECT count(*) FROM city' --answer 'SELECT 3'", false,
        OWN(verify_sql) FILTER)
    ROW("verify", "logic", verify_logic, "",
        "proofs, each step decided by Z3: FLD's logic, or assume / have .. from",
        "verify logic --question 'int n' --answer 'have: n * n >= 0'", true,
        OWN(verify_logic) FILTER)
    ROW("verify", "retrieve", verify_retrieve, "",
        "documents searched by words or vectors, recall, and answers by exact match and F1",
        "verify retrieve --docs docs.jsonl --query 'who founded Veltro' --k 3", false,
        OWN(verify_retrieve) FILTER)
    ROW("config", "show", config_show, "command?",
        "the resolved options and where each comes from, as a config file",
        "config show 'trace sample'", false, OWN(config_show))
    ROW("version", "", version, "",
        "versions of rung and of what it is built from",
        "version --json", false, OWN(version))
    ROW("help", "", help, "noun? verb?",
        "help on a command; --man prints the man page",
        "help trace sample", false, OWN(help))
    ROW("completion", "", completion, "shell",
        "completion script of a shell",
        "completion bash > ~/.local/share/bash-completion/completions/rung", false,
        OWN(completion))
};
/* clang-format on */

const cli_cmd *cli_cmd_at(size_t i) {
    return i < CLI_N(commands) ? &commands[i] : NULL;
}

const cli_cmd *cli_cmd_find(const char *noun, const char *verb) {
    for (size_t i = 0; i < CLI_N(commands); i++) {
        if (strcmp(commands[i].noun, noun) == 0 && strcmp(commands[i].verb, verb) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

const char *cli_cmd_name(const cli_cmd *cmd, char buf[64]) {
    snprintf(buf, 64, "%s%s%s", cmd->noun, *cmd->verb ? " " : "", cmd->verb);
    return buf;
}
