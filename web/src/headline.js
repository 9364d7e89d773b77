// What a stranger must see in ten seconds: what was measured, on how much, which method won, by how
// much, at which cost.
import { count, finite, interval, methodName, missing, percent, plural, points, pValue, seconds, setName, signedInterval } from "./format.js";
import { h } from "./dom.js";

export const last = (m) => m.points[m.points.length - 1];
export const find = (answer, name) => answer.methods.find((m) => m.name === name);
// The winner among real methods: the oracle is a bound, one sample is what they are compared with.
export function winner(answer) {
  const real = answer.methods.filter((m) => !["oracle", "single", "greedy"].includes(m.name));
  return real.reduce((a, b) => (last(b).acc > last(a).acc ? b : a), real[0]);
}

export function told(d) {
  if (!d || !finite(d.diff) || !d.ci95) return "unknown";
  if (d.ci95[0] > 0 && !(d.p_holm > 0.05)) return "better";
  if (d.ci95[1] < 0 && !(d.p_holm > 0.05)) return "worse";
  return "same";
}
const lower = (s) => s[0].toLowerCase() + s.slice(1);

function sentence(answer) {
  const best = winner(answer), single = find(answer, "single");
  if (!best || !single) return "Nothing was compared.";
  const verdict = told(best.vs.single), end = last(best);
  const name = methodName(best.name), alone = percent(last(single).acc);
  if (answer.n_samples === 1) return `One sample answers ${alone} of the problems right; there was nothing to choose among.`;
  if (verdict === "better")
    return `${name} answers ${percent(end.acc)} of the problems right; one sample, ${alone}.`;
  return `No way of choosing among ${end.k} samples is told apart from one sample, which is right ${alone} of the time.`;
}

function versusMajority(answer) {
  if (answer.n_samples === 1) return "";
  const best = winner(answer), base = Object.keys(best?.vs ?? {}).find((k) => k !== "single");
  const d = base && best.vs[base];
  if (!d) {
    return best?.name === "majority"
      ? "No reward model did better than counting votes on this pool." : "";
  }
  const by = `${points(d.diff)} points ${signedInterval(d.ci95)}, p ${pValue(d.p_holm)} after Holm`, name = lower(methodName(base));
  const verdict = told(d);
  if (answer.n_samples === 1) return `One sample answers ${alone} of the problems right; there was nothing to choose among.`;
  if (verdict === "better") return `Against ${name} of the same samples the gain is ${by}.`;
  if (verdict === "worse") return `It is behind ${name} of the same samples by ${by}.`;
  return `Against ${name} of the same samples the difference is ${by}: it may be chance.`;
}

export function headline(data, answer) {
  const best = winner(answer), end = best && last(best), d = best?.vs?.single;
  const fact = (name, value, small) => h("div", null, h("dt", null, name), h("dd", null, value, h("small", null, small)));
  const verdict = told(d);
  return h("header", null,
    h("h1", null, data.title),
    h("p", { class: "finding" }, sentence(answer)),
    h("p", { class: "second" }, versusMajority(answer)),
    h("dl", { class: "facts" },
      fact("Measured on", plural(answer.n_problems, "problem"),
        `${setName(answer)}, ${plural(answer.n_samples, "sample")} each by ${answer.policy || "the policy"}`),
      fact("Best method", end ? percent(end.acc) : "", best ? `${methodName(best.name)}, 95% ${interval(end.ci95)}` : ""),
      fact("Gain over one sample", h("span", { class: verdict }, d ? points(d.diff) : ""),
        d ? `points, 95% ${signedInterval(d.ci95)}` : ""),
      fact("Cost of that", end?.tokens > 0 ? `${count(end.tokens)} tokens` : missing,
        end ? `sampled per problem${finite(end.wall_s) ? `, about ${seconds(end.wall_s)}` : ""}${end.scored_tokens > 0 ? `; the reward model read ${count(end.scored_tokens)}${finite(end.score_s) ? ` in ${seconds(end.score_s)}` : ""}` : ""}` : "")));
}
