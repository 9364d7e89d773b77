#include "train/head_core.h"
#include "train/gemm.h"

int64_t rung_head_n_params(rung_head_dims d) {
    return d.n_hidden == 0 ? d.n_in + 1 : d.n_hidden * (d.n_in + 2) + 1;
}

/* hid = relu(x w1^T + b1), z = hid w2 + b2. */
bool rung_head_core_forward(real *z, real *hid, const real *p, rung_head_dims d, const real *x,
                            int64_t n) {
    if (d.n_hidden == 0) {
        bool ok = rung_gemm(false, true, n, 1, d.n_in, 1, x, d.n_in, p, d.n_in, 0, z, 1);
        for (int64_t i = 0; i < n; i++) z[i] += p[d.n_in];
        return ok;
    }
    const real *b1 = p + d.n_hidden * d.n_in, *w2 = b1 + d.n_hidden, b2 = w2[d.n_hidden];
    bool ok =
        rung_gemm(false, true, n, d.n_hidden, d.n_in, 1, x, d.n_in, p, d.n_in, 0, hid, d.n_hidden);
    for (int64_t i = 0; i < n; i++) {
        real *h = hid + i * d.n_hidden;
        double s = (double)b2;
        for (int64_t j = 0; j < d.n_hidden; j++) {
            real a = h[j] + b1[j];
            h[j] = a > 0 ? a : 0;
            s += (double)h[j] * (double)w2[j];
        }
        z[i] = (real)s;
    }
    return ok;
}

bool rung_head_core_back(real *g, real *hid, const real *dz, const real *p, rung_head_dims d,
                         const real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)dz[i];
    if (d.n_hidden == 0) {
        g[d.n_in] = (real)sum;
        return rung_gemm(true, false, 1, d.n_in, n, 1, dz, 1, x, d.n_in, 0, g, d.n_in);
    }
    int64_t h = d.n_hidden;
    real *g_b1 = g + h * d.n_in, *g_w2 = g_b1 + h;
    const real *w2 = p + h * d.n_in + h;
    memset(g_b1, 0, (size_t)(2 * h) * sizeof *g);
    g_w2[h] = (real)sum;
    for (int64_t i = 0; i < n; i++) {
        real *a = hid + i * h;
        for (int64_t j = 0; j < h; j++) {
            g_w2[j] += dz[i] * a[j];
            a[j] = a[j] > 0 ? dz[i] * w2[j] : 0; /* dL/d(before relu) */
            g_b1[j] += a[j];
        }
    }
    return rung_gemm(true, false, h, d.n_in, n, 1, hid, h, x, d.n_in, 0, g, d.n_in);
}

bool rung_head_core_dx(real *dx, const real *hid, const real *dz, const real *p, rung_head_dims d,
                       int64_t n) {
    if (d.n_hidden > 0)
        return rung_gemm(false, false, n, d.n_in, d.n_hidden, 1, hid, d.n_hidden, p, d.n_in, 0, dx,
                         d.n_in);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d.n_in; j++) dx[i * d.n_in + j] = dz[i] * p[j];
    return true;
}
