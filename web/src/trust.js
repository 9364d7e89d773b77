// Can the step scores be trusted? Reliability, ranking, and where in a trace they fall.
import * as Plot from "@observablehq/plot";
import { figure, h, table } from "./dom.js";
import { count, finite, interval, number, percent } from "./format.js";

const scoreName = (s, data) => (s.model ? (data.models[s.model]?.name || `reward model ${s.model}`) + (s.calibrated ? ", calibrated" : "") : "Own confidence");
const scoreColor = (s) => (s.model ? "var(--c-prm)" : "var(--c-confidence)");
const labelName = (l) => ({ truth: "exact step labels", mc: "Monte Carlo labels", human: "human labels" }[l] ?? `${l} labels`);
const plain = (v) => (finite(v) ? String(Math.round(v * 100) / 100) : "");

function reliability(s) {
  const rows = s.bins.map((b) => ({ ...b, ylo: b.ci95[0], yhi: b.ci95[1] }));
  return (width) => Plot.plot({
    width, height: Math.min(width, 340), marginLeft: 44, marginBottom: 40, marginTop: 24,
    x: { domain: [0, 1], label: "score of the step", ticks: 5 },
    y: { domain: [0, 1], label: "share of steps that are right", ticks: 5, grid: true },
    r: { range: [2, 9] },
    marks: [
      Plot.link([[0, 1]], { x1: 0, y1: 0, x2: 1, y2: 1, stroke: "var(--soft)", strokeDasharray: "3 3" }),
      Plot.link(rows, { x1: "p", x2: "p", y1: "ylo", y2: "yhi", stroke: scoreColor(s), strokeWidth: 2, strokeOpacity: 0.5 }),
      Plot.line(rows, { x: "p", y: "y", stroke: scoreColor(s), strokeWidth: 1.5 }),
      Plot.dot(rows, { x: "p", y: "y", r: "n", fill: scoreColor(s) }),
    ],
  });
}

const reliabilityTable = (s) => table("Steps by score", [
  { name: "Score", head: true }, { name: "Steps", n: true }, { name: "Mean score", n: true }, { name: "Share right", n: true }, { name: "95% interval", n: true }],
  s.bins.map((b) => [`${plain(b.lo)}\u2013${plain(b.hi)}`, count(b.n), number(b.p), number(b.y), interval(b.ci95, (v) => v.toFixed(3))]));

function bands(rows, x, xLabel, color, series) {
  return (width) => Plot.plot({
    width, height: Math.min(320, Math.max(230, width * 0.6)), marginLeft: 44, marginBottom: 40, marginTop: 24,
    x: { label: xLabel, interval: 1, tickFormat: (v) => (v > 0 && x === "from_first_error" ? `+${v}` : String(v)), ticks: width < 420 ? 6 : 12 },
    y: { domain: [0, 1], label: "score of the step", grid: true, ticks: 5 },
    color: { type: "identity" },
    marks: [
      x === "from_first_error" && Plot.ruleX([0], { stroke: "var(--bad)", strokeDasharray: "3 3" }),
      Plot.areaY(rows, { x, y1: "q25", y2: "q75", z: series, fill: color, fillOpacity: 0.15 }),
      Plot.line(rows, { x, y: "mean", z: series, stroke: color, strokeWidth: 2 }),
      Plot.dot(rows, { x, y: "mean", fill: color, r: 2.5 }),
    ].filter(Boolean),
  });
}

function positionKey() {
  const item = (name, color) => {
    const swatch = h("span", { style: { display: "inline-block", width: "1.4rem", height: ".5rem", background: color, marginRight: ".4rem" }, "aria-hidden": "true" });
    return h("li", null, swatch, name);
  };
  return h("ul", { class: "key", "aria-label": "Key" }, item("traces with a right answer", "var(--c-right)"), item("traces with a wrong answer", "var(--c-wrong)"));
}

function positions(s) {
  const color = (r) => (r.trace === "right" ? "var(--c-right)" : "var(--c-wrong)");
  const numbers = table("Score by step position", [{ name: "Step", head: true }, { name: "Traces", head: true }, { name: "n", n: true }, { name: "Mean", n: true }, { name: "Middle half", n: true }],
    s.positions.map((r) => [r.step, `answer ${r.trace}`, count(r.n), number(r.mean), interval([r.q25, r.q75], (v) => v.toFixed(2))]));
  const aligned = s.offsets.length > 1 && figure(bands(s.offsets, "from_first_error", "steps from the first wrong one", () => "var(--c-wrong)", null),
    "Mean step score by distance from the first wrong step", "Traces with a known first wrong step, lined up on it. A useful score drops at 0.",
    table("Score by distance from the first wrong step", [{ name: "Distance", head: true }, { name: "n", n: true }, { name: "Mean", n: true }, { name: "Middle half", n: true }],
      s.offsets.map((r) => [r.from_first_error, count(r.n), number(r.mean), interval([r.q25, r.q75], (v) => v.toFixed(2))])));
  return h("div", { class: "pair" },
    figure(bands(s.positions, "step", "step of the trace, from 0", color, "trace"), "Mean step score by position for traces with right and with wrong answers",
      "Mean and middle half of the scores.", numbers, positionKey()),
    aligned);
}

// By the first wrong step: is it below those before it, does the least score tell traces apart, ProcessBench's numbers at the threshold.
function firstErrors(steps, data) {
  const rows = steps.filter((s) => s.first_error && s.first_error.n_err > 0 && s.first_error.n_cor > 0);
  if (rows.length === 0) return null;
  const ci = (v, f) => h("small", null, interval(v, f));
  const n1 = (x) => x.toFixed(1), n3 = (x) => x.toFixed(3);
  return [h("h3", null, "The first wrong step"),
    h("p", null, "Steps up to the first wrong one alone. AUROC here is the chance that a first wrong step scores below a step before one. F1 is that of finding its exact index (right traces: saying none), at the threshold; where the threshold was chosen is said beside it."),
    table("By the first wrong step, 95% intervals over problems", [{ name: "Score", head: true }, { name: "Traces", n: true }, { name: "With an error", n: true },
      { name: "AUROC of the step", n: true }, { name: "AUROC of the trace", n: true }, { name: "F1", n: true }, { name: "Threshold", n: true }],
      rows.map((s) => { const f = s.first_error; return [scoreName(s, data), count(f.n_traces), count(f.n_err), [number(f.auroc), " ", ci(f.auroc_ci95, n3)],
        [number(f.trace_auroc), " ", ci(f.trace_auroc_ci95, n3)], [number(f.f1, 1), " ", ci(f.f1_ci95, n1)],
        [number(f.threshold), h("small", null, ` ${f.threshold_from}`)]]; }))];
}

export function trust(data) {
  if (data.steps.length === 0) return null;
  const steps = [...data.steps].sort((a, b) => (b.model > 0) - (a.model > 0)), main = steps[0];
  const columns = [{ name: "Score", head: true }, { name: "Labels" }, { name: "Steps", n: true }, { name: "Wrong", n: true }, { name: "AUROC", n: true },
    { name: "Average precision on wrong steps", n: true }, { name: "Brier", n: true }, { name: "ECE", n: true }];
  const hard = steps.some((s) => s.n_hard > 0);
  if (hard) columns.splice(5, 0, { name: "AUROC on hard steps", n: true });
  const ci = (v) => h("small", null, interval(v, (x) => x.toFixed(3)));
  return h("section", null,
    h("h2", null, "Can the step scores be trusted?"),
    h("p", null, "AUROC is the chance that a right step scores above a wrong one (0.5 is a coin). The policy's own confidence, the least token probability of the step, is the baseline any reward model has to beat." +
      (hard ? " Hard steps are those whose carry or borrow the tiny policy was taught to forget with confidence." : "")),
    table("Step scores against labels, 95% intervals over problems", columns, steps.map((s) =>
      [scoreName(s, data), labelName(s.label_source), count(s.n_steps), percent(s.share_wrong), [number(s.auroc), " ", ci(s.auroc_ci95)],
        ...(hard ? [s.n_hard > 0 ? [number(s.auroc_hard), " ", ci(s.auroc_hard_ci95)] : "-"] : []),
        [number(s.ap_wrong), " ", ci(s.ap_wrong_ci95)], [number(s.brier), " ", s.brier_ci95 && ci(s.brier_ci95)], [number(s.ece15), " ", s.ece15_ci95 && ci(s.ece15_ci95)]])),
    firstErrors(steps, data),
    h("h3", null, "Reliability"),
    h("div", { class: "pair" }, steps.filter((s) => s.bins.length > 0).slice(0, 4).map((s) => figure(reliability(s),
      `Reliability of ${scoreName(s, data)}: share of right steps against the score`,
      `${scoreName(s, data)} against ${labelName(s.label_source)}. On the dotted line a score means what it says; larger dots hold more steps.`,
      reliabilityTable(s)))),
    main.positions.length > 0 && h("h3", null, `Score along the trace: ${scoreName(main, data)}`),
    main.positions.length > 0 && positions(main));
}

export function processbench(data) {
  if (data.processbench.length === 0) return null;
  const n1 = (v) => number(v, 1);
  return h("section", null,
    h("h2", null, "Finding the first wrong step (ProcessBench)"),
    table("Exact index of the first wrong step, in percent", [{ name: "Subset", head: true }, { name: "Score" }, { name: "Cases", n: true },
      { name: "Erroneous", n: true }, { name: "Correct", n: true }, { name: "F1", n: true }, { name: "95% interval of F1", n: true }, { name: "Threshold", n: true }, { name: "Without scores", n: true }],
      data.processbench.map((p) => [p.subset, scoreName(p, data), count(p.n), n1(p.acc_err), n1(p.acc_cor), n1(p.f1), interval(p.ci95, n1),
        [number(p.threshold), p.tuned_on ? h("small", null, p.tuned_on_test ? ` tuned on ${p.tuned_on}, the measured set itself` : ` tuned on ${p.tuned_on}`) : ""], count(p.n_unscored)])));
}
