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
} tidy;
bool tidy_make(tidy *out, const char *text); /* false: longer than ANSWER_BYTES_MAX */

typedef struct number {
    bool neg, percent;
    big num, den;
    int32_t n_frac; /* digits after the decimal point when written as a decimal, else -1 */
    uint32_t scale; /* 100 for % and cents, 1000.. for "thousand"..; 1 none: x may also mean x scale
                       or x / scale */
    char unit[64];  /* "" none */
} number;
/* Bytes of a run of digits with well-formed groups ("1,234,567"), else of its first digits. */
size_t digits_with_groups(const char *p);
bool number_parse(number *out, const tidy *t);
/* Normalised string of what is no number (search.md 2.15); out holds CANON_MAX + 1 bytes. */
void canon_string(char *out, const tidy *t);

typedef enum { CLASS_NONE = 0, CLASS_NUMBER, CLASS_CHOICE, CLASS_STRING } answer_class;

void extract_math(rung_answer *out, const char *text, size_t n);
void extract_exact(rung_answer *out, const char *text, size_t n);
void extract_choice(rung_answer *out, const char *text, size_t n);
#endif
