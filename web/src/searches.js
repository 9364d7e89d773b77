// Searches: what each run answered against what it cost, and a few of their trees.
import * as Plot from "@observablehq/plot";
import { figure, h, table } from "./dom.js";
import { count, finite, interval, missing, percent, plural, seconds } from "./format.js";
import { Tree } from "./tree.js";

const hues = ["var(--c-prm)", "var(--c-orm)", "var(--c-confidence)", "var(--c-oracle)", "var(--c-majority)", "var(--c-single)"];
const dashes = [null, "6 3", "2 3"];
const sized = (v, units) => {
  const [scale, unit] = units.find(([s]) => v >= s) ?? units[units.length - 1];
  return `${Number((v / scale).toPrecision(3))}${unit}`;
};
const flops = (v) => (finite(v) ? sized(v, [[1e15, " P"], [1e12, " T"], [1e9, " G"], [1e6, " M"], [1, ""]]) : missing);
const axes = [
  { key: "tokens", label: "tokens sampled per problem", show: (v) => sized(v, [[1e6, "M"], [1e3, "k"], [1, ""]]) },
  { key: "flops_cached", label: "FLOPs per problem, shared prefixes once", show: flops },
  { key: "wall_s", label: "seconds per problem", show: seconds },
];

// One curve: the same method, scores and seed; along it goes the budget n.
const seriesOf = (r) => [r.asked || r.method, r.score, r.prm && r.prm.split("/").pop(), r.flip > 0 ? `e = ${r.flip}` : "",
  r.width && !/^(sc|bon|vote|greedy|majority|oracle|single)/.test(r.asked || r.method) ? `width ${r.width}` : ""].filter(Boolean).join(", ");

function curve(rows, series, axis) {
  const value = (r) => r[axis.key];
  const shown = rows.filter((r) => finite(value(r)) && value(r) > 0);
  if (shown.length === 0) return null;
  const style = (name) => { const i = series.indexOf(name); return { hue: hues[i % hues.length], dash: dashes[Math.floor(i / hues.length) % dashes.length] }; };
  const least = Math.min(...shown.map((r) => r.ci95?.[0] ?? r.acc)), most = Math.max(...shown.map((r) => r.ci95?.[1] ?? r.acc));
  const air = Math.max(0.02, (0.2 - (most - least)) / 2); // never less than twenty points
  const low = Math.max(0, Math.min(least - air, 1 - 0.2)), high = Math.min(1, Math.max(most + air, 0.2));
  return (width) => Plot.plot({
    width, height: Math.max(260, Math.min(360, width * 0.45)), marginLeft: 44, marginBottom: 42, marginRight: 24,
    x: { type: "log", tickFormat: axis.show, label: axis.label, labelAnchor: "right", ticks: width < 480 ? 3 : 6, nice: true },
    y: { domain: [low, high], nice: true, tickFormat: (v) => `${Math.round(100 * v)}%`, label: "problems answered right", grid: true },
    color: { type: "identity" },
    marks: [
      Plot.link(shown.filter((r) => r.ci95), { x1: value, x2: value, y1: (r) => r.ci95[0], y2: (r) => r.ci95[1], stroke: (r) => style(r.series).hue, strokeOpacity: 0.45, strokeWidth: 2 }),
      ...series.map((name) => Plot.line(shown.filter((r) => r.series === name).sort((a, b) => value(a) - value(b)),
        { x: value, y: "acc", stroke: style(name).hue, strokeWidth: 2, strokeDasharray: style(name).dash ?? undefined })),
      Plot.dot(shown, { x: value, y: "acc", fill: (r) => style(r.series).hue, r: 4 }),
    ],
  });
}

function key(series) {
  const ns = "http://www.w3.org/2000/svg";
  return h("ul", { class: "key", "aria-label": "Key" }, series.map((name, i) => {
    const svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "line");
    svg.setAttribute("viewBox", "0 0 26 10");
    svg.setAttribute("aria-hidden", "true");
    for (const [k, v] of Object.entries({ x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 2.5 })) line.setAttribute(k, v);
    line.style.stroke = hues[i % hues.length];
    const dash = dashes[Math.floor(i / hues.length) % dashes.length];
    if (dash) line.setAttribute("stroke-dasharray", dash);
    svg.append(line);
    return h("li", null, svg, name);
  }));
}

function numbers(rows) {
  return table("Every search run; costs are means per problem", [{ name: "Run", head: true }, { name: "Search" }, { name: "n", n: true },
    { name: "Problems", n: true }, { name: "Right", n: true }, { name: "95% interval", n: true }, { name: "Tokens", n: true }, { name: "Scored", n: true },
    { name: "FLOPs", n: true }, { name: "FLOPs, nothing shared", n: true }, { name: "Seconds", n: true }],
  rows.map((r) => [r.name || String(r.run), r.series, r.n > 0 ? r.n : "", r.n_problems, percent(r.acc), interval(r.ci95), count(r.tokens),
    count(r.scored_tokens), flops(r.flops_cached), flops(r.flops_naive), seconds(r.wall_s)]));
}

function trees(list) {
  return h("div", { class: "trees" }, list.map((t) => h("section", { "aria-label": `Tree of ${t.name || t.method}` },
    h("h4", null, `${t.name || t.method}: ${plural(t.nodes.length, "state")}`),
    h("p", { class: "question" }, t.question),
    h("details", { open: true }, h("summary", null, "The tree"), Tree.of(t.nodes).element))));
}

export function searches(data) {
  if (!data.searches?.length) return null;
  const rows = data.searches.map((r) => ({ ...r, series: seriesOf(r) })).reverse();
  const series = [...new Set(rows.map((r) => r.series))];
  const drawn = axes.map((a) => ({ ...a, draw: curve(rows, series, a) })).filter((a) => a.draw);
  return h("section", { id: "searches" },
    h("h2", null, "Searches"),
    h("p", null, "Each point is a run of a search over its problems, with its 95% bootstrap interval over problems. A line joins runs that differ only in their budget."),
    key(series),
    drawn.map((a, i) => figure(a.draw, `Share of problems answered right against ${a.label}, one line per search`, null, i === 0 ? numbers(rows) : null)),
    data.trees.length > 0 && [
      h("h3", null, "How they searched"),
      h("p", { class: "soft" }, "A problem from the middle of the run, not picked by its outcome. Each line is a state: its step, its score, what became of it."),
      trees(data.trees)]);
}
