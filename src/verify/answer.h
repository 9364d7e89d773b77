/* Inside of the maths verifier: normalised text, exact numbers, answer classes. */
#ifndef RUNG_SRC_VERIFY_ANSWER_H
#define RUNG_SRC_VERIFY_ANSWER_H
#include "rung/verify.h"
#include "verify/big.h"

/* Longer answers are compared as raw text only. */
enum { ANSWER_BYTES_MAX = 1024, TIDY_MAX = 3 * ANSWER_BYTES_MAX, CANON_MAX = 8 * TIDY_MAX };

/* Text without LaTeX spacing, $, degree signs, \text and the like; blanks collapsed. Linear. */
typedef struct tidy {
    char text[TIDY_MAX + 1];
    size_t n;
    char unit[64]; /* of a trailing \text{unit}; "" none */
    bool money;    /* $ at a number, not as maths delimiters */
    bool degrees;  /* a degree sign was taken out */
    char variable; /* the letter of "x = 5"; NUL none */
} tidy;
bool tidy_make(tidy *out, const char *text); /* false: longer than ANSWER_BYTES_MAX */

typedef struct number {
    bool neg, percent;
    big num, den;
    int32_t n_frac; /* digits after the decimal point when written as a decimal, else -1 */
    uint32_t scale; /* 100 for % and cents, 1000.. for "thousand"..; 1 none: x may also mean x scale
                       or x / scale */
    char unit[64];  /* "" none; letters only */
    char phrase[64]; /* the unit as written */
} number;
/* Bytes of a run of digits with well-formed groups ("1,234,567"), else of its first digits. */
size_t digits_with_groups(const char *p);
bool number_parse(number *out, const tidy *t);
/* Normalised string of what is no number (search.md 2.15); out holds CANON_MAX + 1 bytes. */
void canon_string(char *out, const tidy *t);

/* What an answer was read as. CLASS_TREE: an expression (math_form.h). */
typedef enum {
    CLASS_NONE = 0,
    CLASS_NUMBER,
    CLASS_CHOICE,
    CLASS_TEXT, /* plain words */
    CLASS_TIME, /* 3:45 p.m. */
    CLASS_DATE, /* March 5, 2021 */
    CLASS_TREE,
    CLASS_STRING /* none of these: normalised text */
} answer_class;

bool plain_words(const char *p, size_t n);
/* "3:45 p.m.", "15:45" -> "15:45"; a clock without a.m. or p.m. keeps its hours. */
bool time_read(char key[32], const char *text);
/* "March 5, 2021", "5 March 2021", "2021-03-05" -> "2021-03-05"; no year: "-03-05". */
bool date_read(char key[32], const char *text);

/* What has two spellings, in the one that the parser reads: the empty set (\emptyset), a system in
 * braces (cases of relations alone: a list), repeating digits in brackets (0.1(6)). n bytes, at
 * most ANSWER_BYTES_MAX, in; bytes out. */
size_t other_spelling(char out[ANSWER_BYTES_MAX + 16], const char *p, size_t n);

void key_set(char key[128], char mark, const char *text, size_t n);
size_t visible(const char **text); /* bytes between blanks at both ends */
void check_set(rung_check *out, rung_verdict v, const char *rule, const char *reason);
void key_math(char key[128], const char *text);
void check_math(rung_check *out, const char *gold, const char *answer);

void extract_math(rung_answer *out, const char *text, size_t n);
void extract_exact(rung_answer *out, const char *text, size_t n);
void extract_choice(rung_answer *out, const char *text, size_t n);
#endif
