/* bench_label_efficiency [TRACES [SEED]]: the table of docs/labels.md as Markdown. */
#include "label_efficiency.h"
#include <stdio.h>

static void row(double rho, int32_t k, eff_labeler who, rung_stopping stop, double level, int64_t n,
                uint64_t seed) {
    eff_row z = eff_measure(who, rho, k, stop, level, n, seed);
    char name[16];
    snprintf(name, sizeof name, stop == RUNG_STOPPING_EXACT ? "exact" : "bound %.2f", level);
    printf(
        "| %.2f | %d | %s | %s | %.1f [%.1f, %.1f] | %.0f | %.1f | %.0f | %+.2f [%+.2f, %+.2f] | "
        "%.2f [%.2f, %.2f] |\n",
        rho, k, eff_names[who], name, 100 * z.acc[0], 100 * z.acc_ci[0].lo, 100 * z.acc_ci[0].hi,
        z.tok[0], 100 * z.acc[1], z.tok[1], 100 * z.diff, 100 * z.diff_ci.lo, 100 * z.diff_ci.hi,
        z.ratio, z.ratio_ci.lo, z.ratio_ci.hi);
}

int main(int argc, char **argv) {
    int64_t n = argc > 1 ? atoll(argv[1]) : 6000;
    uint64_t seed = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
    const double rhos[] = {0, .03, .08};
    const int32_t ks[] = {8, 32};
    printf("| rho | K | labeler | stopping | first error exact, fixed K, %% | tokens | with "
           "stopping, %% | tokens | difference, points | tokens, ratio |\n");
    printf("|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 2; j++)
            for (int who = 0; who < EFF_LABELERS; who++) {
                if (who != EFF_RELATIVE) {
                    row(rhos[i], ks[j], (eff_labeler)who, RUNG_STOPPING_EXACT, .95, n, seed);
                    continue;
                }
                row(rhos[i], ks[j], (eff_labeler)who, RUNG_STOPPING_EXACT, 0, n, seed);
                row(rhos[i], ks[j], (eff_labeler)who, RUNG_STOPPING_CONFIDENCE, .8, n, seed);
                row(rhos[i], ks[j], (eff_labeler)who, RUNG_STOPPING_CONFIDENCE, .95, n, seed);
            }
        row(rhos[i], 128, EFF_RELATIVE, RUNG_STOPPING_CONFIDENCE, .8, n, seed);
        row(rhos[i], 128, EFF_RELATIVE, RUNG_STOPPING_CONFIDENCE, .95, n, seed);
    }
    return 0;
}
