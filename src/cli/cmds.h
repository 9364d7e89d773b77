/* Every command: its own options and its function. The table that joins them is in commands.c. */
#ifndef RUNG_SRC_CLI_CMDS_H
#define RUNG_SRC_CLI_CMDS_H
#include "cli/groups.h"

/* id, what stands before cli_ and _group */
#define CLI_COMMANDS(X)                                                                            \
    X(problem_import)                                                                              \
    X(problem_generate)                                                                            \
    X(problem_show)                                                                                \
    X(trace_sample)                                                                                \
    X(trace_import)                                                                                \
    X(trace_plant)                                                                                 \
    X(trace_show)                                                                                  \
    X(label_mc)                                                                                    \
    X(label_binary)                                                                                \
    X(label_relative)                                                                              \
    X(label_judge)                                                                                 \
    X(label_tool)                                                                                  \
    X(label_human)                                                                                 \
    X(label_fuse)                                                                                  \
    X(label_curate)                                                                                \
    X(label_examples)                                                                              \
    X(label_audit)                                                                                 \
    X(label_truth)                                                                                 \
    X(label_import)                                                                                \
    X(label_export)                                                                                \
    X(convert)                                                                                     \
    X(label_show)                                                                                  \
    X(reward_train)                                                                                \
    X(reward_score)                                                                                \
    X(reward_calibrate)                                                                            \
    X(reward_eval)                                                                                 \
    X(reward_ensemble)                                                                             \
    X(reward_import)                                                                               \
    X(reward_show)                                                                                 \
    X(search_run)                                                                                  \
    X(search_show)                                                                                 \
    X(rl_watch)                                                                                    \
    X(rl_config)                                                                                   \
    X(rl_train)                                                                                    \
    X(bench_answer)                                                                                \
    X(bench_search)                                                                                \
    X(bench_processbench)                                                                          \
    X(bench_bias)                                                                                  \
    X(bench_pool)                                                                                  \
    X(bench_prmbench)                                                                              \
    X(bench_labels)                                                                                \
    X(bench_steps)                                                                                 \
    X(bench_partial)                                                                               \
    X(bench_rejection)                                                                             \
    X(bench_rollouts)                                                                              \
    X(bench_decode)                                                                                \
    X(bench_score)                                                                                 \
    X(serve)                                                                                       \
    X(claims)                                                                                      \
    X(run)                                                                                         \
    X(report)                                                                                      \
    X(store_check)                                                                                 \
    X(store_export)                                                                                \
    X(store_import)                                                                                \
    X(model_info)                                                                                  \
    X(model_chat)                                                                                  \
    X(model_train)                                                                                 \
    X(model_compare_logits)                                                                        \
    X(model_compare)                                                                               \
    X(model_calibrate)                                                                             \
    X(verify_code)                                                                                 \
    X(verify_session)                                                                              \
    X(verify_rewrite)                                                                              \
    X(verify_step)                                                                                 \
    X(verify_logic)                                                                                \
    X(model_perplexity)                                                                            \
    X(verify)                                                                                      \
    X(verify_sql)                                                                                  \
    X(verify_retrieve)                                                                             \
    X(verify_math)                                                                                 \
    X(verify_bench)                                                                                \
    X(config_show)                                                                                 \
    X(version)                                                                                     \
    X(help)                                                                                        \
    X(completion)
#define X(id)                                                                                      \
    rung_status cli_##id(cli_call *c, rung_error *err);                                            \
    extern const cli_group cli_##id##_group;
CLI_COMMANDS(X)
#undef X

/* One stage of a recipe or one command line, options already resolved: runs it. */
rung_status cli_call_run(cli_call *c, rung_error *err);
#endif
