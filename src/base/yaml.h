/* YAML in (libfyaml): recipes, configs, formats. Line and column in every error. Internal header.
 */
#ifndef RUNG_SRC_YAML_H
#define RUNG_SRC_YAML_H
#include "rung/base.h"

/* One document of at most 16 MiB, nested at most 32 deep, keys plain text and unique; aliases are
 * refused. An empty file is an empty map. Text is never typed: "0.80" stays "0.80". */
typedef struct rung_yaml rung_yaml;           /* a document */
typedef struct rung_yaml_node rung_yaml_node; /* borrowed from the document */
rung_status rung_yaml_load(rung_yaml **out, const char *path, rung_error *err);
rung_status rung_yaml_parse(rung_yaml **out, const char *text, size_t n, const char *name,
                            rung_error *err);
void rung_yaml_free(rung_yaml *y);
const char *rung_yaml_name(const rung_yaml *y); /* file name for messages */
const rung_yaml_node *rung_yaml_root(const rung_yaml *y);

typedef enum { RUNG_YAML_SCALAR, RUNG_YAML_SEQ, RUNG_YAML_MAP } rung_yaml_kind;
rung_yaml_kind rung_yaml_kind_of(const rung_yaml_node *n);
int rung_yaml_line(const rung_yaml_node *n); /* 1-based */
int rung_yaml_column(const rung_yaml_node *n);
const char *
rung_yaml_scalar(const rung_yaml_node *n);       /* NUL-terminated text, NULL if not a scalar */
size_t rung_yaml_count(const rung_yaml_node *n); /* items of a seq or pairs of a map */
const rung_yaml_node *rung_yaml_item(const rung_yaml_node *n,
                                     size_t i);               /* seq item, or value of pair i */
const char *rung_yaml_key(const rung_yaml_node *n, size_t i); /* key of pair i */
/* line of key of pair i (a value may start on a later line); 0 when out of range */
int rung_yaml_key_line(const rung_yaml_node *n, size_t i);
const rung_yaml_node *rung_yaml_get(const rung_yaml_node *n, const char *key); /* NULL if absent */
#endif
