export const missing = "\u2013";
export const finite = (v) => typeof v === "number" && Number.isFinite(v);
export const percent = (v, digits = 1) => (finite(v) ? `${(100 * v).toFixed(digits)}%` : missing);
export const number = (v, digits = 3) => (finite(v) ? v.toFixed(digits) : missing);
export const count = (v) => (finite(v) ? Math.round(v).toLocaleString("en") : missing);
const signed = (v, digits = 1) => {
  const size = Math.abs(v).toFixed(digits);
  return Number(size) === 0 ? size : `${v < 0 ? "\u2212" : "+"}${size}`;
};
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
export const points = (v) => (finite(v) ? signed(100 * v) : missing);
export const interval = (ci, show = (v) => (100 * v).toFixed(1)) =>
  ci && finite(ci[0]) && finite(ci[1]) ? `[${show(ci[0])}, ${show(ci[1])}]` : "";
export const signedInterval = (ci) => interval(ci, (v) => signed(100 * v));
export const pValue = (p) => (!finite(p) ? missing : p < 0.0001 ? "< .0001" : p.toFixed(4).replace(/^0/, ""));
export function seconds(s) {
  if (!finite(s)) return missing;
  if (s < 0.1) return `${(1000 * s).toFixed(s < 0.01 ? 1 : 0)} ms`;
  if (s < 120) return `${s.toFixed(s < 1 ? 2 : s < 10 ? 1 : 0)} s`;
  if (s < 7200) return `${(s / 60).toFixed(0)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}
export const date = (ms) => (finite(ms) && ms > 0 ? new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC" : missing);

// The hue says whose score decides, the dash that answers vote.
const methods = {
  single: ["One sample", "single"],
  greedy: ["Greedy", "single", "1 3"],
  majority: ["Majority vote", "majority"],
  bon_prm: ["Best of n by step scores", "prm"],
  vote_prm: ["Vote weighted by step scores", "prm", "6 3"],
  bon_orm: ["Best of n by outcome score", "orm"],
  vote_orm: ["Vote weighted by outcome score", "orm", "6 3"],
  bon_confidence: ["Best of n by own confidence", "confidence"],
  vote_confidence: ["Vote weighted by own confidence", "confidence", "6 3"],
  oracle: ["Any sample right (bound)", "oracle", "2 3"],
};
export const setName = (answer) =>
  [answer.set || answer.sets.map((s) => s.set).join(" + "), answer.split].filter(Boolean).join(" / ");
export const methodName = (m) => methods[m]?.[0] ?? m;
export const methodColor = (m) => `var(--c-${methods[m]?.[1] ?? "single"})`;
export const methodDash = (m) => methods[m]?.[2] ?? null;
