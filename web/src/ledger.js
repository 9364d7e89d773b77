import { h, table } from "./dom.js";
import { count, date, finite, interval, methodName, missing, percent, seconds, setName } from "./format.js";
import { last, winner } from "./headline.js";

export function others(answers) {
  if (answers.length < 2) return null;
  return h("section", null, h("h2", null, "Other measurements in this store"),
    table("Newest first", [{ name: "Set", head: true }, { name: "Policy" }, { name: "Problems", n: true }, { name: "k", n: true }, { name: "One sample", n: true },
      { name: "Best method" }, { name: "Right", n: true }, { name: "95% interval", n: true }],
      answers.slice(1).map((a) => {
        const best = winner(a), single = a.methods.find((m) => m.name === "single");
        return [setName(a), a.policy, count(a.n_problems), a.n_samples, single ? percent(last(single).acc) : "",
          best ? methodName(best.name) : "", best ? percent(last(best).acc) : "", best ? interval(last(best).ci95) : ""];
      })));
}

const scoring = (run) => run.kind === "reward.score";

export function ledger(data) {
  const runs = data.runs, sum = (key) => runs.reduce((a, r) => a + (finite(r[key]) ? r[key] : 0), 0);
  const tokens = (read) => runs.reduce((a, r) => a + (scoring(r) === read ? r.tokens : 0), 0);
  return h("section", null, h("h2", null, "What it cost"),
    table("Every stage in this store", [{ name: "Run", head: true }, { name: "Stage" }, { name: "Seed", n: true }, { name: "Tokens generated", n: true }, { name: "Tokens scored", n: true }, { name: "Time", n: true }, { name: "Started" }, { name: "State" }],
      runs.map((r) => [r.name || `#${r.id}`, r.kind, r.seed, scoring(r) ? "" : count(r.tokens), scoring(r) ? count(r.tokens) : "", r.wall_s > 0 ? seconds(r.wall_s) : missing, date(r.started_ms), r.finished_ms > 0 ? "finished" : "unfinished"]),
      { foot: [`${runs.length} runs`, "", "", count(tokens(false)), count(tokens(true)), seconds(sum("wall_s")), "", ""] }));
}

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

// {"cpu":"x","cores":2} -> cpu x, cores 2
const inline = (text) => {
  try {
    return Object.entries(JSON.parse(text)).map(([k, v]) => `${k} ${v !== null && typeof v === "object" ? JSON.stringify(v) : v}`).join(", ");
  } catch {
    return text;
  }
};

export function provenance(data) {
  const machines = [...new Set(data.runs.map((r) => r.machine).filter(Boolean))], versions = [...new Set(data.runs.map((r) => r.versions).filter(Boolean))];
  return h("section", null, h("h2", null, "How to make it again"),
    data.command && h("pre", null, data.command),
    table("Models", [{ name: "Model", head: true }, { name: "Kind" }, { name: "Hash" }], Object.values(data.models).map((m) => [m.name, m.kind, h("code", null, m.hash)])),
    h("p", null, h("b", null, "Machine "), machines.map(inline).join("; ") || "not recorded"),
    h("p", null, h("b", null, "Versions "), versions.map(inline).join("; ") || "not recorded"),
    h("p", { class: "soft" }, `Report written ${date(data.made_ms)} by rung ${data.rung}.`),
    h("h3", null, "Configuration of each run"),
    data.runs.map((r) => h("details", null, h("summary", null, `${r.name || `#${r.id}`} (${r.kind}), hash ${r.config_hash}`), h("pre", null, pretty(r.config)))));
}
