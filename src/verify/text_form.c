/* Answers that are neither numbers nor formulas: times of day and dates. */
#include "verify/answer.h"
#include <stdio.h>
#include <string.h>

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static int two_digits(const char **p) {
    int v = 0, n = 0;
    while (digit(**p) && n++ < 4) v = v * 10 + (*(*p)++ - '0');
    return n > 0 && n < 5 ? v : -1;
}

static void blanks(const char **p) {
    while (**p == ' ') (*p)++;
}

/* a.m., am, AM -> 'a' or 'p'; NUL none. */
static char half(const char **p) {
    const char *q = *p;
    char c = (char)(*q | 0x20);
    if (c != 'a' && c != 'p') return '\0';
    q++;
    if (*q == '.') q++;
    blanks(&q);
    if ((*q | 0x20) != 'm') return '\0';
    q++;
    if (*q == '.') q++;
    *p = q;
    return c;
}

bool time_read(char key[32], const char *text) {
    const char *p = text;
    bool colon = false;
    int hour = two_digits(&p), minute = 0, second = 0;
    if (hour < 0 || hour > 24) return false;
    if (*p == ':') {
        colon = true;
        if (!digit(p[1]) || !digit(p[2]) || digit(p[3])) return false;
        p++;
        minute = two_digits(&p);
        if (*p == ':') {
            if (!digit(p[1]) || !digit(p[2]) || digit(p[3])) return false;
            p++;
            second = two_digits(&p);
        }
    }
    blanks(&p);
    char h = half(&p);
    blanks(&p);
    if (*p || (!colon && !h) || minute > 59 || second > 59 || (h && (hour < 1 || hour > 12)))
        return false;
    if (h == 'p' && hour < 12) hour += 12;
    if (h == 'a' && hour == 12) hour = 0;
    snprintf(key, 32, "%02d:%02d:%02d", hour, minute, second);
    return true;
}

static int month_read(const char **p) {
    static const char *const names[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
    char word[16];
    size_t n = 0;
    while (((**p | 0x20) >= 'a' && (**p | 0x20) <= 'z') && n + 1 < sizeof word)
        word[n++] = (char)(*(*p)++ | 0x20);
    word[n] = '\0';
    for (int i = 0; i < 12; i++)
        if (strcmp(names[i], word) == 0 || (n == 3 && strncmp(names[i], word, 3) == 0)) {
            if (**p == '.') (*p)++;
            return i + 1;
        }
    return 0;
}

static void ordinal(const char **p) {
    static const char *const ends[] = {"st", "nd", "rd", "th"};
    for (size_t i = 0; i < 4; i++)
        if (strncmp(*p, ends[i], 2) == 0) *p += 2;
}

static void separators(const char **p) {
    while (**p == ' ' || **p == ',') (*p)++;
    if (strncmp(*p, "of ", 3) == 0) *p += 3;
}

bool date_read(char key[32], const char *text) {
    const char *p = text;
    int year = 0, month = month_read(&p), day;
    if (month > 0) {
        separators(&p);
        day = two_digits(&p);
        ordinal(&p);
        separators(&p);
        if (*p) year = two_digits(&p);
    } else if (p == text && digit(*p)) {
        day = two_digits(&p);
        if (*p == '-' && p - text == 4) { /* 2021-03-05 */
            year = day;
            p++;
            month = two_digits(&p);
            if (*p++ != '-') return false;
            day = two_digits(&p);
        } else {
            ordinal(&p);
            separators(&p);
            month = month_read(&p);
            separators(&p);
            if (*p) year = two_digits(&p);
        }
    } else {
        return false;
    }
    if (*p || month < 1 || month > 12 || day < 1 || day > 31 || year < 0) return false;
    if (year > 0 && year < 1000) return false;
    snprintf(key, 32, "%04d-%02d-%02d", year, month, day);
    return true;
}
