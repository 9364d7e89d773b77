/* The built-in formats: the same YAML that a user would write. What a family was trained on is its
 * authors' convention; where it is not published in one place the comment says from what. */
#include "reward/reward_format.h"

static const char *const formats[] = {
    "name: qwen-math-prm\n"
    "help: \"Qwen2.5-Math-PRM: <extra_0> after each step, a two-class head, class 1 is right\"\n"
    "system: \"Please reason step by step, and put your final answer within \\\\boxed{}.\"\n"
    "tokens: text\n"
    "trim: true\n"
    "tag: \"<extra_0>\"\n"
    "score: head\n"
    "class: 1\n"
    "aggregate: min\n"
    "head: [score.0, score.2]\n"
    "activation: relu\n",

    "name: math-shepherd\n"
    "help: \"Math-Shepherd: a tag after each step, + against - there, no chat template\"\n"
    "chat: raw\n"
    "suffix: \" \"\n"
    "tokens: text\n"
    "trim: true\n"
    "between: \"\\n\"\n" /* as in the model card's example; the tag ends the line */
    "tag: \" ки\"\n"
    "tag_tokens: within\n"
    "score: tokens\n"
    "positive: \" +\"\n"
    "negative: \" -\"\n"
    "aggregate: min\n",

    "name: rlhflow\n"
    "help: \"RLHFlow's turns: user says a step, assistant + or -, read before the reply\"\n"
    "layout: turns\n"
    "suffix: \" \"\n" /* between the question and the first step */
    "tokens: text\n"
    "trim: true\n"
    "reply: \"+\"\n"
    "score: tokens\n"
    "positive: \"+\"\n"
    "negative: \"-\"\n"
    "aggregate: min\n",

    "name: skywork\n"
    "help: \"Skywork-o1-PRM: a value head at the line end that closes each step, by sigmoid\"\n"
    "chat: raw\n"
    "suffix: \"\\n\"\n"
    "tokens: text\n"
    "trim: true\n"
    "tag: \"\\n\"\n"
    "score: head\n"
    "aggregate: min\n"
    "head: v_head.summary\n",

    "name: trl\n"
    "help: \"TRL's PRMTrainer: token classification at the separator after each step\"\n"
    "chat: raw\n"
    "tokens: text\n"
    "trim: true\n"
    "tag: \"\\n\"\n"
    "score: head\n"
    "class: 1\n"
    "aggregate: min\n"
    "head: score\n",

    "name: rung-head\n"
    "help: \"rung reward train --kind prm_head: the policy's own tokens, its hidden states\"\n"
    "score: head\n"
    "aggregate: min\n",

    "name: rung-token\n"
    "help: \"rung reward train --kind prm_token: <+> against <-> at the tag\"\n"
    "tag: \"<?>\"\n"
    "score: tokens\n"
    "positive: \"<+>\"\n"
    "negative: \"<->\"\n"
    "aggregate: min\n",

    /* rewards.md 1: r = beta log pi/pi_ref summed over the response; the accumulated value through
     * a sigmoid is what ProcessBench thresholds. Scores belong to prefixes, so the end-of-turn
     * token, which only the leaf has, is not counted. */
    "name: log-ratio\n"
    "help: \"implicit PRM: beta times the log-ratio of policy and reference, up to each step\"\n"
    "score: log_ratio\n"
    "beta: 0.05\n"
    "mode: accumulative\n"
    "squash: sigmoid\n"
    "aggregate: min\n",

    "name: verdict\n"
    "help: \"a judge asked after each step: next-token probability of Yes against No\"\n"
    "layout: ask\n"
    "system: \"You check solutions of problems step by step.\"\n"
    "prompt: \"Problem:\\n{question}\\n\\nSolution so far:\"\n"
    "step: \"\\nStep {k}: {step}\"\n"
    "tokens: text\n"
    "trim: true\n"
    "ask: \"\\n\\nIs step {k} correct? Answer with one word, Yes or No.\"\n"
    "score: tokens\n"
    "positive: \"Yes\"\n"
    "negative: \"No\"\n"
    "aggregate: min\n",
};

const char *reward_format_text(size_t i) {
    return i < sizeof formats / sizeof formats[0] ? formats[i] : NULL;
}
