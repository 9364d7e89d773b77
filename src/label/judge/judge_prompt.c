/* The prompts of judges and how their replies are read (labels.md 1 and 2). */
#include "rung/label.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void steps_tagged(rung_buf *b, const rung_trace *t, int32_t first) {
    for (int32_t k = 0; k < t->n_steps; k++) {
        const rung_step *s = &t->step[k];
        int32_t n = s->byte_end - s->byte_begin;
        const char *text = t->text + s->byte_begin;
        while (n > 0 && strchr(" \n\r\t", text[n - 1])) n--;
        rung_buf_printf(b, "<paragraph_%d>\n", k + first);
        rung_buf_append(b, text, (size_t)n);
        rung_buf_printf(b, "\n</paragraph_%d>\n\n", k + first);
    }
}

static rung_status ask_processbench(rung_buf *b, const char *problem, const rung_trace *t,
                                    rung_error *err) {
    rung_buf_str(b, "Below is a math problem and a solution to it. The solution is split into "
                    "paragraphs, each inside tags that carry its index; the first index is 0.\n\n"
                    "[Math Problem]\n\n");
    rung_buf_str(b, problem);
    rung_buf_str(b, "\n\n[Solution]\n\n");
    steps_tagged(b, t, 0);
    rung_buf_str(b, "Go through the solution paragraph by paragraph and critique each. When a "
                    "paragraph holds an error, answer with the index of the paragraph where the "
                    "earliest error occurs. When there is no error, answer with the index -1, "
                    "which means that none was found.\n\n"
                    "Put your final answer, the index, in \\boxed{}.\n");
    return rung_buf_check(b, err);
}

static rung_status ask_consensus(rung_buf *b, const char *problem, const rung_trace *t,
                                 rung_error *err) {
    rung_buf_str(b, "I give you a math problem inside <math_problem> tags and a solution whose "
                    "paragraphs stand inside the tags <paragraph_1>, <paragraph_2>, ... Check the "
                    "solution paragraph by paragraph.\n\n<math_problem>\n");
    rung_buf_str(b, problem);
    rung_buf_str(b, "\n</math_problem>\n\n<solution>\n");
    steps_tagged(b, t, 1);
    rung_buf_str(
        b, "</solution>\n\n"
           "For each paragraph in turn write your analysis inside <analysis_k> tags, where k is "
           "the number of the paragraph: redo its calculations, or reflect on its reasoning. At "
           "the first error say what is wrong and how to mend it, analyse no later paragraph and "
           "end. Then write your verdict inside <conclusion> tags: Correct when every paragraph "
           "is right, else Incorrect. For a solution of five paragraphs whose third is wrong:\n\n"
           "<analysis_1>\n...\n</analysis_1>\n\n<analysis_2>\n...\n</analysis_2>\n\n"
           "<analysis_3>\nThe error is ...; right would be ...\n</analysis_3>\n\n"
           "<conclusion>\nIncorrect\n</conclusion>\n");
    return rung_buf_check(b, err);
}

/* What stands in the last \boxed{...} without braces inside it, blanks around it cut. */
static bool last_box(char claim[64], const char *reply) {
    bool any = false;
    for (const char *p = reply; (p = strstr(p, "\\boxed{")) != NULL;) {
        p += 7;
        size_t n = strcspn(p, "{}");
        if (p[n] != '}') continue;
        const char *q = p;
        while (n > 0 && strchr(" \t\n", *q)) q++, n--;
        while (n > 0 && strchr(" \t\n", q[n - 1])) n--;
        if (n > 63) n = 63;
        memcpy(claim, q, n);
        claim[n] = 0;
        any = true;
        p += 1;
    }
    return any;
}

/* A whole number in [lo, hi], else UNKNOWN. */
static int32_t index_of(const char *text, long lo, long hi, long base) {
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end || v < lo || v > hi) return RUNG_FIRST_ERROR_UNKNOWN;
    return v < 0 ? -1 : (int32_t)(v - base);
}

static int32_t parse_processbench(char claim[64], const char *reply, int32_t n_steps) {
    claim[0] = 0;
    if (!last_box(claim, reply)) return RUNG_FIRST_ERROR_UNKNOWN;
    return index_of(claim, -1, n_steps - 1, 0);
}

/* Largest k of <analysis_k>, 0 none. */
static long last_analysis(const char *reply) {
    long most = 0;
    for (const char *p = reply; (p = strstr(p, "<analysis_")) != NULL;) {
        char *end;
        long k = strtol(p += 10, &end, 10);
        if (end != p && *end == '>' && k > most && k < INT_MAX) most = k;
    }
    return most;
}

/* Incorrect: the error is in the last paragraph that was analysed. Correct with fewer analyses than
 * steps is still correct: a tired judge must not lean towards wrong. */
static int32_t parse_consensus(char claim[64], const char *reply, int32_t n_steps) {
    claim[0] = 0;
    const char *p = NULL;
    for (const char *q = reply; (q = strstr(q, "<conclusion>")) != NULL; q += 12) p = q + 12;
    if (!p) return RUNG_FIRST_ERROR_UNKNOWN;
    p += strspn(p, " \t\r\n*");
    long k = last_analysis(reply);
    if (strncmp(p, "Correct", 7) == 0 || strncmp(p, "correct", 7) == 0) {
        memcpy(claim, "-1", 3);
        return -1;
    }
    if (strncmp(p, "Incorrect", 9) != 0 && strncmp(p, "incorrect", 9) != 0)
        return RUNG_FIRST_ERROR_UNKNOWN;
    if (k < 1 || k > n_steps) return RUNG_FIRST_ERROR_UNKNOWN;
    rung_buf b;
    rung_buf_init(&b, 64);
    rung_buf_printf(&b, "%ld", k - 1);
    if (!b.failed) memcpy(claim, b.data, b.n + 1);
    rung_buf_clear(&b);
    return (int32_t)(k - 1);
}

static const rung_judge_prompt prompts[] = {
    {"processbench", "the critic of ProcessBench: paragraphs from 0, the index in a box", 0,
     ask_processbench, parse_processbench},
    {"consensus", "the judge of the consensus filter: paragraphs from 1, analyses, a conclusion", 1,
     ask_consensus, parse_consensus},
};

const rung_judge_prompt *rung_judge_prompt_at(size_t i) {
    return i < sizeof prompts / sizeof prompts[0] ? &prompts[i] : NULL;
}

const rung_judge_prompt *rung_judge_prompt_find(const char *name) {
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++)
        if (strcmp(prompts[i].name, name) == 0) return &prompts[i];
    return NULL;
}
