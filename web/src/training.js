import * as Plot from "@observablehq/plot";
import { figure, h, table } from "./dom.js";
import { count, number } from "./format.js";

const palette = ["var(--c-prm)", "var(--c-orm)", "var(--c-confidence)", "var(--c-oracle)"];

// "train/loss" and "eval/loss" share a figure, so do "loss_train" and "loss_held": the family is what is left without
// the word that says on which data.
export function families(series) {
  const by = new Map();
  for (const [name, values] of Object.entries(series)) {
    const family = name.replace(/^(train|eval|val|test)\/|[._](train|held|heldout|val|test)$/, "");
    if (!by.has(family)) by.set(family, []);
    by.get(family).push({ name, values });
  }
  const isLoss = (f) => /(^|[_/])loss($|_)/.test(f.name);
  return [...by].map(([name, lines]) => ({ name, lines })).sort((a, b) => isLoss(b) - isLoss(a));
}

function curve(family) {
  const rows = family.lines.flatMap((l, i) => l.values.filter((v) => v[1] !== null).map((v) => ({ step: v[0], value: v[1], name: l.name, color: palette[i % palette.length] })));
  const large = rows.some((r) => Math.abs(r.value) >= 1e5); // 150k: the margin has no room for 150,000
  return (width) => Plot.plot({
    width, height: 230, marginLeft: 52, marginBottom: 40, marginTop: 24, marginRight: 26,
    x: { label: "step", ticks: 5 }, y: { label: family.name, grid: true, ticks: 5, nice: true, tickFormat: large ? "~s" : undefined }, color: { type: "identity" },
    marks: [
      Plot.line(rows, { x: "step", y: "value", z: "name", stroke: "color", strokeWidth: 1.8 }),
      rows.length < 60 && Plot.dot(rows, { x: "step", y: "value", fill: "color", r: 2 }),
    ].filter(Boolean),
  });
}

const colorKey = (family) => family.lines.length > 1 && h("ul", { class: "key", "aria-label": "Key" }, family.lines.map((l, i) => h("li", null,
  h("span", { style: { display: "inline-block", width: "1.4rem", height: ".25rem", background: palette[i % palette.length], marginRight: ".4rem", verticalAlign: "middle" }, "aria-hidden": "true" }), l.name)));

// what was measured once, at the end
const figures = (series) => Object.keys(series).length > 0 && table("Figures of the trained model", [{ name: "Figure", head: true }, { name: "Value", n: true }],
  Object.entries(series).map(([name, values]) => [name, Number.isInteger(values[0][1]) ? count(values[0][1]) : number(values[0][1], 4)]));
const thin = (values, most = 40) => values.filter((_, i) => i % Math.ceil(values.length / most) === 0 || i === values.length - 1);

export function training(data) {
  const runs = data.training.filter((t) => Object.keys(t.series).length > 0);
  const pick = (t, keep) => Object.fromEntries(Object.entries(t.series).filter(([, values]) => keep(values.length)));
  if (runs.length === 0) return null;
  return h("section", null, h("h2", null, "Training"),
    runs.map((t) => h("div", null, h("h3", null, t.name || `${t.kind} ${t.run}`),
      h("div", { class: "pair" }, families(pick(t, (n) => n > 1)).map((f) => figure(curve(f), `${f.lines.map((l) => l.name).join(" and ")} by training step`, f.lines.length > 1 ? null : f.lines[0].name,
        table(`${f.name} by step`, [{ name: "Metric", head: true }, { name: "Step", n: true }, { name: "Value", n: true }],
          f.lines.flatMap((l) => thin(l.values).map((v) => [l.name, v[0], number(v[1], 4)]))),
        colorKey(f)))),
      figures(pick(t, (n) => n === 1)))));
}
