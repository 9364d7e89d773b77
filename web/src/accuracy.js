import * as Plot from "@observablehq/plot";
import { figure, h, table } from "./dom.js";
import { count, finite, interval, methodColor, methodDash, methodName, missing, percent, plural, points, pValue, seconds,
  signedInterval } from "./format.js";
import { last, told, winner } from "./headline.js";

const asPercent = (v) => `${Math.round(100 * v)}%`;
const rowOf = (method) => (p) => ({ ...p, method: method.name, name: methodName(method.name), lo: p.ci95[0], hi: p.ci95[1] });
const grows = (m) => m.points.length > 1;
// best first; the bound, which no method can pass, after the methods
const byEnd = (answer) => [...answer.methods].sort((a, b) =>
  (a.name === "oracle") - (b.name === "oracle") || last(b).acc - last(a).acc);

function key(methods) {
  const ns = "http://www.w3.org/2000/svg";
  const mark = (m) => {
    const svg = document.createElementNS(ns, "svg");
    const line = document.createElementNS(ns, m === "greedy" ? "circle" : "line");
    svg.setAttribute("viewBox", "0 0 26 10");
    svg.setAttribute("aria-hidden", "true");
    const shape = m === "greedy" ? { cx: 13, cy: 5, r: 3.5, fill: "none" } : { x1: 0, x2: 26, y1: 5, y2: 5 };
    for (const [k, v] of Object.entries({ ...shape, "stroke-width": 2.5 })) line.setAttribute(k, v);
    line.style.stroke = methodColor(m);
    if (methodDash(m) && m !== "greedy") line.setAttribute("stroke-dasharray", methodDash(m));
    svg.append(line);
    return svg;
  };
  return h("ul", { class: "key", "aria-label": "Key" }, methods.map((m) => h("li", null, mark(m.name), methodName(m.name))));
}

// what the rows span, with air, and never less than ten points
function spread(rows) {
  const low = Math.min(...rows.map((r) => r.lo ?? r.acc)), high = Math.max(...rows.map((r) => r.hi ?? r.acc));
  const air = Math.max(0.02, (0.1 - (high - low)) / 2);
  return [Math.max(0, low - air), Math.min(1, high + air)];
}

function range(answer) {
  return spread(answer.methods.flatMap((m) => m.points.map(rowOf(m))));
}

// All methods together. One sample is a level to read the others against; greedy stands at its own cost.
function curves(answer) {
  const n = answer.n_samples, perTrace = answer.tokens_per_trace;
  const ks = [...new Set(answer.methods.flatMap((m) => m.points.map((p) => p.k)))].sort((a, b) => a - b);
  const growing = answer.methods.filter(grows), single = answer.methods.find((m) => m.name === "single");
  const greedy = answer.methods.filter((m) => m.name === "greedy").flatMap((m) => m.points.map(rowOf(m)))
    .map((r) => ({ ...r, k: perTrace > 0 ? Math.min(n, Math.max(1, r.tokens / perTrace)) : 1 }));
  const banded = growing.filter((m) => m === winner(answer) || m.name === "majority").flatMap((m) => m.points.map(rowOf(m)));
  return (width) => Plot.plot({
    width, height: Math.max(300, Math.min(430, width * 0.56)), marginLeft: 44, marginTop: 46, marginBottom: 42, marginRight: 24,
    x: { type: "log", base: 2, domain: [1, Math.max(2, n)] },
    y: { domain: range(answer), nice: true },
    color: { type: "identity" },
    marks: [
      Plot.gridY(),
      Plot.axisX(ks, { anchor: "top", tickFormat: (k) => count(k * perTrace), label: width < 480 ? "tokens" : "tokens sampled per problem", labelAnchor: "right" }),
      Plot.axisX(ks, { anchor: "bottom", tickFormat: String, label: "samples per problem (k)", labelAnchor: "right" }),
      Plot.axisY({ tickFormat: asPercent, label: width < 480 ? "right" : "problems answered right" }),
      single && Plot.ruleY(single.points, { y: "acc", stroke: methodColor("single"), strokeWidth: 1.5 }),
      Plot.areaY(banded.filter((r) => finite(r.lo)), { x: "k", y1: "lo", y2: "hi", z: "method", fill: (r) => methodColor(r.method), fillOpacity: 0.13 }),
      Plot.link(greedy, { x1: "k", x2: "k", y1: "lo", y2: "hi", stroke: methodColor("greedy"), strokeWidth: 2, strokeOpacity: 0.6 }),
      Plot.dot(greedy, { x: "k", y: "acc", stroke: methodColor("greedy"), fill: "var(--paper)", r: 4, strokeWidth: 2 }),
      ...growing.map((m) => Plot.line(m.points, { x: "k", y: "acc", stroke: methodColor(m.name), strokeWidth: 2, strokeDasharray: methodDash(m.name) ?? undefined })),
      Plot.dot(growing.flatMap((m) => m.points.map(rowOf(m))), { x: "k", y: "acc", fill: (r) => methodColor(r.method), r: 2.6 }),
    ].filter(Boolean),
  });
}

// One panel per method with its own band, and majority vote as the grey reference.
function panels(answer) {
  const methods = byEnd(answer).filter((m) => grows(m) && m.name !== "majority");
  const majority = answer.methods.find((m) => m.name === "majority");
  return (width) => {
    const columns = width < 420 ? 2 : width < 640 ? 3 : 4;
    const place = (i) => ({ fx: i % columns, fy: Math.floor(i / columns) });
    const rows = methods.flatMap((m, i) => m.points.map(rowOf(m)).map((r) => ({ ...r, ...place(i) })));
    const reference = majority ? methods.flatMap((_, i) => majority.points.map((p) => ({ ...p, ...place(i) }))) : [];
    const titles = methods.map((m, i) => ({ name: methodName(m.name).replace(" by ", " by\n").replace(" (", "\n("), ...place(i) }));
    const facet = { fx: "fx", fy: "fy" };
    return Plot.plot({
      width, height: Math.ceil(methods.length / columns) * 185 + 30, marginLeft: 48, marginTop: 42, marginRight: 10,
      fx: { axis: null, padding: 0.14 }, fy: { axis: null, padding: 0.4 },
      x: { type: "log", base: 2, domain: [1, Math.max(2, answer.n_samples)] },
      y: { domain: range(answer) },
      color: { type: "identity" },
      marks: [
        Plot.gridY({ ticks: 4 }),
        Plot.axisY({ ticks: 4, tickFormat: asPercent, label: null }),
        Plot.axisX([1, answer.n_samples], { tickFormat: String, label: null, tickSize: 3 }),
        Plot.line(reference, { x: "k", y: "acc", ...facet, z: null, stroke: "var(--c-single)", strokeDasharray: "3 2" }),
        Plot.areaY(rows.filter((r) => finite(r.lo)), { x: "k", y1: "lo", y2: "hi", ...facet, z: "method", fill: (r) => methodColor(r.method), fillOpacity: 0.2 }),
        Plot.line(rows, { x: "k", y: "acc", ...facet, z: "method", stroke: (r) => methodColor(r.method), strokeWidth: 2 }),
        Plot.text(titles, { ...facet, text: "name", frameAnchor: "top-left", lineAnchor: "bottom", dy: -8, dx: -2, fill: "var(--ink)", fontWeight: 600, lineHeight: 1.15 }),
      ],
    });
  };
}

function endpoints(answer) {
  const rows = byEnd(answer).map((m) => rowOf(m)(last(m)));
  const majority = rows.find((r) => r.method === "majority");
  return (width) => {
    const above = width < 560; // no room for names at the side: put each over its row
    return Plot.plot({
      width, height: (above ? 46 : 32) * rows.length + 60, marginLeft: above ? 12 : 236, marginRight: 66, marginBottom: 40,
      x: { domain: spread(rows), tickFormat: asPercent, label: "problems answered right, all samples used", grid: true, nice: true, ticks: above ? 4 : 8 },
      y: { domain: rows.map((r) => r.name), label: null, axis: null },
      color: { type: "identity" },
      marks: [
        majority && Plot.ruleX([majority.acc], { stroke: "var(--c-majority)", strokeDasharray: "2 3", strokeOpacity: 0.6 }),
        Plot.text(rows, { y: "name", text: "name", frameAnchor: "left", textAnchor: above ? "start" : "end", dx: above ? -8 : -14, dy: above ? -15 : 0,
          fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4, fontSize: 12.5 }),
        Plot.link(rows.filter((r) => finite(r.lo)), { x1: "lo", x2: "hi", y1: "name", y2: "name", stroke: (r) => methodColor(r.method), strokeWidth: 3, strokeLinecap: "round", strokeOpacity: 0.55 }),
        Plot.dot(rows, { x: "acc", y: "name", fill: (r) => methodColor(r.method), r: 5 }),
        Plot.text(rows, { x: (r) => r.hi ?? r.acc, y: "name", text: (r) => percent(r.acc), textAnchor: "start", dx: 9, fill: "var(--ink)", fontSize: 12.5, fontWeight: 600 }),
      ].filter(Boolean),
    });
  };
}

const difference = (d) => d
  ? [h("span", { class: told(d) }, points(d.diff)), " ", h("small", null, signedInterval(d.ci95))] : "";
const classOf = (answer, m) => (m === winner(answer) ? "best" : m.name === "oracle" ? "bound" : null);

function gains(answer) {
  const bases = [...new Set(answer.methods.flatMap((m) => Object.keys(m.vs)))].sort((a, b) => (b === "single") - (a === "single"));
  const columns = [{ name: "Method", head: true }, { name: "k", n: true }, { name: "Right", n: true }, { name: "95% interval", n: true },
    ...bases.flatMap((b) => [{ name: `Over ${methodName(b).toLowerCase()}`, n: true }, { name: "p", n: true }])];
  const rows = byEnd(answer).map((m) => ({
    class: classOf(answer, m),
    cells: [methodName(m.name), last(m).k, percent(last(m).acc), interval(last(m).ci95),
      ...bases.flatMap((b) => [difference(m.vs[b]), m.vs[b] && m.name !== "oracle" ? pValue(m.vs[b].p_holm) : ""])],
  }));
  return table("Every method on the same samples, all of them used. Differences in points; coloured where chance is ruled out (p after Holm's correction).",
    columns, rows, { kind: "methods" });
}

function costs(answer) {
  return table("What one problem costs, and what stayed open", [{ name: "Method", head: true }, { name: "Tokens sampled", n: true },
    { name: "Tokens scored", n: true }, { name: "Sampling time", n: true }, { name: "Scoring time", n: true }, { name: "No answer", n: true }, { name: "Unknown verdict", n: true }],
    byEnd(answer).map((m) => {
      const p = last(m);
      return { class: classOf(answer, m), cells: [methodName(m.name), p.tokens > 0 ? count(p.tokens) : missing, finite(p.scored_tokens) ? count(p.scored_tokens) : missing,
        seconds(p.wall_s), p.score_s > 0 || !finite(p.score_s) ? seconds(p.score_s) : "0", percent(p.no_answer), percent(p.unknown)] };
    }), { kind: "methods" });
}

// A gain on one set is not a gain on all of them.
function bySet(answer) {
  if (answer.sets.length < 2) return null;
  return table("Set by set, all samples used, in percent", [{ name: "Method", head: true },
    ...answer.sets.map((s) => ({ name: `${s.set} (${count(s.n)})`, n: true }))],
    byEnd(answer).map((m) => ({ class: classOf(answer, m), cells: [methodName(m.name), ...answer.sets.map((s) => {
      const v = s.methods[m.name];
      return v ? [percent(v.acc), " ", h("small", null, interval(v.ci95))] : "";
    })] })), { kind: "methods" });
}

const curveTable = (answer) => table("Accuracy at each number of samples", [
  { name: "Method", head: true }, { name: "k", n: true }, { name: "Right", n: true }, { name: "95% interval", n: true },
  { name: "Tokens", n: true }, { name: "Estimate" }],
  answer.methods.flatMap((m) => m.points.map((p) =>
    [methodName(m.name), p.k, percent(p.acc), interval(p.ci95), count(p.tokens), m.estimator === "exact" ? "exact" : "over subsets"])));

export function accuracy(answer, heading) {
  const v = answer.verdicts, all = v.correct + v.wrong + v.unknown + v.no_answer;
  const shown = answer.methods.filter(grows).length;
  return h("section", null,
    h("h2", null, heading),
    h("p", null, `All methods choose among the same ${plural(answer.n_samples, "sample")} of each problem. Brackets and bands are 95% bootstrap intervals over problems.`),
    figure(endpoints(answer), "Share of problems answered right by each method with its 95% interval",
      "The dotted line is majority vote.", null),
    gains(answer),
    bySet(answer),
    costs(answer),
    answer.skipped.length > 0 && h("p", { class: "soft" }, "Not measured: ",
      answer.skipped.map((s) => `${methodName(s.name)} (${s.reason})`).join("; "), "."),
    h("p", { class: "soft" }, `Of ${count(all)} samples ${percent(v.correct / all)} were right, ${percent(v.wrong / all)} wrong, ${percent(v.no_answer / all)} gave no answer and ${percent(v.unknown / all)} could not be judged. An answer that could not be judged does not count as right.`,
      answer.n_problems_short > 0 ? ` ${count(answer.n_problems_short)} problems with fewer samples were left out.` : ""),
    shown > 0 && h("h3", null, "Accuracy against budget"),
    shown > 0 && figure(curves(answer), "Share of problems answered right against the number of samples, one line per method",
      "At each k all methods spent the same tokens. The grey level is one sample; a ring is greedy decoding. Bands here: the best method and majority vote.",
      curveTable(answer), key(byEnd(answer))),
    shown > 1 && figure(panels(answer), "Accuracy against the number of samples, one panel per method with its 95% band",
      "Each method with its band over k; dashed: majority vote.", null));
}
