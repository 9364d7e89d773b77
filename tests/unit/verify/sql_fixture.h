/* A small database, as a script and as a file, for the tests of SQL. */
#ifndef RUNG_TESTS_SQL_FIXTURE_H
#define RUNG_TESTS_SQL_FIXTURE_H
#include "rung/sql.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char SCRIPT[] =
    "CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT, people INT, area REAL);"
    "CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, age INT, city_id INT,"
    " FOREIGN KEY(city_id) REFERENCES city(id));"
    "INSERT INTO city VALUES(1,'Oslo',700,1.5),(2,'Bergen',290,2.25),(3,'Vik',29,0.1),"
    "(4,'Moss',29,0.2);"
    "INSERT INTO person VALUES(1,'Ann',30,1),(2,'Ben',41,1),(3,'Cara',30,2),(4,'Dan',NULL,3),"
    "(5,'ann',22,1);";
static const rung_sql_db DB = {NULL, SCRIPT};

static rung_sql *sql_new(const rung_sql_limits *l) {
    rung_error err = RUNG_ERROR_INIT;
    rung_sql_opts o = RUNG_SQL_OPTS_INIT;
    rung_sql *s = NULL;
    o.limits.wall_s = 900; /* sanitizers and other work may slow the worker as they like */
    if (l) o.limits = *l;
    if (rung_sql_new(&s, &o, &err) != RUNG_OK) fail_msg("%s", err.what);
    return s;
}

static rung_sql_result sql_run(rung_arena *a, rung_sql *s, const char *sql) {
    rung_error err = RUNG_ERROR_INIT;
    rung_sql_result r;
    if (rung_sql_run(&r, a, s, &DB, sql, &err) != RUNG_OK) fail_msg("%s: %s", sql, err.what);
    return r;
}
#endif
