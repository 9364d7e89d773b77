// What the store keeps: runs, the searches of a run, their trees; the report of all of it.
import { h, table } from "./dom.js";
import { count, date } from "./format.js";
import { Tree } from "./tree.js";

function link(text, act) {
  const b = h("button", { type: "button", class: "link" }, text);
  b.addEventListener("click", act);
  return b;
}

async function showTree(api, id, place) {
  const t = await api.get(`/tree/${id}`);
  const pane = h("section", { class: "pane", "aria-label": `Tree ${id}`, tabindex: -1 }, h("h2", null, `Tree ${id}`),
    h("div", { class: "answer" }, t.question), Tree.of(t.nodes).element);
  place.replaceChildren(pane);
  pane.dataset.tree = id;
  pane.focus();
}

async function showSearches(api, run, place, panes) {
  const { searches } = await api.get(`/runs/${run}`);
  place.replaceChildren(h("h3", null, `Searches of run ${run}`), searches.length === 0 ? h("p", { class: "soft" }, "It holds none.") :
    table("The newest first", [{ name: "question", head: true, wrap: true }, { name: "method" }, { name: "answer" }, { name: "states", n: true },
      { name: "tokens", n: true }, { name: "tree" }],
    searches.map((s) => [s.question, s.method, s.answer || "\u2013", count(s.nodes - 1), count(s.tokens),
      link(s.id, () => showTree(api, s.id, panes))])));
}

export async function runs(api, place, panes) {
  try {
    const { runs: list } = await api.get("/runs");
    if (list.length === 0) {
      place.replaceChildren();
      return;
    }
    const searches = h("div");
    const report = h("a", { href: "/report", target: "_blank", rel: "noopener" }, "The report");
    place.replaceChildren(h("h2", null, "Kept in the store"),
      h("p", { class: "soft" }, report, ": curves, calibration, step strips, cost of every measured run. It opens in a tab of its own."),
      table("Runs, the newest first", [{ name: "run", head: true }, { name: "stage" }, { name: "begun" }, { name: "tokens", n: true }, { name: "searches" }],
        list.map((r) => [r.name || String(r.id), r.kind, date(r.started_ms), count(r.tokens),
          r.searches > 0 ? link(`${count(r.searches)}`, () => showSearches(api, r.id, searches, panes)) : "\u2013"])),
      searches);
  } catch (error) {
    if (error.status !== 404) place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    else place.replaceChildren();
  }
}
