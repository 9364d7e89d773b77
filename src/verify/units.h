/* Units of measure: what a phrase like "square feet" or "km/h" is worth in base units. */
#ifndef RUNG_SRC_VERIFY_UNITS_H
#define RUNG_SRC_VERIFY_UNITS_H
#include "rung/base.h"

enum { UNIT_LENGTH, UNIT_MASS, UNIT_TIME, UNIT_MONEY, UNIT_ANGLE, UNIT_DATA, UNIT_DIMS };
typedef struct unit {
    int8_t dim[UNIT_DIMS]; /* powers */
    int64_t num, den;      /* factor to metre, gram, second, dollar, degree, byte */
} unit;

/* Bytes of a known unit phrase that begins the text; 0 none. */
size_t unit_span(const char *p, size_t n);
/* The whole text is a known unit phrase. */
bool unit_read(unit *out, const char *p, size_t n);
#endif
