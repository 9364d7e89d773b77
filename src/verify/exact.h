/* FLINT and Arb behind one door: FLINT 3 holds both, FLINT 2.9 (Debian 12) has Arb 2.23 beside it.
 * Everything that includes a header of theirs includes this one.
 *
 * Neither library reports a lack of memory (they abort), so whoever calls them bounds sizes first:
 * the caps below. */
#ifndef RUNG_SRC_VERIFY_EXACT_H
#define RUNG_SRC_VERIFY_EXACT_H
#if defined(__GNUC__)
#pragma GCC diagnostic push /* their inline functions do not survive our warnings */
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#endif
#include <flint/flint.h>
#include <flint/fmpq.h>
#include <flint/fmpz.h>
#include <flint/fmpz_mpoly.h>
#if __FLINT_RELEASE >= 30000
#include <flint/acb.h>
#include <flint/arb.h>
#else
#include <acb.h>
#include <arb.h>
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic pop
/* fmpq_t x: gcc 12 takes a pointer to x's numerator for one to x and warns of the other half */
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#endif
#endif

enum {
    EXACT_BITS_MAX = 4096, /* of a numerator or denominator; 1000! has 8,530 */
    BALL_BITS_MAX = 8192,  /* precision of ball arithmetic */
    POLY_TERMS_MAX = 600,  /* of a polynomial on the way */
    POLY_DEGREE_MAX = 256, /* of one power; x^(10^6) is beyond it */
    SUM_TERMS_MAX = 2000,  /* of one \sum or \prod */
    WORK_MAX = 40000       /* units of about a microsecond for one check */
};
#endif
