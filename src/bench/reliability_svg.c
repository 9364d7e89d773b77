/* The reliability diagram of a measurement as an SVG file, readable without a page around it. */
#include "base/json.h"
#include "bench/pool.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIZE = 360, LEFT = 56, TOP = 40, BARS = 64, GAP = 14, BOTTOM = 44 }; /* pixels */

static double px(double p) {
    return LEFT + p * SIZE;
}
static double py(double y) {
    return TOP + (1.0 - y) * SIZE;
}

/* Text of a file's name or the like: nothing of it is markup. */
static void put_text(rung_buf *b, double x, double y, const char *attributes, const char *text) {
    rung_buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '<': rung_buf_str(b, "&lt;"); break;
        case '>': rung_buf_str(b, "&gt;"); break;
        case '&': rung_buf_str(b, "&amp;"); break;
        default: rung_buf_append(b, c, 1);
        }
    }
    rung_buf_str(b, "</text>\n");
}

static void put_frame(rung_buf *b, double bars_top) {
    for (int i = 0; i <= 5; i++) {
        double v = (double)i / 5.0;
        char mark[8] = {'0', '.', (char)('0' + 2 * i), 0};
        if (i == 5) memcpy(mark, "1.0", 4);
        rung_buf_printf(b,
                        "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\" fill=\"none\"/>\n"
                        "<path d=\"M%.1f %.1fv5\" stroke=\"#888\" fill=\"none\"/>\n",
                        px(0), py(v), px(1), px(v), bars_top + BARS);
        put_text(b, LEFT - 8, py(v) + 4, "text-anchor=\"end\"", mark);
        put_text(b, px(v), bars_top + BARS + 18, "text-anchor=\"middle\"", mark);
    }
    rung_buf_printf(b,
                    "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#888\" stroke-dasharray=\"4 4\" "
                    "fill=\"none\"/>\n",
                    px(0), py(0), px(1), py(1));
    put_text(b, px(0.5), bars_top + BARS + 36, "text-anchor=\"middle\"", "score of the step");
    rung_buf_printf(b, "<g transform=\"translate(14 %.1f) rotate(-90)\">", py(0.5));
    put_text(b, 0, 0, "text-anchor=\"middle\"", "share of steps that are right");
    rung_buf_str(b, "</g>\n");
}

static void put_bins(rung_buf *b, yyjson_val *bins, double bars_top) {
    yyjson_val *bin;
    size_t i, n;
    double most = 1.0;
    yyjson_arr_foreach(bins, i, n, bin) most = fmax(most, rung_json_f64(bin, "n", 0));
    rung_buf_str(b, "<path fill=\"none\" stroke=\"#2563eb\" stroke-width=\"2\" d=\"");
    yyjson_arr_foreach(bins, i, n, bin)
        rung_buf_printf(b, "%c%.1f %.1f", i ? 'L' : 'M', px(rung_json_f64(bin, "p", 0)),
                        py(rung_json_f64(bin, "y", 0)));
    rung_buf_str(b, "\"/>\n");
    yyjson_arr_foreach(bins, i, n, bin) {
        double p = rung_json_f64(bin, "p", 0), y = rung_json_f64(bin, "y", 0);
        double share = rung_json_f64(bin, "n", 0) / most, lo = rung_json_f64(bin, "lo", 0);
        yyjson_val *ci = yyjson_obj_get(bin, "ci95");
        rung_buf_printf(b,
                        "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#2563eb\" stroke-opacity=\".5\" "
                        "stroke-width=\"2\"/><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" "
                        "fill=\"#2563eb\"/>\n",
                        px(p), py(yyjson_get_num(yyjson_arr_get(ci, 0))),
                        py(yyjson_get_num(yyjson_arr_get(ci, 1))), px(p), py(y));
        rung_buf_printf(b,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                        "fill=\"#93b4f5\"/>\n",
                        px(lo) + 1, bars_top + BARS * (1.0 - share),
                        (rung_json_f64(bin, "hi", 0) - lo) * SIZE - 2, BARS * share);
    }
}

rung_status rung_bench_reliability_svg(rung_buf *svg, const char *json, const char *title,
                                       rung_error *err) {
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    yyjson_val *o = yyjson_doc_get_root(doc), *bins = yyjson_obj_get(o, "bins");
    double bars_top = TOP + SIZE + GAP;
    if (yyjson_arr_size(bins) == 0) {
        yyjson_doc_free(doc);
        return rung_fail(err, RUNG_E_NOT_FOUND, "no bins to draw: scores in [0, 1] are needed");
    }
    rung_buf_printf(svg,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                    LEFT + SIZE + 24, TOP + SIZE + GAP + BARS + BOTTOM);
    char line[120];
    snprintf(line, sizeof line, "ECE %.3f, Brier %.3f, %lld steps of %lld problems",
             rung_json_f64(o, "ece15", (double)NAN), rung_json_f64(o, "brier", (double)NAN),
             (long long)rung_json_i64(o, "n_steps", 0),
             (long long)rung_json_i64(o, "n_problems", 0));
    put_text(svg, LEFT, 16, "font-weight=\"bold\"", title);
    put_text(svg, LEFT, 32, "fill=\"#555\"", line);
    put_frame(svg, bars_top);
    put_bins(svg, bins, bars_top);
    rung_buf_str(svg, "</svg>\n");
    yyjson_doc_free(doc);
    return rung_buf_check(svg, err);
}
