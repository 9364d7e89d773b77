// Solutions as step strips: colour by score, the first wrong step marked, the label beside it.
import { h } from "./dom.js";
import { finite, number } from "./format.js";

// Orange (0) over paper (0.5) to blue (1): told apart by colour-blind readers, and the number is beside it.
const share = (score) => `${Math.round(Math.abs(score - 0.5) * 2 * 62)}%`;
const side = (score) => (score < 0.5 ? "var(--c-wrong)" : "var(--c-right)");
const tint = (score) => `color-mix(in srgb, ${side(score)} ${share(score)}, var(--paper))`;

function label(step, trace) {
  const parts = [];
  if (step.truth === 1) parts.push("right");
  if (step.truth === 0) parts.push("first wrong step");
  if (step.truth === null && trace.first_error >= 0) parts.push("after the error");
  if (step.mc) parts.push(step.mc.n > 0 ? `MC ${step.mc.c}/${step.mc.n}` : "MC unknown");
  return parts.join(", ") || "no label";
}

function strip(trace) {
  return h("ol", { class: "strip", start: 0 }, trace.steps.map((s) => {
    const score = finite(s.score) ? s.score : null;
    const wrong = s.truth === 0;
    return h("li", { class: wrong ? "first-wrong" : null, style: score === null ? null : { borderLeftColor: tint(score) } },
      h("span", { class: "score", "aria-label": score === null ? "no score" : `score ${number(score, 2)}`, style: score === null ? null : { background: tint(score) } },
        score === null ? "\u2013" : number(score, 2)),
      h("span", { class: "text" }, s.text.replace(/\s+$/, "")),
      h("span", { class: "label" }, label(s, trace)));
  }));
}

function outcome(t) {
  const verdict = { correct: "right", wrong: "wrong", unknown: "could not be judged", no_answer: "no answer" }[t.outcome] ?? t.outcome;
  const parts = [`Answer ${t.answer ? `\u201c${t.answer}\u201d` : "none"}: ${verdict}`];
  if (t.gold) parts.push(`reference \u201c${t.gold}\u201d`);
  if (t.first_error >= 0) parts.push(`first wrong step ${t.first_error}${t.first_error_source ? ` (${{ truth: "exact checker", human: "a person" }[t.first_error_source] ?? t.first_error_source})` : ""}`);
  if (t.first_error === -1) parts.push("no wrong step");
  return `${parts.join("; ")}.`;
}

function ramp() {
  const stops = [0, 0.25, 0.5, 0.75, 1].map(tint).join(", ");
  return h("p", { class: "soft" }, "Score 0", h("span", { class: "ramp", "aria-hidden": "true", style: { background: `linear-gradient(90deg, ${stops})` } }), "1, by ");
}

export function examples(data) {
  if (data.examples.length === 0) return null;
  const scored = data.examples_model ? data.models[data.examples_model]?.name ?? "the reward model" : "the policy's own confidence";
  const legend = ramp();
  legend.append(`${scored}. Steps are counted from 0. MC 3/8: of 8 continuations from this step 3 reached the right answer. The problems are spread evenly over the set, right and wrong traces in turn; they were not picked by score.`);
  return h("section", null, h("h2", null, `${data.examples.length} solutions, step by step`), legend,
    data.examples.map((t, i) => h("article", { class: "example" },
      h("h3", null, `${i + 1}. ${t.key.startsWith(t.set) ? t.key : `${t.set} ${t.key}`}`),
      h("p", { class: "question" }, t.question), strip(t), h("p", { class: "outcome" }, outcome(t)))));
}
