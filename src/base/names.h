/* Nearest name, for "unknown flag --tempreture; did you mean --temperature?". Internal header. */
#ifndef RUNG_SRC_NAMES_H
#define RUNG_SRC_NAMES_H
#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) between two names, case ignored. */
size_t rung_edit_distance(const char *a, const char *b);
/* The closest of list[0..n); NULL when none is near: more than 2 edits, or a third of the longer
 * name where that is more. The first of equals wins. NULL entries are skipped. */
const char *rung_nearest(const char *name, const char *const *list, size_t n);
#endif
