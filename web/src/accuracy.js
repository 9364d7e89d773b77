import * as Plot from "@observablehq/plot";
import { figure, h, table } from "./dom.js";
import { count, finite, interval, methodColor, methodDash, methodName, percent, points, pValue, seconds,
  signedInterval } from "./format.js";
import { last, told, winner } from "./headline.js";

const rowsOf = (answer) => answer.methods.flatMap((m) =>
  m.points.map((p) => ({ ...p, method: m.name, lo: p.ci95[0], hi: p.ci95[1] })));

// One sample is a single point: drawn across, so that the others can be read against it.
function key(answer) {
  const mark = (m) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 26 10");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [k, v] of Object.entries({ x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 2.5 })) line.setAttribute(k, v);
    line.style.stroke = methodColor(m);
    if (methodDash(m)) line.setAttribute("stroke-dasharray", methodDash(m));
    svg.append(line);
    return svg;
  };
  return h("ul", { class: "key", "aria-label": "Key" },
    answer.methods.map((m) => h("li", null, mark(m.name), methodName(m.name))));
}

function curves(answer) {
  const rows = rowsOf(answer), n = answer.n_samples, perTrace = answer.tokens_per_trace;
  const ks = [...new Set(rows.map((r) => r.k))].sort((a, b) => a - b);
  const flat = answer.methods.filter((m) => m.points.length === 1).flatMap((m) =>
    [1, n].map((k) => ({ ...m.points[0], k, method: m.name, lo: m.points[0].ci95[0], hi: m.points[0].ci95[1] })));
  const grown = rows.filter((r) => answer.methods.find((m) => m.name === r.method).points.length > 1);
  const all = [...flat, ...grown];
  const low = Math.min(...all.map((r) => r.lo ?? r.acc)), high = Math.max(...all.map((r) => r.hi ?? r.acc));
  return (width) => Plot.plot({
    width, height: Math.max(300, Math.min(430, width * 0.56)), marginLeft: 44, marginTop: 46, marginBottom: 42,
    x: { type: "log", base: 2, domain: [1, Math.max(2, n)], ticks: ks, tickFormat: (k) => String(k), label: "samples per problem (k)" },
    y: { domain: [Math.max(0, low - 0.02), Math.min(1, high + 0.02)], tickFormat: (v) => `${Math.round(100 * v)}%`, label: "problems answered right", grid: true, nice: true },
    marks: [
      Plot.axisX(ks, { anchor: "top", tickFormat: (k) => count(k * perTrace), label: "tokens sampled per problem", labelAnchor: "right" }),
      Plot.axisX(ks, { anchor: "bottom", tickFormat: (k) => String(k), label: "samples per problem (k)", labelAnchor: "right" }),
      Plot.axisY({ tickFormat: (v) => `${Math.round(100 * v)}%`, label: "problems answered right" }),
      Plot.areaY(all.filter((r) => finite(r.lo)), { x: "k", y1: "lo", y2: "hi", z: "method", fill: (r) => methodColor(r.method), fillOpacity: 0.1 }),
      ...answer.methods.map((m) => Plot.line(all.filter((r) => r.method === m.name),
        { x: "k", y: "acc", stroke: methodColor(m.name), strokeWidth: 2, strokeDasharray: methodDash(m.name) ?? undefined })),
      Plot.dot(grown, { x: "k", y: "acc", fill: (r) => methodColor(r.method), r: 2.6 }),
    ],
    color: { type: "identity" },
  });
}

function endpoints(answer) {
  const rows = answer.methods.map((m) => ({ ...last(m), name: methodName(m.name), method: m.name, lo: last(m).ci95[0], hi: last(m).ci95[1] }))
    .sort((a, b) => b.acc - a.acc);
  const majority = rows.find((r) => r.method === "majority");
  const margin = (width) => Math.min(210, width * 0.42);
  return (width) => Plot.plot({
    width, height: 34 * rows.length + 60, marginLeft: margin(width), marginRight: 52, marginBottom: 40,
    x: { tickFormat: (v) => `${Math.round(100 * v)}%`, label: "problems answered right, all samples used", grid: true, nice: true },
    y: { domain: rows.map((r) => r.name), label: null },
    color: { type: "identity" },
    marks: [
      majority && Plot.ruleX([majority.acc], { stroke: "var(--c-majority)", strokeDasharray: "2 3", strokeOpacity: 0.6 }),
      Plot.link(rows.filter((r) => finite(r.lo)), { x1: "lo", x2: "hi", y1: "name", y2: "name", stroke: (r) => methodColor(r.method), strokeWidth: 3, strokeLinecap: "round", strokeOpacity: 0.55 }),
      Plot.dot(rows, { x: "acc", y: "name", fill: (r) => methodColor(r.method), r: 5 }),
      Plot.text(rows, { x: (r) => r.hi ?? r.acc, y: "name", text: (r) => percent(r.acc), textAnchor: "start", dx: 8, fill: "var(--ink)" }),
    ].filter(Boolean),
  });
}

const difference = (d) => d
  ? [h("span", { class: told(d) }, points(d.diff)), " ", h("small", null, signedInterval(d.ci95))] : "";

export function results(answer) {
  const best = winner(answer);
  const bases = [...new Set(answer.methods.flatMap((m) => Object.keys(m.vs)))];
  const columns = [{ name: "Method", head: true }, { name: "k", n: true }, { name: "Right", n: true }, { name: "95% interval", n: true },
    ...bases.flatMap((b) => [{ name: `Points over ${methodName(b).toLowerCase()}`, n: true }, { name: "p (Holm)", n: true }]),
    { name: "Tokens sampled", n: true }, { name: "Tokens scored", n: true }, { name: "Time", n: true },
    { name: "No answer", n: true }, { name: "Unknown verdict", n: true }];
  const rows = answer.methods.map((m) => {
    const p = last(m);
    return {
      class: m === best ? "best" : m.name === "oracle" ? "bound" : null,
      cells: [methodName(m.name), p.k, percent(p.acc), interval(p.ci95),
        ...bases.flatMap((b) => [difference(m.vs[b]), m.vs[b] ? (m.name === "oracle" ? "" : pValue(m.vs[b].p_holm)) : ""]),
        count(p.tokens), p.scored_tokens > 0 ? count(p.scored_tokens) : "0", seconds(p.wall_s), percent(p.no_answer), percent(p.unknown)],
    };
  });
  return table("Every method on the same samples, all of them used; costs are per problem", columns, rows);
}

const curveTable = (answer) => table("Accuracy at each number of samples", [
  { name: "Method", head: true }, { name: "k", n: true }, { name: "Right", n: true }, { name: "95% interval", n: true },
  { name: "Tokens", n: true }, { name: "Estimate" }],
  answer.methods.flatMap((m) => m.points.map((p) =>
    [methodName(m.name), p.k, percent(p.acc), interval(p.ci95), count(p.tokens), m.estimator === "exact" ? "exact" : "over subsets"])));

export function accuracy(answer, heading) {
  const v = answer.verdicts, all = v.correct + v.wrong + v.unknown + v.no_answer;
  return h("section", null,
    h("h2", null, heading),
    h("p", null, `All methods choose among the same ${answer.n_samples} samples of each problem, so a point and the one below it spent the same tokens. Bands and brackets are 95% bootstrap intervals over problems.`),
    figure(endpoints(answer), "Share of problems answered right by each method with its 95% interval",
      "Each method with every sample used. The dotted line is majority vote.", null),
    results(answer),
    answer.skipped.length > 0 && h("p", { class: "soft" }, "Not measured: ",
      answer.skipped.map((s) => `${methodName(s.name)} (${s.reason})`).join("; "), "."),
    h("p", { class: "soft" }, `Of ${count(all)} samples ${percent(v.correct / all)} were right, ${percent(v.wrong / all)} wrong, ${percent(v.no_answer / all)} gave no answer and ${percent(v.unknown / all)} could not be judged. An answer that could not be judged does not count as right.`,
      answer.n_problems_short > 0 ? ` ${count(answer.n_problems_short)} problems with fewer samples were left out.` : ""),
    h("h3", null, "Accuracy against budget"),
    figure(curves(answer), "Share of problems answered right against the number of samples, one line per method with its 95% band",
      "More samples help a method only if it can tell which to take. One sample and greedy are drawn across for comparison.",
      curveTable(answer), key(answer)));
}
