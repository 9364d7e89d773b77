#include "train/head_core.h"
#include "train/gemm.h"

static int64_t outputs(rung_head_dims d) {
    return d.n_out == 2 ? 2 : 1;
}

int64_t rung_head_n_params(rung_head_dims d) {
    int64_t o = outputs(d);
    return d.n_hidden == 0 ? o * (d.n_in + 1) : d.n_hidden * (d.n_in + 1 + o) + o;
}

/* z = x w^T + b of the last output, minus that of the first when there are two. */
static bool linear_forward(real *z, const real *p, rung_head_dims d, const real *x, int64_t n) {
    int64_t o = outputs(d), D = d.n_in;
    const real *w = p + (o - 1) * D, *b = p + o * D;
    bool ok = rung_gemm(false, true, n, 1, D, 1, x, D, w, D, 0, z, 1);
    if (o == 2) ok = ok && rung_gemm(false, true, n, 1, D, -1, x, D, p, D, 1, z, 1);
    for (int64_t i = 0; i < n; i++) z[i] += o == 2 ? b[1] - b[0] : b[0];
    return ok;
}

/* hid = relu(x w1^T + b1), z = hid w2 + b2. */
bool rung_head_core_forward(real *z, real *hid, const real *p, rung_head_dims d, const real *x,
                            int64_t n) {
    if (d.n_hidden == 0) return linear_forward(z, p, d, x, n);
    int64_t h = d.n_hidden, o = outputs(d);
    const real *b1 = p + h * d.n_in, *w2 = b1 + h, *b2 = w2 + o * h;
    bool ok = rung_gemm(false, true, n, h, d.n_in, 1, x, d.n_in, p, d.n_in, 0, hid, h);
    for (int64_t i = 0; i < n; i++) {
        real *a = hid + i * h;
        double s = o == 2 ? (double)b2[1] - (double)b2[0] : (double)b2[0];
        for (int64_t j = 0; j < h; j++) {
            real v = a[j] + b1[j];
            a[j] = v > 0 ? v : 0;
            double w = o == 2 ? (double)w2[h + j] - (double)w2[j] : (double)w2[j];
            s += (double)a[j] * w;
        }
        z[i] = (real)s;
    }
    return ok;
}

/* The first output's gradient is minus the second's. */
static void mirror(real *first, const real *last, int64_t n) {
    for (int64_t i = 0; i < n; i++) first[i] = -last[i];
}

bool rung_head_core_back(real *g, real *hid, const real *dz, const real *p, rung_head_dims d,
                         const real *x, int64_t n) {
    int64_t h = d.n_hidden, o = outputs(d), D = d.n_in;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)dz[i];
    if (h == 0) {
        real *gw = g + (o - 1) * D, *gb = g + o * D;
        gb[o - 1] = (real)sum;
        bool ok = rung_gemm(true, false, 1, D, n, 1, dz, 1, x, D, 0, gw, D);
        if (o == 2) mirror(g, gw, D), mirror(gb, gb + 1, 1);
        return ok;
    }
    real *g_b1 = g + h * D, *g_w2 = g_b1 + h, *g_last = g_w2 + (o - 1) * h, *g_b2 = g_w2 + o * h;
    const real *w2 = p + h * D + h;
    memset(g_b1, 0, (size_t)((1 + o) * h) * sizeof *g);
    g_b2[o - 1] = (real)sum;
    for (int64_t i = 0; i < n; i++) {
        real *a = hid + i * h;
        for (int64_t j = 0; j < h; j++) {
            real w = o == 2 ? w2[h + j] - w2[j] : w2[j];
            g_last[j] += dz[i] * a[j];
            a[j] = a[j] > 0 ? dz[i] * w : 0; /* dL/d(before relu) */
            g_b1[j] += a[j];
        }
    }
    if (o == 2) mirror(g_w2, g_last, h), mirror(g_b2, g_b2 + 1, 1);
    return rung_gemm(true, false, h, D, n, 1, hid, h, x, D, 0, g, D);
}

bool rung_head_core_dx(real *dx, const real *hid, const real *dz, const real *p, rung_head_dims d,
                       int64_t n) {
    if (d.n_hidden > 0)
        return rung_gemm(false, false, n, d.n_in, d.n_hidden, 1, hid, d.n_hidden, p, d.n_in, 0, dx,
                         d.n_in);
    const real *last = p + (outputs(d) - 1) * d.n_in;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d.n_in; j++)
            dx[i * d.n_in + j] = dz[i] * (outputs(d) == 2 ? last[j] - p[j] : last[j]);
    return true;
}
