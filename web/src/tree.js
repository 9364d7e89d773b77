// The tree of a search, for the report and for the server's page.
import { h } from "./dom.js";
import { number, plural } from "./format.js";

const states = { chosen: "chosen", done: "finished", pruned: "left", kept: "kept", scratch: "look ahead" };

// The tree of a search as nested lists: each state a line with its step, its score, what became of it.
export class Tree {
  element = h("ol", { class: "tree", "aria-label": "Tree of the search" });
  nodes = new Map([[0, { list: this.element }]]);

  add(node, parent, text, scratch) {
    const above = this.nodes.get(parent) ?? this.nodes.get(0);
    if (!above.list) {
      above.list = h("ol");
      above.item.append(above.list);
    }
    const fill = h("i"), value = h("span", { class: "value" }), what = h("span", { class: "what" });
    const code = h("code", null, text.trim() || "(end)");
    const step = h("div", { class: "step" }, code, h("span", { class: "bar", "aria-hidden": "true" }, fill), h("span", null, value, " ", what));
    const item = h("li", null, step);
    above.list.append(item);
    const entry = { item, fill, value, what, code };
    this.nodes.set(node, entry);
    if (scratch) this.mark(node, "scratch");
  }

  score(node, value) {
    const entry = this.nodes.get(node);
    if (!entry?.item || typeof value !== "number") return;
    entry.value.textContent = number(value, 2);
    entry.fill.style.width = `${100 * Math.max(0, Math.min(1, value))}%`;
  }

  // Of tree search: the mean of what was backed up, where the step has no score of its own.
  mean(node, value, visits) {
    const entry = this.nodes.get(node);
    if (!entry?.item || typeof value !== "number") return;
    if (!entry.value.textContent) this.score(node, value);
    entry.item.title = `${plural(visits, "visit")}, mean value ${number(value, 3)}`;
  }

  mark(node, state) {
    const entry = this.nodes.get(node);
    if (!entry?.item) return;
    if (state === "kept") entry.item.classList.remove("pruned");
    entry.item.classList.add(state);
    entry.what.textContent = states[state];
    if (state !== "chosen") return;
    for (let at = entry.item; at?.tagName === "LI"; at = at.parentElement.closest("li")) at.classList.add("chosen");
  }

  event(e) {
    if (e.kind === "node") this.add(e.node, e.parent, e.text, e.scratch);
    else if (e.kind === "extend") { const x = this.nodes.get(e.node); if (x?.code) x.code.textContent = e.text.trim(); }
    else if (e.kind === "score") this.score(e.node, e.value);
    else if (e.kind === "value") this.mean(e.node, e.value, e.visits);
    else if (e.kind === "keep") this.mark(e.node, "kept");
    else if (e.kind === "prune") this.mark(e.node, "pruned");
    else if (e.kind === "done") this.mark(e.node, "done");
    else if (e.kind === "choose") this.mark(e.node, "chosen");
  }

  static of(nodes) {
    const tree = new Tree();
    for (const n of nodes) {
      tree.add(n.node, n.parent, n.text, n.scratch);
      tree.score(n.node, n.score);
      tree.mean(n.node, n.value, n.visits);
      for (const state of ["kept", "pruned", "done"]) if (n[state]) tree.mark(n.node, state);
    }
    for (const n of nodes) if (n.chosen) tree.mark(n.node, "chosen");
    return tree;
  }
}
