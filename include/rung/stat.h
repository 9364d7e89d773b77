/* rung/stat.h: estimators, intervals and tests (feedback.md 10, search.md 2.10). Pure; seeded where
 * random. NaN = undefined. */
#ifndef RUNG_STAT_H
#define RUNG_STAT_H
#include "rung/base.h"
#ifdef __cplusplus
extern "C" {
#endif
typedef struct rung_interval {
    double lo, hi;
} rung_interval;

double rung_pass_at_k(int64_t n, int64_t c, int64_t k);  /* 1 - C(n-c,k)/C(n,k) */
double rung_pass_all_k(int64_t n, int64_t c, int64_t k); /* pass^k: C(c,k)/C(n,k), all k correct */
/* Exact expected correctness of the best of a random k-subset; tied scores average over the tie
 * block (search.md 2.10). */
double rung_bon_at_k(const double *score, const bool *correct, int n, int k);
rung_interval rung_wilson(int64_t c, int64_t n, double level);
/* The set of means that c successes in n tosses do not rule out: it holds the truth at every n at
 * once with probability `level`, so one may stop at any look (beta-binomial mixture). */
rung_interval rung_confseq_bernoulli(int64_t c, int64_t n, double level);
/* After c successes in n: the chance of at least `least` in r more (beta(1/2, 1/2) before all). */
double rung_urn_above(int64_t c, int64_t n, int64_t r, int64_t least);
/* Log of an e-value against "p <= r q - d" (below) or "p >= r q - d" for two coins with c of c + w
 * and c2 of c2 + w2 right: mixtures Beta(1/2, 1/2) over the best likelihood under it. If it is true
 * the value ever reaches log(1 / alpha) with a chance of at most alpha, whatever the looks. r > 0.
 */
double rung_evalue_line(int64_t c, int64_t w, int64_t c2, int64_t w2, double r, double d,
                        bool below);
/* The same against "q >= q0" (at_least) or "q <= q0" for one coin. */
double rung_evalue_known(int64_t c2, int64_t w2, double q0, bool at_least);
/* Percentile bootstrap over items (problems) of the mean of x. */
rung_interval rung_bootstrap_mean(const double *x, int64_t n, int n_boot, double level,
                                  uint64_t seed);
/* Of any statistic: stat(ud, index[n], n). */
rung_interval rung_bootstrap(double (*stat)(void *ud, const uint32_t *index, int64_t n), void *ud,
                             int64_t n, int n_boot, double level, uint64_t seed);
/* The same with clusters, strata and BCa (feedback.md 10.5). A cluster (a problem with all its
 * traces) is drawn whole; the items of cluster c are cluster_first[c] .. cluster_first[c+1]-1. A
 * stratum keeps its number of clusters in every resample (AUC: a class each). */
typedef struct rung_boot {
    double (*stat)(void *ud, const uint32_t *index, int64_t n);
    void *ud;
    int64_t n;                    /* items */
    const int64_t *cluster_first; /* [n_clusters + 1]; NULL: every item is a cluster */
    int64_t n_clusters;
    const int32_t *stratum; /* [n_clusters] from 0; NULL: one */
    bool bca;               /* bias-corrected and accelerated; jackknife over clusters */
    int n_boot;
    double level;
    uint64_t seed;
} rung_boot;
typedef struct rung_boot_out {
    double value; /* of the statistic on the items as they are */
    rung_interval ci;
    bool degenerate; /* all resamples gave one value: the interval says nothing */
    int n_undefined; /* resamples on which the statistic is undefined */
} rung_boot_out;
rung_status rung_boot_run(rung_boot_out *out, const rung_boot *b, rung_error *err);
/* The means of m series over the same items: x[n][m] -> out[m]. Resample b is the same for every
 * series and for every call with the same seed and n, so the interval of a difference series is
 * paired. */
rung_status rung_bootstrap_means(rung_interval *out, const double *x, int64_t n, int32_t m,
                                 int n_boot, double level, uint64_t seed, rung_error *err);
typedef struct rung_mcnemar {
    int64_t b, c;
    double p_exact, p_mid, chi2, p_chi2;
} rung_mcnemar;
rung_mcnemar rung_mcnemar_test(int64_t b, int64_t c);
double rung_permutation_paired(const double *d, int64_t n, int n_flip,
                               uint64_t seed); /* exact for n <= 20 */
void rung_holm(double *adjusted, const double *p, size_t m);
void rung_benjamini_hochberg(double *adjusted, const double *p, size_t m);
void rung_benjamini_yekutieli(double *adjusted, const double *p, size_t m); /* any dependence */
/* How large, next to p: a paired difference d in points (100 x mean), Cohen's d_z = mean / sd. */
typedef struct rung_effect {
    double points, d_z;
} rung_effect;
rung_effect rung_effect_paired(const double *d, int64_t n);
double rung_odds_ratio(int64_t b, int64_t c); /* b/c; Haldane's +0.5 on both when one is 0 */
/* Mean of x per cluster; the items of a cluster need not be neighbours. Returns the number of
 * clusters, in order of first appearance; mean: room for n. -1: out of memory. */
int64_t rung_cluster_means(double *mean, const double *x, const int64_t *cluster, int64_t n);
/* p in [0,1]: probability; y in [0,1]: outcome, soft or hard. */
typedef struct rung_reliability_bin {
    int64_t n;
    double p, y; /* means inside the bin; 0 when empty */
} rung_reliability_bin;
/* Equal width (l, u], p = 0 in the first. False: n < 1, a p outside [0,1] or a NaN. */
bool rung_reliability(rung_reliability_bin *bin, const double *p, const double *y, int64_t n,
                      int n_bins);
double rung_brier(const double *p, const double *y, int64_t n);
double rung_ece(const double *p, const double *y, int64_t n,
                int n_bins); /* over the bins of rung_reliability */
double rung_ece_mass(const double *p, const double *y, int64_t n, int n_groups); /* equal mass */
double rung_mce(const double *p, const double *y, int64_t n, int n_bins);
double rung_nll(const double *p, const double *y, int64_t n);
double rung_brier_skill(const double *p, const double *y, int64_t n); /* 1 - Brier / base rate's */
/* T > 0 that minimises the NLL of sigmoid(logit / T) on held-out data; NaN: no minimum inside
 * [1e-4, 1e4] (all right, or all wrong). */
double rung_temperature_fit(const double *logit, const double *y, int64_t n);
/* sigmoid(a x + b) by maximum likelihood; y may be soft. False: separable, one class, constant x.
 */
bool rung_logistic_fit(double *a, double *b, const double *x, const double *y, int64_t n);
/* The same against Platt's targets (n+ + 1)/(n+ + 2) and 1/(n- + 2): separable data fit, too.
 * False: one class, constant x. */
bool rung_platt_fit(double *a, double *b, const double *x, const double *y, int64_t n);
/* Least squares among functions that do not fall, by pooling adjacent violators; equal x are one
 * point. knot: room for 2 n; returns how many, ascending in x. -1: a NaN, out of memory. Between
 * knots straight lines, beyond them their value. */
typedef struct rung_knot {
    double x, y;
} rung_knot;
int64_t rung_isotonic_fit(rung_knot *knot, const double *x, const double *y, int64_t n);
double rung_isotonic_at(const rung_knot *knot, int64_t n, double x);
double rung_auroc(const double *score, const double *y, int64_t n); /* P(pos > neg) + P(equal)/2 */
double rung_average_precision(const double *score, const double *y, int64_t n);
/* Traces t = items first[t] .. first[t+1]-1: the mean of their AUROCs, of those with both classes.
 */
double rung_auroc_macro(const double *score, const double *y, const int64_t *first,
                        int64_t n_traces);
/* Selective answering: accuracy among the most confident share. accuracy[i] of the i+1 most
 * confident, ties in confidence averaged; risk = 1 - accuracy, coverage = (i+1)/n. Returns the mean
 * over all shares (AURAC). accuracy NULL: not wanted. */
double rung_selective(double *accuracy, const double *confidence, const double *y, int64_t n);
/* Entropy of meanings (sequence log-likelihoods L, cluster ids): se: clusters weighted by their
 * normalised likelihood; counts: by the number of samples; naive: -mean L. */
typedef struct rung_entropy {
    double se, counts, naive;
} rung_entropy;
rung_entropy rung_semantic_entropy(const double *loglik, const int32_t *cluster, int64_t n);

/* Agreement of raters (feedback.md 10.3). table[k][k]: counts, row = the first rater's category. */
double rung_kappa(const double *table, int k);
typedef enum { RUNG_KAPPA_LINEAR, RUNG_KAPPA_QUADRATIC } rung_kappa_weight;
double rung_kappa_weighted(const double *table, int k, rung_kappa_weight w);
double rung_gwet_ac1(const double *table, int k); /* steady where kappa is not: high prevalence */
/* count[n_items][k]: how many of the m raters chose each category; m the same in every row. */
double rung_kappa_fleiss(const double *count, int64_t n_items, int k);
typedef enum {
    RUNG_ALPHA_NOMINAL,
    RUNG_ALPHA_ORDINAL,
    RUNG_ALPHA_INTERVAL,
    RUNG_ALPHA_RATIO
} rung_alpha_metric;
/* value[n_raters][n_units], NaN = missing. */
double rung_krippendorff(const double *value, int64_t n_raters, int64_t n_units,
                         rung_alpha_metric metric);

/* Judges in pairs (feedback.md 10.2). */
typedef enum rung_pref { RUNG_PREF_TIE, RUNG_PREF_A, RUNG_PREF_B, RUNG_PREF_ERROR } rung_pref;
rung_pref rung_pref_of_scores(double a, double b, double epsilon); /* NaN: error */
/* ab: the judge was shown A first; ba: B first; both say A or B by name. The same winner in both or
 * a tie; an error in either is an error. */
rung_pref rung_pref_swapped(rung_pref ab, rung_pref ba);
typedef struct rung_pairwise {
    int64_t n_win, n_loss, n_tie, n_error; /* of A, after the swap */
    double win_rate, adjusted;             /* W/(W+L+T), (W + T/2)/(W+L+T) */
    double consistency; /* share with the same verdict in both orders (a tie twice is one) */
    double first_bias;  /* of the others: share where the first shown won both, minus the second */
} rung_pairwise;
rung_pairwise rung_pairwise_swap(const rung_pref *ab, const rung_pref *ba, int64_t n);
/* Share of pairs on which two judges agree: ties as a class, and without the pairs where either
 * said tie. Errors are dropped. */
void rung_pref_agreement(double *with_ties, double *without_ties, const rung_pref *x,
                         const rung_pref *y, int64_t n);
/* Length: A's win rate (ties count half) where A is longer, shorter, as long; P(A wins) at equal
 * length and the slope, from logit P = b0 + b1 tanh(z), z = the standardised difference. */
typedef struct rung_length_bias {
    double longer, shorter, equal, adjusted, slope;
} rung_length_bias;
rung_length_bias rung_length_control(const rung_pref *pref, const double *len_a,
                                     const double *len_b, int64_t n);
/* Mode of n critiques' first-error indices (RUNG_PRED_NONE = unparsed, dropped); the first seen on
 * a tie; RUNG_PRED_NONE when all are unparsed. */
int32_t rung_critique_vote(const int32_t *pred, int64_t n);
/* v[i] = share of the parsed critiques that call step i wrong. wrong iff v > 1/2. */
void rung_step_votes(double *v, int32_t n_steps, const int32_t *pred, int64_t n);
/* Dawid-Skene with two classes: mark[n][m] in {0, 1, -1 none}; gold[n] the same or NULL. post[n]:
 * the chance that the item is right. sens[j]: labeler j calls a right item right; spec[j]: a wrong
 * one wrong. */
enum { RUNG_LABELERS_MAX = 16 };
typedef struct rung_dawid_skene {
    int32_t n_labelers, n_iter;
    double prior, sens[RUNG_LABELERS_MAX], spec[RUNG_LABELERS_MAX];
} rung_dawid_skene;
rung_status rung_dawid_skene_fit(rung_dawid_skene *out, double *post, const int8_t *mark,
                                 const int8_t *gold, int64_t n, int32_t m, int32_t max_iter,
                                 double tol, rung_error *err);
/* ProcessBench (labels.md 1): pred and label per case; pred RUNG_PRED_NONE = unparsed, a miss. In
 * percent. */
#define RUNG_PRED_NONE (-2)
typedef struct rung_pb {
    double acc_err, acc_cor, f1;
    int64_t n_err, n_cor;
} rung_pb;
rung_pb rung_processbench(const int32_t *pred, const int32_t *label, int64_t n);
/* PRMBench: steps with label 1 = said to be valid; errors: 0-based (its files count from 1). Sums
 * of all error classes are pooled; add with + of the counts. */
typedef struct rung_prmbench {
    int64_t tp, fp, tn, fn;       /* positive = valid */
    int64_t n_first, n_first_hit; /* traces with an error; its first one found */
    int64_t n_step, n_step_hit;   /* all steps */
    int64_t n_right, n_right_hit; /* valid steps */
    int64_t n_wrong, n_wrong_hit; /* erroneous steps */
} rung_prmbench;
void rung_prmbench_add(rung_prmbench *z, const bool *valid, const bool *error, int32_t n_steps);
typedef struct rung_prmbench_score {
    double f1, f1_negative, score; /* score = (f1 + f1_negative) / 2; NaN: a denominator is 0 */
    double acc_step, acc_right, acc_wrong, acc_first;
} rung_prmbench_score;
rung_prmbench_score rung_prmbench_get(const rung_prmbench *z);
/* Mean |share of valid steps said of the modified trace - of its original|. */
double rung_prmbench_similarity(const double *modified, const double *original, int64_t n);
/* What best-of-N hides of a reward model (labels.md 2). Adds one answer. right: its final answer;
 * first_error: -1 none, 0.. the step, anything else not known; score[n] of its steps (n = 0: not
 * scored). */
typedef struct rung_bon_bias {
    int64_t n_right;   /* right answers whose process is known */
    int64_t n_flawed;  /* of them with a wrong step */
    int64_t n_seen;    /* flawed ones that are scored */
    int64_t n_flagged; /* of them with a step below tau */
    int64_t n_scored;  /* answers of two or more scored steps */
    int64_t n_last;    /* of them whose least score is that of the last step alone */
} rung_bon_bias;
void rung_bon_bias_add(rung_bon_bias *z, bool right, int32_t first_error, const double *score,
                       int32_t n, double tau);
int32_t rung_first_below(const double *score, int32_t n,
                         double tau); /* smallest t with score < tau (strict), else -1 */
/* tau that maximises ProcessBench's F1 on cases whose scores are score[first[i]] .. first[i+1]-1
 * and whose first error is label[i] (-1 none): half way between two scores between which no
 * prediction changes, the least of equals; .5 when all scores are equal (f1 NaN). No NaN among the
 * scores. E_FORMAT: one class only. */
rung_status rung_first_error_threshold(double *tau, double *f1, const double *score,
                                       const int64_t *first, const int32_t *label, int64_t n,
                                       rung_error *err);
/* How two readings of the same things go together, NaN where one of them is constant. weight NULL:
 * 1; else counts (a resample). tau-b takes n^2 / 2 steps. */
double rung_pearson(const double *x, const double *y, const double *weight, int64_t n);
double rung_kendall(const double *x, const double *y, const double *weight, int64_t n);
/* The best of n candidates leads by `gap`; each is read with sub-Gaussian noise of proxy sigma^2.
 * Upper bound of the chance that another one reads higher (search.md 1): (n-1) exp(-gap^2 / 4
 * sigma^2), at most 1. */
double rung_rejection_bound(int64_t n, double gap, double sigma);
/* Compute-optimal choice (search.md 2.9). correct[n_strategies][n]; value[n]: how easy a problem is
 * (pass rate of a pilot, or mean reward); n_bins quantile bins, bin 0 the easiest; 0 = three
 * absolute ones
 * ([.5,1], [.1,.5), [0,.1)). Bins are cut in two folds; what is best on one answers the other.
 * single: the best strategy for all bins, chosen in the same way: what the bins are to beat. */
enum { RUNG_OPTIMAL_BINS = 16 };
typedef struct rung_optimal {
    double acc, single_acc, diff;
    rung_interval ci, diff_ci;                               /* bootstrap over problems, paired */
    int32_t n_bins, single[2], choice[2][RUNG_OPTIMAL_BINS]; /* [fold that it answers][bin] */
    int64_t n_bin[RUNG_OPTIMAL_BINS];
    double bin_acc[RUNG_OPTIMAL_BINS];
} rung_optimal;
rung_status rung_compute_optimal(rung_optimal *out, const double *correct, int32_t n_strategies,
                                 const double *value, int64_t n, int n_bins, int n_boot,
                                 uint64_t seed, rung_error *err);
#ifdef __cplusplus
}
#endif
#endif
